"""Small data sets of images that tests make."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

SHADES = {"cat": (200, 60, 40), "dog": (40, 90, 210), "eel": (60, 190, 80)}


def picture(label: str, seed: int, size: tuple[int, int] = (24, 20)) -> Image.Image:
    """A coarse pattern in a class's colour; every seed another."""
    coarse = np.random.default_rng([seed, len(label), ord(label[0])]).integers(0, 90, (6, 6, 3))
    colour = np.clip(coarse + np.array(SHADES.get(label, (120, 120, 120))) - 45, 0, 255).astype(np.uint8)
    return Image.fromarray(colour).resize(size, Image.Resampling.BICUBIC)


def folder(path: Path, counts: dict[str, int], seed: int = 0, suffix: str = "png") -> Path:
    """Class folders; each class's images differ from those of another seed."""
    for label, count in counts.items():
        (path / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            picture(label, 1000 * seed + i).save(path / label / f"{i:03}.{suffix}")
    return path


def encoded(label: str, seed: int) -> bytes:
    file = io.BytesIO()
    picture(label, seed).save(file, "PNG")
    return file.getvalue()


def parquet(path: Path, rows: list[tuple[bytes, object]], group: int = 7, names: list[str] | None = None) -> Path:
    """As the Hub has them: the bytes in a struct, labels as numbers whose names stand in the metadata."""
    table = pa.table({"image": [{"bytes": b, "path": None} for b, _ in rows], "label": [label for _, label in rows]})
    if names:
        payload = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(payload)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=group)
    return path
