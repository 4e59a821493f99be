"""Training as a way to score a network: tasks, recipes, the trainer, zero-cost proxies.

In: a job as plain data. Out: scores with their fidelity, and weights. Knows nothing of searches.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
