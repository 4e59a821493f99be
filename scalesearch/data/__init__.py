"""Images by the name of their source: facts before anything is loaded, then splits as arrays.

In: a name. Out: a `Source`, and its training, validation and test images.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
