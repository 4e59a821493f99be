"""Pareto fronts, hypervolumes, rank correlations, detection metrics and confidence intervals.

In: numbers. Out: numbers, with how sure they are.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
