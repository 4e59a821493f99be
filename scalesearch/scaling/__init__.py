"""Compound scaling: by multipliers, to a target of counted MACs, and as a space of scalings that can be
searched.

In: an `Arch` and multipliers or a target. Out: scaled networks, and how far they are from what was asked.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
