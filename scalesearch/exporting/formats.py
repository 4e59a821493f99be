"""The formats of exports and the suffixes of their files; imports nothing heavy, since commands list them."""

from __future__ import annotations

from pathlib import Path

from scalesearch.errors import InputError

WEIGHTS_ALONE = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
# The suffixes of each format; a suffix of another format is refused, an unknown one is accepted.
SUFFIXES = {
    "py": (".py",),
    "onnx": (".onnx",),
    "safetensors": (".safetensors",),
    "pt2": (".pt2",),
    **dict.fromkeys(("timm", "torchvision", "ultralytics"), WEIGHTS_ALONE),
}
FORMATS = tuple(SUFFIXES)
WITH_BOXES = ("onnx", "pt2", "py")  # formats that can hold a detector's decoding and suppression


def check_suffix(format_: str, path: Path) -> None:
    """Raises `InputError` if the suffix of `path` belongs to another format than `format_`."""
    suffix = path.suffix.lower()
    matching_format = next((f for f, suffixes in SUFFIXES.items() if suffix in suffixes), None)
    if matching_format and suffix not in SUFFIXES[format_]:
        raise InputError(
            f"--to {format_} takes a file that ends in {', '.join(SUFFIXES[format_])}; one that ends in "
            f"{path.suffix} needs --to {matching_format}",
            str(path),
        )
