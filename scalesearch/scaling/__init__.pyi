from .closed_loop import (
    PRESETS as PRESETS,
    ScaledArch as ScaledArch,
    Shares as Shares,
    realised_multipliers as realised_multipliers,
    scale_to as scale_to,
)
from .multipliers import MOST_FACTOR as MOST_FACTOR, scale as scale
from .scaling_space import ScalingSpace as ScalingSpace
