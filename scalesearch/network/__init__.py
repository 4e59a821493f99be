"""Architectures as torch modules, and their latency on a device.

In: an `Arch`. Out: an ordinary, hierarchical `nn.Module`; seconds.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
