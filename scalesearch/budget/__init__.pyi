from .bounds import (
    QUANTITIES as QUANTITIES,
    Bound as Bound,
    Budget as Budget,
    budget_from_dict as budget_from_dict,
    parse_bound as parse_bound,
    quantity_of as quantity_of,
    reference_quantities as reference_quantities,
)
from .certificate import Certificate as Certificate, certify as certify
from .feasibility import Feasible as Feasible
