"""Images by the name or the path of their source: their health and facts before anything is loaded, then pixels.

In: a name, a path or a data set of the Hub. Out: a `Source`, its training, validation and test images, decoded once and
kept; and how one image file becomes pixels.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
