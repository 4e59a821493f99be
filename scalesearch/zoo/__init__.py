"""Architectures designed by hand, and the reading of whatever a user gives as MODEL.

In: a name, an architecture's YAML, a Darknet .cfg. Out: an `Arch`, and its published figures.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
