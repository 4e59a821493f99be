"""What is said of a run: info (data), figures (plotly), page (HTML); and the drawing of a network.

In: a study with its log, finished or not. Out: data for `summary.json` and tables, HTML for people. The only importer
of plotly.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
