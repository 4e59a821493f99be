"""Running a study: its folder, its jobs in Ray or in this process, its progress, and the files that it writes.

In: a `Study`. Out: a folder with the log, the family and the report. The only importer of ray.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
