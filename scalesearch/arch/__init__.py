"""A network as data, the blocks it is made of, and the graph that it expands to.

In: stem, stages and head. Out: typed layers with shapes in execution order. Imports no torch.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
