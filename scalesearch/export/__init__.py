"""What a user takes home: a standalone Python file, weights as safetensors."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from scalesearch.export.python import to_python as to_python

if TYPE_CHECKING:
    import torch


def save_weights(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write a state dict as safetensors, whole or not at all."""
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    save_file(weights, temporary)
    os.replace(temporary, path)
