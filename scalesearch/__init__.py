"""Neural architecture search and compound scaling of convolutional networks, inside hard compute budgets.

    import scalesearch as ss
    arch = ss.load("resnet50", resolution=160, classes=10)
    ss.cost(arch).macs, ss.build(arch), ss.scale(arch, depth=1.2, width=1.1, resolution=1.15)

Every name is imported when first asked for, so that counting costs no torch and training no Ray.
"""

from lazy_loader import attach_stub

__version__ = "0.2.0"
__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
