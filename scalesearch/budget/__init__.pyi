from .bounds import (
    QUANTITIES as QUANTITIES,
    Bound as Bound,
    Budget as Budget,
    bound as bound,
    budget_of as budget_of,
    quantity_of as quantity_of,
    relative_to as relative_to,
)
from .feasibility import Certificate as Certificate, Feasible as Feasible, certify as certify
