"""Searches: problems say what may be tried, evaluators score it, searchers propose, and a log keeps the results.

In: a problem, an evaluator, the name of a searcher. Out: jobs, trials and the results of a search. The only
importer of optuna.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
