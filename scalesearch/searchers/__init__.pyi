from .asking import ask as ask
from .bayes import write_storage as write_storage
from .evaluators import Evaluator as Evaluator, column as column, outcome_of as outcome_of
from .halving import Scheduler as Scheduler, scheduler_of as scheduler_of
from .jobs import WAIT as WAIT, Job as Job, Jobs as Jobs, Wait as Wait, trial_of as trial_of
from .log import TrialLog as TrialLog
from .objective import Found as Found, found_in as found_in, search as search
from .problem import Past as Past, Problem as Problem
from .scale_problem import TRIED_ALWAYS as TRIED_ALWAYS, ScaleProblem as ScaleProblem
from .searching import Search as Search
from .space_problem import SpaceProblem as SpaceProblem
from .table import (
    DEFAULT as DEFAULT,
    SEARCHERS as SEARCHERS,
    check_searcher as check_searcher,
    register_searcher as register_searcher,
)
from .table_problem import SpaceTableProblem as SpaceTableProblem, TableProblem as TableProblem
from .tables import Table as Table, read_table as read_table
from .trial import Key as Key, Trial as Trial, Used as Used, compared as compared, trial_from as trial_from
