"""What a person asks for in one YAML file, checked whole, and the steps that it is done in.

In: a file or a mapping. Out: a `Study`, and a `Driver` that hands out its jobs and takes in their results. Runs
nothing.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
