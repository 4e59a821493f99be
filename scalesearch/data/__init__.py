"""Data sets by name, path or Hub address: their facts and health before any training, then their pixels.

In: a name, a path or a data set of the Hub. Out: a `Source` with its training, validation and test images,
decoded once and cached; and the functions that turn one image file or video into pixels.
"""

import os

from lazy_loader import attach_stub

# Pillow asks for memory in blocks of this size, read when it is imported. Blocks over 32 MB go back to the system when
# an image is closed; of its usual 16 MB every thread would keep those of its largest image.
os.environ.setdefault("PILLOW_BLOCK_SIZE", "64m")

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
