from .counts import (
    Cost as Cost,
    block_cost as block_cost,
    by_layer as by_layer,
    by_stage as by_stage,
    cost as cost,
    cost_or_none as cost_or_none,
    describe_fitting as describe_fitting,
    elements_without_macs as elements_without_macs,
    stage_cost as stage_cost,
)
from .measuring import fvcore_counts as fvcore_counts
from .memory import peak_memory as peak_memory
from .profiles import (
    DeviceProfile as DeviceProfile,
    features as features,
    load_profile as load_profile,
    read_profile as read_profile,
)
