"""Architectures with some leaves left open: their decisions, their number and their YAML.

In: YAML or Python with choices, ranges, conditions, ties. Out: a `Space`. Knows no search algorithm.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
