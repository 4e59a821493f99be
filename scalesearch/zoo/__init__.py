"""The hand-built architectures people would pick, and reading whatever a person calls a MODEL.

In: a name, an architecture's YAML, a Darknet .cfg. Out: an `Arch`, and what was published of it.
"""

from lazy_loader import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
