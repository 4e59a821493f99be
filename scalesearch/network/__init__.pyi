from .constructors import Arguments as Arguments, constructor as constructor, method as method
from .detecting import (
    Decode as Decode,
    Detector as Detector,
    Suppressed as Suppressed,
    overlap as overlap,
    suppressed as suppressed,
)
from .fusing import fused as fused
from .latency import (
    checked_device as checked_device,
    measure as measure,
    measure_arch as measure_arch,
    profile as profile,
)
from .modules import (
    HELPERS as HELPERS,
    Network as Network,
    build as build,
    drop_path_rates as drop_path_rates,
    same_pad as same_pad,
)
