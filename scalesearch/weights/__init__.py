"""Loads weights into networks and predicts with them.

Formats: our own files, state dicts of torchvision, timm and Ultralytics, Darknet's .weights, the Hugging
Face Hub.

In: a built network and a file. Out: the same network with all of the file's tensors, or an error and
nothing changed.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
