from .asking import ask as ask
from .bayes import write_storage as write_storage
from .halving import Entry as Entry, Scheduler as Scheduler, modelled_rung as modelled_rung, promotion as promotion
from .problem import Past as Past
from .problems import ScaleProblem as ScaleProblem, SpaceProblem as SpaceProblem
from .searching import (
    Found as Found,
    Result as Result,
    SearchFailed as SearchFailed,
    found_in as found_in,
    search as search,
)
from .table import DEFAULT as DEFAULT, check_searcher as check_searcher
from .tables import Table as Table, TableProblem as TableProblem, read_table as read_table
