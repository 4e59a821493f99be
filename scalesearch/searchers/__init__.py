"""The one search: what may be tried (problems), what a try scores (evaluators), who proposes (searchers), what is kept
(the log).

In: a problem, an evaluator, the name of a searcher. Out: jobs, trials and what they found. The only importer of optuna.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
