"""Compound scaling: multipliers, shares of a budget, the network whose counted MACs meet a target, the space of such
scalings.

In: an `Arch` and coefficients or a target. Out: scaled ones, with how far they are from what was asked.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
