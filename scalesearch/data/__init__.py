"""Data sets by name, path or Hub address: their facts and health before any training, then their pixels.

In: a name, a path or a data set of the Hub. Out: a `Source` with its training, validation and test images,
decoded once and cached; and the functions that turn one image file or video into pixels.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
