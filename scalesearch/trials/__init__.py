"""What is tried and what came of it: recipes, jobs, trials, their log, and what scores them.

In: jobs that a search or a step asks for. Out: trials with their scores and fidelities, kept in an append-only log.
Searchers and trainers both speak of these; neither imports the other.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
