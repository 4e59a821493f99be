"""Writes files of networks and weights, each completely or not at all; the only importer of ONNX's libraries."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesearch.arch import expand
from scalesearch.data import LETTERBOX
from scalesearch.errors import InputError
from scalesearch.exporting.formats import check_suffix
from scalesearch.files import atomic_write, save_tensors
from scalesearch.plain_data import PlainDict
from scalesearch.trials import task_of

if TYPE_CHECKING:
    import torch

    from scalesearch.network import Detector, Network

OPSETS = range(18, 24)
DEFAULT_OPSET = 18
LIBRARIES = "timm", "torchvision", "ultralytics"
DETECTOR_OUTPUTS = ("boxes", "scores", "classes")
ALL_BOXES = ("all_boxes", "all_scores")  # further outputs while a file is compared with the network
TOLERANCE = 1e-4  # largest error of an output, relative to its largest value
BOX_TOLERANCE = 1e-3  # the same for boxes and scores, where exponentials and sigmoids amplify differences


def _write_safetensors(model: Network, path: Path, opset: int) -> None:
    """Writes the weights with metadata.

    This is the architecture, the norms' eps and, if known, image preparation and class names. For weights from
    a library, `prepared_as` names it.
    """
    metadata = _metadata(model) | {"norm_eps": repr(model.arch.norm_eps)}
    metadata |= {"prepared_as": model.library} if model.library != "scalesearch" else {}
    save_tensors(model.state_dict(), path, metadata)


def _write_pt2(model: Network | Detector, path: Path, opset: int) -> None:
    import torch

    with atomic_write(path) as temporary, torch.no_grad():
        program = torch.export.export(
            model.eval(), (_random_images(model, 2),), dynamic_shapes=({0: torch.export.Dim("batch")},)
        )
        torch.export.save(program, temporary, extra_files=_deployed_metadata(model))


def _write_onnx(model: Network | Detector, path: Path, opset: int) -> None:
    """Writes an ONNX file after comparing its outputs with the network's.

    Raises:
        InputError: If a package is missing, or the exporter cannot write this opset.
        RuntimeError: If the outputs differ.
    """
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

    with atomic_write(path) as temporary, _quiet():
        module = _with_all_boxes(model) if isinstance(model, Detector) else model.eval()
        program = torch.onnx.export(
            module,
            (_random_images(model, 2),),
            None,
            dynamo=True,
            opset_version=opset,
            verbose=False,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            input_names=["image"],
            output_names=[*_output_names(model), *(ALL_BOXES if module is not model else ())],
        )
        assert program is not None
        program.save(str(temporary))
        _compare(module, model, onnxruntime.InferenceSession(temporary, providers=["CPUExecutionProvider"]))
        onnx_model = onnx.load(temporary)
        written_opset = next(o.version for o in onnx_model.opset_import if o.domain in ("", "ai.onnx"))
        if written_opset < opset:
            raise InputError(f"the exporter could only write {written_opset} for this network, not {opset}", "--opset")
        if module is not model:
            del onnx_model.graph.output[len(DETECTOR_OUTPUTS) :]
        onnx.helper.set_model_props(onnx_model, _deployed_metadata(model))
        onnx_model.doc_string = usage(model)
        onnx.save(onnx_model, str(temporary))


def _with_all_boxes(detector: Detector) -> torch.nn.Module:
    """Returns a module that outputs all boxes and scores beside the chosen ones.

    Which boxes are chosen depends on the last bit where scores are nearly equal, so files are compared by all
    of them.
    """
    from torch import nn

    class WithAllBoxes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detector = detector

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            every = self.detector.decode(self.detector.network(image))
            return (*self.detector.select(*every), *every)

    return WithAllBoxes().eval()


def _compare(module: torch.nn.Module, model: Network | Detector, session: Any) -> None:
    """Compares onnxruntime's outputs with torch's on 1 and 3 images. Raises RuntimeError if they differ."""
    import torch

    for batch in (1, 3):
        images = _random_images(model, batch)
        with torch.no_grad():
            expected = module(images)
        expected = expected if isinstance(expected, tuple) else (expected,)
        outputs = [torch.from_numpy(out) for out in session.run(None, {"image": images.numpy()})]
        if module is not model:  # from the file's own boxes, torch must choose the same ones: those with equal scores
            chosen = model.select(*outputs[len(DETECTOR_OUTPUTS) :])  # type: ignore[operator]
            expected, outputs = (
                (chosen[1], *expected[len(DETECTOR_OUTPUTS) :]),
                [outputs[1], *outputs[len(DETECTOR_OUTPUTS) :]],
            )
        tolerance = TOLERANCE if module is model else BOX_TOLERANCE
        for ours, theirs in zip(expected, outputs, strict=True):
            error = (ours - theirs).abs().max() / ours.abs().max().clamp_min(1e-12)
            if not error <= tolerance:
                raise RuntimeError(f"the ONNX file gives other outputs than the network, by {error:.1e} of the largest")


def _metadata(model: Network | Detector) -> dict[str, str]:
    """Returns the metadata of a file: the architecture and, if known, image preparation and class names, as JSON."""
    network = _network(model)
    metadata = {
        key: value for key, value in getattr(network, "file_metadata", {}).items() if key in ("preparation", "classes")
    }
    return {"arch": json.dumps(network.arch.to_dict()), **metadata}


def _deployed_metadata(model: Network | Detector) -> dict[str, str]:
    """Returns the metadata of a file that runs elsewhere, with its input and outputs in words."""
    network, metadata = _network(model), _metadata(model)
    if task_of(network.arch).letterbox and "preparation" in metadata:
        metadata["preparation"] = json.dumps(_letterbox(network))
    return metadata | {"outputs": json.dumps(_output_names(model)), "usage": usage(model)}


def _letterbox(network: Network) -> PlainDict:
    """Returns how images are brought to a detector: shown whole in a letterbox, not cropped."""
    prepared = json.loads(network.file_metadata["preparation"])
    kept = {key: prepared[key] for key in ("interpolation", "mean", "std") if key in prepared}
    return {"letterbox": list(network.arch.sides), "grey": LETTERBOX, **kept}


def _output_names(model: Network | Detector) -> tuple[str, ...]:
    """Returns the names of the outputs: `logits` of a classifier, `boxes`, `scores` and `classes` of a `Detector`.

    A detector's own outputs, before they are decoded, are maps, numbered from the finest.
    """
    from scalesearch.network import Detector

    if isinstance(model, Detector):
        return DETECTOR_OUTPUTS
    if task_of(model.arch).name == "classification":
        return ("logits",)
    head = expand(model.arch).head
    return tuple(f"map_{i}" for i in range(len(head.outputs)))


def usage(model: Network | Detector) -> str:
    """Returns in words how an image is brought to the network, and what its outputs are."""
    network, names = _network(model), _output_names(model)
    arch, prepared = network.arch, json.loads(getattr(network, "file_metadata", {}).get("preparation", "{}"))
    height, width = arch.sides
    levels = f"minus {prepared['mean']}, divided by {prepared['std']}" if prepared else "normalised as in training"
    colours = "RGB" if arch.channels == 3 else "channels"
    shape = f"image: (batch, {arch.channels}, {height}, {width}), {colours} in [0, 1]"
    if not task_of(arch).letterbox:
        resized = f"resized to {prepared['resize']}, then cropped in the centre" if prepared else "resized"
        return f"{shape}, {levels}; {resized}. Outputs: {', '.join(names)}."
    fitted = f"letterboxed: scaled to fit, centred, the rest grey {LETTERBOX}"
    if names != DETECTOR_OUTPUTS:
        return f"{shape}, {levels}; {fitted}. Outputs: {', '.join(names)}, not decoded."
    return (
        f"{shape}, {levels}; {fitted}. Outputs, the likeliest first: boxes (batch, n, 4) as left, top, right, bottom "
        "in pixels of the input; scores (batch, n), 0 where there is no box; classes (batch, n), counted from 0."
    )


def _network(model: Network | Detector) -> Network:
    return getattr(model, "network", model)  # type: ignore[arg-type]


def _random_images(model: Network | Detector, batch: int) -> torch.Tensor:
    import torch

    arch, generator = _network(model).arch, torch.Generator().manual_seed(batch)
    return torch.randn(batch, arch.channels, *arch.sides, generator=generator)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences the exporter's progress and warnings; the result is checked afterwards."""
    logging.disable(logging.ERROR)
    try:
        sink = io.StringIO()
        with warnings.catch_warnings(), contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _library_writer(library: str) -> Callable[[Network, Path, int], None]:
    def write(model: Network, path: Path, opset: int) -> None:
        from scalesearch.weights import peer_weights

        tensors = peer_weights(model.arch, model.state_dict(), library)
        if path.suffix.lower() in (".safetensors", ""):
            save_tensors(tensors, path)
            return
        import torch

        with atomic_write(path) as temporary:
            torch.save(tensors, temporary)

    return write


WRITERS: dict[str, Callable[[Any, Path, int], None]] = {
    "onnx": _write_onnx,
    "pt2": _write_pt2,
    "safetensors": _write_safetensors,
    **{name: _library_writer(name) for name in LIBRARIES},
}


def write(model: Network | Detector, format_: str, path: Path, opset: int = DEFAULT_OPSET) -> None:
    """Writes `model` to `path`, completely or not at all.

    Args:
        model: A network from `build`; for "onnx" and "pt2" also a `Detector`.
        format_: "onnx", "pt2", "safetensors", or "timm", "torchvision" or "ultralytics" for tensors under that
            library's names (safetensors, or a pickle for `torch.load` if the suffix is .pth, .pt, .bin or
            .ckpt).
        path: The file.
        opset: The ONNX opset, 18 to 23.

    ONNX and .pt2 files take any number of images. An ONNX file is checked with onnxruntime before it is kept.

    Raises:
        InputError: If the opset cannot be written, the library does not have the network, or the suffix belongs
            to another format.
    """
    check_suffix(format_, path)
    WRITERS[format_](model, path, opset)
