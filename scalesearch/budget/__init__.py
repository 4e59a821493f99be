"""Bounds on what a network may cost: parsed, certified, and sampled within.

In: bounds as people write them, and a space. Out: a `Budget`, networks inside it drawn with equal
probability, a certificate.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
