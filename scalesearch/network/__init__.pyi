from .constructors import Arguments as Arguments, constructor as constructor, method as method
from .decoding import Decode as Decode, decoder as decoder, decoder_call as decoder_call
from .fusing import fused_copy as fused_copy
from .latency import (
    device_from_name as device_from_name,
    gpu_count as gpu_count,
    measure as measure,
    measure_arch as measure_arch,
    profile as profile,
)
from .modules import (
    HELPERS as HELPERS,
    Network as Network,
    Outputs as Outputs,
    build as build,
    drop_path_rates as drop_path_rates,
    same_pad as same_pad,
)
from .suppressing import (
    AP_SETTINGS as AP_SETTINGS,
    Detector as Detector,
    NmsResult as NmsResult,
    detector as detector,
    detector_sources as detector_sources,
    non_max_suppression as non_max_suppression,
    overlap as overlap,
)
