"""What a network costs: params, MACs, activations, peak memory and latency, and fvcore's counts.

In: an `Arch` or its graph. Out: integers, in microseconds and without torch. The only importer of fvcore.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
