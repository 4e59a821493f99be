from .constructors import Arguments as Arguments, constructor as constructor, method as method
from .decoding import Decode as Decode, decoder as decoder, decoder_call as decoder_call
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
    Outputs as Outputs,
    build as build,
    drop_path_rates as drop_path_rates,
    same_pad as same_pad,
)
from .suppressing import (
    MEASURED as MEASURED,
    Detector as Detector,
    Suppressed as Suppressed,
    detector as detector,
    overlap as overlap,
    sources as sources,
    suppressed as suppressed,
)
