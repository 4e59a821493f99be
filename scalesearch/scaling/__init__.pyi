from .scaling import (
    MOST_FACTOR as MOST_FACTOR,
    PRESETS as PRESETS,
    Scaled as Scaled,
    Shares as Shares,
    realised as realised,
    scale as scale,
    scale_to as scale_to,
)
from .ways import ScalingSpace as ScalingSpace
