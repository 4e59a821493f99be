from .evaluators import Function as Function, table_evaluator as table_evaluator
from .halving import Scheduler as Scheduler, scheduler_of as scheduler_of
from .optuna_storage import StudyWriter as StudyWriter
from .problem import Past as Past, Problem as Problem
from .proposal import Proposal as Proposal, ask as ask
from .registry import (
    DEFAULT as DEFAULT,
    SEARCHERS as SEARCHERS,
    check_searcher as check_searcher,
    register_searcher as register_searcher,
)
from .results import Result as Result, SearchResult as SearchResult, search_result_of as search_result_of
from .scale_problem import DEFAULT_PRESETS as DEFAULT_PRESETS, ScaleProblem as ScaleProblem
from .searching import Search as Search
from .space_problem import SpaceProblem as SpaceProblem
from .table_problem import SpaceTableProblem as SpaceTableProblem, TableProblem as TableProblem
from .tables import Table as Table, read_table as read_table
