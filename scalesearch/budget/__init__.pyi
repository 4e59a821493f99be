from .bounds import (
    Bound as Bound,
    Budget as Budget,
    QUANTITIES as QUANTITIES,
    bound as bound,
    budget_of as budget_of,
    quantity_of as quantity_of,
    relative_to as relative_to,
)
from .feasibility import Certificate as Certificate, Feasible as Feasible, certify as certify
