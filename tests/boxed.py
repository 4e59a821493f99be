"""A data set of boxes to learn in seconds: bright rectangles, upright ones and lying ones, on dark noise."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from conftest import SHARED
from PIL import Image

NAMES = ("upright", "lying")
SPACE = """name: small
resolution: 64
classes: 2
taps: [4, 5]
stages:
  - {stride: 2, conv: {width: 8}}
  - {stride: 2, conv: {width: {choice: [12, 16]}}}
  - {conv: {width: {choice: [12, 16]}}}
  - {stride: 2, conv: {width: 24}}
  - {c2f: {width: 24}}
  - {stride: 2, conv: {width: 32}}
head: {yolov8: {bins: 8}}
"""


def unpacked(name: str, folder: Path) -> Path:
    """One of the archives of real photos beside the repository, of which they are no part."""
    archive = SHARED / "data" / "detection" / name
    if not archive.exists():
        pytest.skip(f"needs real photos, which are no part of the repository: {archive}")
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")
    return folder


def rectangles(folder: Path, count: int = 40, sides: tuple[int, int] = (80, 64)) -> Path:
    """`count` photos of one to three rectangles, a quarter of them for the test, as YOLO has it."""
    rng = np.random.default_rng(0)
    for i in range(count):
        split = "test" if i % 4 == 0 else "train"
        pixels = rng.integers(0, 60, (sides[1], sides[0], 3), np.uint8)
        lines = []
        for _ in range(rng.integers(1, 4)):
            class_ = int(rng.integers(2))
            wide, high = (14, 30) if class_ == 0 else (34, 16)
            x, y = rng.integers(0, sides[0] - wide), rng.integers(0, sides[1] - high)
            pixels[y : y + high, x : x + wide] = (230, 60, 60) if class_ == 0 else (60, 60, 230)
            lines.append(
                f"{class_} {(x + wide / 2) / sides[0]} {(y + high / 2) / sides[1]} {wide / sides[0]} {high / sides[1]}"
            )
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / "images" / split / f"{i:03}.png")
        (folder / "labels" / split / f"{i:03}.txt").write_text("\n".join(lines) + "\n")
    (folder / "data.yaml").write_text(f"train: images/train\ntest: images/test\nnames: [{', '.join(NAMES)}]\n")
    return folder
