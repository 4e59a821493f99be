"""Architectures with some leaves left open: decisions, what they make, how many there are, and the YAML of both.

In: YAML or Python with choices, ranges, conditions, ties. Out: a `Space`. Knows no algorithm.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
