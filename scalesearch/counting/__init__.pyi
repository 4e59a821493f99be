from .counts import (
    Cost as Cost,
    block_cost as block_cost,
    by_layer as by_layer,
    by_stage as by_stage,
    cost as cost,
    possible_cost as possible_cost,
    stage_cost as stage_cost,
    uncounted as uncounted,
)
from .measuring import fvcore_counts as fvcore_counts
from .memory import peak_memory as peak_memory
from .profiles import (
    DeviceProfile as DeviceProfile,
    features as features,
    load_profile as load_profile,
    profile_in as profile_in,
)
