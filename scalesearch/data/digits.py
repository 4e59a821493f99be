"""Scikit-learn's handwritten digits: 1,797 real 8×8 images that come with the package.

The only importer of sklearn.
"""

from __future__ import annotations

import zipfile
from contextlib import suppress

from scalesearch.errors import InputError
from scalesearch.files import atomic_write, cache_folder
from scalesearch.plain_data import PlainDict

FILE = "digits-1.npz"  # in the cache, since importing sklearn takes two seconds in every process


def load_digits() -> PlainDict:
    """Returns the `train`, `val` and `test` splits: 60 %, 20 % and 20 %, always the same, stratified by class.

    Images are uint8 `(n, 1, 8, 8)`, labels int64 `(n,)`.
    """
    import numpy as np

    try:
        path = cache_folder("data") / FILE
    except InputError:  # nobody has to have a cache for these
        return _from_sklearn()
    with suppress(OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile), np.load(path) as saved:
        return {name: (saved[f"{name}_images"], saved[f"{name}_labels"]) for name in ("train", "val", "test")}
    splits = _from_sklearn()
    arrays = {f"{name}_images": images for name, (images, _) in splits.items()}
    arrays |= {f"{name}_labels": labels for name, (_, labels) in splits.items()}
    with suppress(OSError), atomic_write(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
    return splits


def _from_sklearn() -> PlainDict:
    import numpy as np
    from sklearn.datasets import load_digits as sklearn_digits
    from sklearn.model_selection import train_test_split

    digits = sklearn_digits()
    images = np.round(digits.images * 255 / 16).astype(np.uint8)[:, None]
    labels = digits.target.astype(np.int64)
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.2, random_state=0, stratify=labels)
    train, val = train_test_split(rest, test_size=0.25, random_state=0, stratify=labels[rest])
    return {name: (images[i], labels[i]) for name, i in (("train", train), ("val", val), ("test", test))}
