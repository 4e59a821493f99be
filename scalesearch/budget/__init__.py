"""Bounds on what a network may cost: read, certified, and drawn inside of.

In: bounds as people write them, and a space. Out: a `Budget`, networks inside it each as likely as every other, a
certificate.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
