"""Exports networks: a standalone Python file, ONNX, torch.export's .pt2, weights under any library's names.

In: an architecture or a built network. Out: files that work without this package.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
