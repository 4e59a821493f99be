from .bounds import (
    QUANTITIES as QUANTITIES,
    Bound as Bound,
    Budget as Budget,
    bound as bound,
    budget_of as budget_of,
    quantity_of as quantity_of,
    relative_to as relative_to,
)
from .certificate import Certificate as Certificate, certify as certify
from .feasibility import Feasible as Feasible
