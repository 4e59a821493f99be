from .evaluator import Evaluator as Evaluator, Progress as Progress, outcome_of as outcome_of, trial_of as trial_of
from .events import Event as Event, Observer as Observer, broadcast as broadcast
from .job import WAIT as WAIT, Job as Job, Jobs as Jobs, Wait as Wait
from .log import TrialLog as TrialLog, open_log as open_log
from .place import Place as Place
from .recipe import PROXIES as PROXIES, RECIPES as RECIPES, Recipe as Recipe, grown_rate as grown_rate, levels as levels
from .score import Score as Score, format_difference as format_difference, format_score as format_score
from .tasks import TASKS as TASKS, Task as Task, task_of as task_of
from .trial import (
    ExecutionInfo as ExecutionInfo,
    Fidelity as Fidelity,
    FileStamp as FileStamp,
    Key as Key,
    Outcome as Outcome,
    Trial as Trial,
    comparable_trials as comparable_trials,
    trial_from as trial_from,
)
