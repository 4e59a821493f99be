"""Recipes, jobs, trials and their log, and the contracts of evaluators and tasks.

In: jobs that a search or a step asks for. Out: trials with their scores and fidelities, kept in an
append-only log. Both searchers and trainers depend on this folder; neither imports the other.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
