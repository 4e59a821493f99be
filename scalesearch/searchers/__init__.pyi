from .asking import ask as ask
from .evaluators import Function as Function, column as column
from .halving import Scheduler as Scheduler, scheduler_of as scheduler_of
from .objective import Found as Found, found_in as found_in, search as search
from .optuna_storage import StudyWriter as StudyWriter
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
