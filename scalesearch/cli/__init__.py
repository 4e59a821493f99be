"""The command line: parses arguments and prints results, one command per verb.

In: what a person typed. Out: tables and file names on stdout, progress and errors on stderr, an exit code.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
