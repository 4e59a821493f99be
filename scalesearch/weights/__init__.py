"""Weights in: our own files, torchvision's, timm's and Ultralytics' state dicts, Darknet's .weights, the Hugging Face
Hub; and predictions with them.

In: a built network and a file. Out: the same network with all of the file's tensors, or an error and nothing changed.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
