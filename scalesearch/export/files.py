"""Files of a network with its weights, each written whole or not at all. The only importer of ONNX's libraries."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesearch.errors import InputError
from scalesearch.files import save_tensors, whole

if TYPE_CHECKING:
    import torch

    from scalesearch.network import Detector, Network

OPSETS = range(18, 24)
DEFAULT_OPSET = 18
LIBRARIES = "timm", "torchvision", "ultralytics"
BOXES = 3  # outputs of a `Detector`: boxes, scores, classes
TOLERANCE = 1e-4  # of an output, relative to the largest
STRETCHED = 1e-3  # of boxes and scores, in whose exponentials and sigmoids differences grow


def _safetensors(model: Network, path: Path, opset: int) -> None:
    """The file says of which network it is, how images are prepared and what classes are called, as far as the weights'
    own file said it; for weights from a library, that images are prepared as there."""
    told = {key: value for key, value in model.told.items() if key in ("preparation", "classes")}
    told |= {"prepared_as": model.library} if model.library != "scalesearch" else {}
    save_tensors(
        model.state_dict(),
        path,
        {"arch": json.dumps(model.arch.to_dict()), "norm_eps": repr(model.arch.norm_eps), **told},
    )


def _pt2(model: Network | Detector, path: Path, opset: int) -> None:
    import torch

    with whole(path) as temporary, torch.no_grad():
        program = torch.export.export(
            model.eval(), (_images(model, 2),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        torch.export.save(program, temporary, extra_files=_said(model))


def _onnx(model: Network | Detector, path: Path, opset: int) -> None:
    """Raises `InputError` for an opset that the exporter can't write; RuntimeError where outputs differ."""
    import torch

    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise InputError(f"needs {error.name}: pip install 'scalesearch[onnx]'", "--to onnx") from None
    if opset not in OPSETS:
        raise InputError(f"takes {OPSETS[0]} to {OPSETS[-1]}, got {opset}", "--opset")
    from scalesearch.network import Detector

    with whole(path) as temporary, _quiet():
        checked = _with_all_boxes(model) if isinstance(model, Detector) else model.eval()
        program = torch.onnx.export(
            checked,
            (_images(model, 2),),
            None,
            dynamo=True,
            opset_version=opset,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["image"],
        )
        assert program is not None
        program.save(str(temporary))
        _compare(checked, model, onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"]))
        there = onnx.load(temporary)
        written = next(o.version for o in there.opset_import if o.domain in ("", "ai.onnx"))
        if written < opset:
            raise InputError(f"the exporter could only write {written} for this network, not {opset}", "--opset")
        if checked is not model:
            del there.graph.output[BOXES:]
        onnx.helper.set_model_props(there, _said(model))
        onnx.save(there, str(temporary))


def _with_all_boxes(detector: Detector) -> torch.nn.Module:
    """It gives all boxes and scores beside those that it chooses: which these are hangs on the last bit where scores
    are nearly equal, so a file is held against the network by all."""
    from torch import nn

    class All(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detector = detector

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            every = self.detector.decode(self.detector.network(image))
            return (*self.detector.chosen(*every), *every)

    return All().eval()


def _compare(checked: torch.nn.Module, model: Network | Detector, session: Any) -> None:
    """onnxruntime's outputs against torch's, for one image and for three."""
    import torch

    for batch in (1, 3):
        images = _images(model, batch)
        with torch.no_grad():
            expected = checked(images)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = [torch.from_numpy(out) for out in session.run(None, {"image": images.numpy()})]
        if checked is not model:  # of the very boxes that came out, the same are to be chosen: with the same scores
            chosen = model.chosen(*found[BOXES:])  # type: ignore[operator]
            expected, found = (chosen[1], *expected[BOXES:]), [found[1], *found[BOXES:]]
        most = TOLERANCE if checked is model else STRETCHED
        for ours, theirs in zip(expected, found, strict=True):
            error = (ours - theirs).abs().max() / ours.abs().max().clamp_min(1e-12)
            if not error <= most:
                raise RuntimeError(f"the ONNX file gives other outputs than the network, by {error:.1e} of the largest")


def _said(model: Network | Detector) -> dict[str, str]:
    """What the file says of itself: its architecture, how images are prepared, what classes are called."""
    network = _network(model)
    told = {key: value for key, value in getattr(network, "told", {}).items() if key in ("preparation", "classes")}
    return {"arch": json.dumps(network.arch.to_dict()), **told}


def _network(model: Network | Detector) -> Network:
    return getattr(model, "network", model)  # type: ignore[arg-type]


def _images(model: Network | Detector, batch: int) -> torch.Tensor:
    import torch

    arch, generator = _network(model).arch, torch.Generator().manual_seed(batch)
    return torch.randn(batch, arch.channels, *arch.sides, generator=generator)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's progress and warnings left out; what matters is checked afterwards."""
    logging.disable(logging.ERROR)
    try:
        nowhere = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _for_library(library: str) -> Callable[[Network, Path, int], None]:
    def write(model: Network, path: Path, opset: int) -> None:
        from scalesearch.weights import peer_weights

        tensors = peer_weights(model.arch, model.state_dict(), library)
        if path.suffix.lower() in (".safetensors", ""):
            save_tensors(tensors, path)
            return
        import torch

        with whole(path) as temporary:
            torch.save(tensors, temporary)

    return write


FORMS: dict[str, Callable[[Any, Path, int], None]] = {
    "onnx": _onnx,
    "pt2": _pt2,
    "safetensors": _safetensors,
    **{name: _for_library(name) for name in LIBRARIES},
}


# Suffixes that a file of each form may have; one that is another form's is refused, one that is nobody's is not.
SUFFIXES = {
    "py": (".py",),
    "onnx": (".onnx",),
    "pt2": (".pt2",),
    "safetensors": (".safetensors",),
    **dict.fromkeys(LIBRARIES, (".safetensors", ".pth", ".pt", ".bin", ".ckpt")),
}


def check_suffix(form: str, path: Path) -> None:
    """Raises `InputError` for a file whose suffix says something else than the form that it is to have."""
    others = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    if path.suffix.lower() in others and path.suffix.lower() not in SUFFIXES[form]:
        fitting = next((f for f, suffixes in SUFFIXES.items() if path.suffix.lower() in suffixes), form)
        raise InputError(
            f"--to {form} takes a file that ends in {', '.join(SUFFIXES[form])}; one that ends in "
            f"{path.suffix} is of --to {fitting}",
            str(path),
        )


def write(model: Network | Detector, form: str, path: Path, opset: int = DEFAULT_OPSET) -> None:
    """Write `model` (from `build`) as "onnx", "pt2", "safetensors", or as tensors by the names of "timm", "torchvision"
    or "ultralytics": safetensors, or what `torch.load` reads for a .pth. As "onnx" and "pt2" a `Detector` too.

    ONNX and .pt2 take any number of images; an ONNX file is checked by onnxruntime before it is left. Raises
    `InputError` for an opset that cannot be written, for a library that doesn't have the network, and for a suffix of
    another form.
    """
    check_suffix(form, path)
    FORMS[form](model, path, opset)
