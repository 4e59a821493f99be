"""The report of a run: its data (info), figures (plotly) and page (HTML); and the drawing of a network.

In: a study with its log, finished or not. Out: data for `summary.json` and tables, HTML for people. The only package
that imports plotly.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
