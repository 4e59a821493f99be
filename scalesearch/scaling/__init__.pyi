from .closed_loop import (
    PRESETS as PRESETS,
    Scaled as Scaled,
    Shares as Shares,
    realised as realised,
    scale_to as scale_to,
)
from .multipliers import MOST_FACTOR as MOST_FACTOR, scale as scale
from .ways import ScalingSpace as ScalingSpace
