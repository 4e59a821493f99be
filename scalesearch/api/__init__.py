"""What the commands do, as functions: train, evaluate, predict, detect, export, check data, search.

In: names, paths, architectures, images. Out: objects of the package; nothing is printed. The commands call the same
functions and print what they return.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
