"""One trained network: scored, used on images, exported; and the check of a data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, cast

import numpy as np
from typing_extensions import Unpack

from scalesearch.api.trained import (
    DATA_WANTED,
    Model,
    Opening,
    Trained,
    in_place,
    load_trained,
    splits_file,
    weights_in_folder,
)
from scalesearch.arch import Arch, Resolution
from scalesearch.data import (
    SOURCES,
    SUFFIXES,
    VIDEO_SUFFIXES,
    DataSet,
    check_distinct_name,
    data_set,
    examples,
    pixels_of,
)
from scalesearch.errors import InputError, check_kind, unknown_message
from scalesearch.files import save_text
from scalesearch.plain_data import PlainMapping
from scalesearch.signature import Count, Rule, Share, check_arguments, fields_of
from scalesearch.trials import task_of
from scalesearch.zoo import load

if TYPE_CHECKING:
    import PIL.Image

    from scalesearch.network import Network
    from scalesearch.weights import BoxEvaluation, Detections, Evaluation, InputFiles, Prediction

# a path, a folder, a Pillow image, uint8 pixels, or several of these
Image: TypeAlias = "str | Path | np.ndarray | PIL.Image.Image"
Images: TypeAlias = "Image | Sequence[Image]"


def dataset(data: str | Path | PlainMapping) -> DataSet:
    """Opens a data set of image files; its `health` says what is in it and what is wrong with it.

    Args:
        data: A path or `hf:OWNER/NAME`, or a mapping as a study's `data` section.

    Raises:
        InputError: If there is none.

    Example: `ss.dataset("photos/").health.warnings`
    """
    check_kind(data, (str, Path, Mapping), DATA_WANTED, "data")
    if isinstance(data, Mapping):
        return data_set(data)
    check_distinct_name(str(data))
    if str(data) in SOURCES:
        raise InputError(f"is built in and needs no check: {SOURCES[str(data)].origin}", str(data))
    return data_set(str(data))


def evaluate(
    model: Model,
    data: str | Path | PlainMapping,
    split: str = "test",
    **options: Unpack[Opening],
) -> Evaluation | BoxEvaluation:
    """Scores a trained network on the images of a split: top-1 and top-5, or COCO's average precision.

    Images are prepared as for `predict` and `detect`; classes are matched by name if both sides have names. A network
    that was trained on these images is scored on the splits of its training.

    Args:
        model: The folder of a trained network, or any other MODEL or architecture with `weights`.
        data: A path or a name, or a mapping as a study's `data` section.
        split: `train`, `val` or `test`.
        options: Of `load_trained`, such as `weights` and `device`.

    Raises:
        InputError: If the network does not fit the images, or an argument cannot be used.

    Example: `ss.evaluate("trained/mobilenet_v3_small", "photos/").top1`
    """
    from scalesearch.weights import evaluate as evaluate_classifier, evaluate_boxes

    check_kind(data, (str, Path, Mapping), DATA_WANTED, "data")
    trained = _opened(model, check_labels, options)
    finds_boxes = check_labels(trained.arch)
    config = {**data} if isinstance(data, Mapping) else str(data)
    split_examples = examples(config, split, splits_file(trained.folder) if trained.folder else None)
    if split_examples.boxes is not None and not finds_boxes:
        raise InputError("has boxes, and the network takes whole images", split_examples.origin)
    score = evaluate_boxes if finds_boxes else evaluate_classifier
    return score(trained.network, split_examples, trained.preparation, trained.classes, trained.device)


def predict(model: Model, images: Images, top: int = 5, **options: Unpack[Opening]) -> list[Prediction]:
    """Returns the most likely classes of every image, the likeliest first.

    Args:
        model: The folder of a trained classifier, or any other MODEL or architecture with `weights`.
        images: A path, a folder, a Pillow image, uint8 pixels `(height, width, channels)`, or a list of these. Files
            of a folder that are no images are left out.
        top: The number of classes.
        options: Of `load_trained`, such as `weights` and `device`.

    Raises:
        InputError: If the network is no classifier, or an image or an argument cannot be used.

    Example: `ss.predict("trained/mobilenet_v3_small", "cat.jpg")[0].top[0].name`
    """
    from scalesearch.weights import Prediction, predict as predict_images

    check_arguments("predict", fields_of(_predict_arguments), {"top": top})
    trained = _opened(model, lambda arch: check_classifier(arch, "predict"), options)
    stream = predict_images(trained.network, _inputs(images), trained.preparation, top, trained.device, trained.classes)
    return [result for result in stream if isinstance(result, Prediction)]


def detect(
    model: Model,
    images: Images,
    *,
    confidence: float = 0.25,
    iou: float = 0.7,
    most: int = 300,
    every: int = 1,
    batch: int = 8,
    **options: Unpack[Opening],
) -> list[Detections]:
    """Returns the boxes in images and in frames of videos, in pixels of the upright photo, best first.

    Args:
        model: The folder of a trained detector, or any other MODEL or architecture with `weights`.
        images: As for `predict`; also videos (extra `video`).
        confidence: Boxes must score higher than this, in [0, 1].
        iou: A box goes if a better one of its class overlaps it by more than this, in [0, 1].
        most: At most so many boxes per image are kept.
        every: Of a video, only every `every`-th frame is looked at.
        batch: Images per forward pass.
        options: Of `load_trained`, such as `weights` and `device`.

    Raises:
        InputError: If the network is no detector, or an image or an argument cannot be used.

    Example: `[(box.name, box.score) for box in ss.detect("trained/yolov8n", "street.jpg")[0].boxes]`
    """
    from scalesearch.weights import Detections, Threshold, detect as run_detector

    own = {"confidence": confidence, "iou": iou, "most": most, "every": every, "batch": batch}
    check_arguments("detect", fields_of(_detect_arguments), own)
    trained = _opened(model, check_detector, options)
    stream = run_detector(
        trained.network,
        _inputs(images, SUFFIXES | VIDEO_SUFFIXES),
        trained.preparation,
        Threshold(confidence, iou, most),
        batch,
        trained.device,
        every,
        trained.classes,
    )
    return [result for result in stream if isinstance(result, Detections)]


def export(
    model: Model,
    to: str,
    out: str | Path | None = None,
    *,
    weights: str | Path | None = None,
    resolution: Resolution | None = None,
    classes: int | None = None,
    raw: bool = False,
    replace_head: bool = False,
    seed: int = 0,
    opset: int = 18,
    boxes: tuple[float, float, int] | None = None,
    on_loaded_part: Callable[[str], None] = lambda part: None,
) -> str:
    """Writes a network to a file for use elsewhere; returns the source for `py`, else the path.

    Args:
        model: The folder of a trained network, or any other MODEL or architecture.
        to: `py` (Python source that needs only torch, without weights), `onnx`, `pt2`, `safetensors`, or weights under
            the names of `timm`, `torchvision` or `ultralytics`.
        out: The file; may be left out for `py`.
        weights: A file of weights, or `hf_hub:OWNER/NAME`; by default those in the folder, else fresh ones.
        resolution: Input resolution in pixels, a side or height and width.
        classes: Number of classes, instead of the model's own.
        raw: Load raw weights where a file has averaged ones too.
        replace_head: Keep a fresh head if the weights have other classes.
        seed: The seed of fresh weights.
        opset: ONNX's opset, 18 to 23.
        boxes: For a detector as onnx, pt2 or py: confidence, IoU and the most boxes of an image, with which decoding
            and suppression are included.
        on_loaded_part: Called with the part of the weights' file that was loaded, where it has several.

    Raises:
        InputError: If an argument cannot be used, or the network has no such form.

    Example: `ss.export("trained/mobilenet_v3_small", "onnx", "small.onnx")`
    """
    from scalesearch.exporting import FORMATS, WITH_BOXES, check_suffix, to_python, write

    found = in_place(model)
    if isinstance(found, Trained):
        weights = weights or found.weights
        found = found.folder or found.arch
    if out is not None:
        check_kind(out, (str, Path), "a file", "out")
    check_arguments("export", fields_of(_export_arguments), {"seed": seed, "boxes": boxes})
    if to not in FORMATS:
        raise InputError(f"takes {', '.join(FORMATS)}, got {to!r}", "to")
    arch = found if isinstance(found, Arch) else load(found, resolution=resolution, classes=classes)
    weights = weights or (None if isinstance(found, Arch) else weights_in_folder(found))
    if out is not None:
        check_suffix(to, Path(out))
    if boxes and to not in WITH_BOXES:
        raise InputError(f"is for {', '.join(WITH_BOXES)}, got {to}", "boxes")
    if out is None and to != "py":
        raise InputError(f"{to} needs a file: give out (-o FILE)", "export")
    if to == "py" and weights is None:
        text = to_python(arch, boxes=boxes)
    else:
        network = _with_weights(arch, to, weights, seed, replace_head, raw, on_loaded_part)
        if weights and to in WITH_BOXES:
            _add_metadata(network, str(weights))
        if to != "py":
            assert out is not None
            if boxes is None:
                write(network, to, Path(out), opset)
            else:
                from scalesearch.network import detector

                write(detector(network, *boxes), to, Path(out), opset)
            return str(out)
        text = to_python(network.arch, network.file_metadata, boxes)
    if out is not None:
        save_text(text, Path(out))
    return text


def check_classifier(arch: Arch, verb: str) -> None:
    """Raises `InputError`, at the command `verb`, if `arch` is no classifier."""
    if (task := task_of(arch)).verb != "predict":
        other = f"{task.verb} finds boxes" if task.verb else f"{verb} is for classifiers"
        raise InputError(f"{arch.name} is no classifier; {other}", verb)


def check_labels(arch: Arch) -> bool:
    """Returns whether `arch` is scored on boxes; raises `InputError` if it is neither that nor a classifier."""
    finds_boxes = task_of(arch).labels == "boxes"
    if not finds_boxes:
        check_classifier(arch, "evaluate")
    return finds_boxes


def check_detector(arch: Arch) -> None:
    """Raises `InputError` if `arch` is no detector."""
    if task_of(arch).verb != "detect":
        raise InputError(f"{arch.name} is no detector; predict is for classifiers", "detect")


def _opened(model: Model, check: Callable[[Arch], object], options: Opening) -> Trained:
    """Returns a trained network whose architecture `check` accepts; weights are read after that."""
    if unknown := next((name for name in options if name not in Opening.__annotations__), None):
        raise InputError(unknown_message("option", unknown, Opening.__annotations__), "options")
    found = in_place(model)
    if isinstance(found, (Arch, Trained)):
        check(found if isinstance(found, Arch) else found.arch)
        return load_trained(found, **options)
    arch = load(found, resolution=options.pop("resolution", None), classes=options.pop("classes", None))
    check(arch)
    options.setdefault("folder", found)
    return load_trained(arch, **options)


def _predict_arguments(*, top: Count) -> None:
    """Declares arguments of `predict` with their rules."""


def _detect_arguments(*, confidence: Share, iou: Share, most: Count, every: Count, batch: Count) -> None:
    """Declares arguments of `detect` with their rules."""


def _inputs(images: Images, suffixes: Iterable[str] = SUFFIXES) -> InputFiles:
    """Returns images in memory and on disk as predictions take them."""
    from scalesearch.weights import InputFiles, LoadedImage, find

    several = cast(Sequence[Any], images if isinstance(images, (list, tuple)) else [images])
    if isinstance(images, np.ndarray) and images.ndim == 4:
        several = list(images)
    explicit: list[Path | LoadedImage] = []
    in_folders: list[Path] = []
    for number, image in enumerate(several):
        if isinstance(image, (str, Path)):
            check_kind(image, (str, Path), "a path", "images")
            found = find([Path(image)], frozenset(suffixes))
            explicit += found.explicit
            in_folders += found.in_folders
        else:
            explicit.append(LoadedImage(f"image {number}", pixels_of(image, f"image {number}")))
    return InputFiles(explicit, in_folders)


def _export_arguments(
    *, seed: Annotated[int, Rule(low=0, high=2**63 - 1)], boxes: tuple[float, float, float] | None
) -> None:
    """Declares arguments of `export` with their rules."""


def _with_weights(
    arch: Arch,
    to: str,
    weights: str | Path | None,
    seed: int,
    replace_head: bool,
    raw: bool,
    on_loaded_part: Callable[[str], None],
) -> Network:
    """Returns the network with the weights of a file, or with fresh ones.

    With fresh weights that go under a library's names, it has the eps of the library's network.
    """
    import torch

    from scalesearch.network import build
    from scalesearch.weights import LIBRARIES, libraries_with, load_weights, with_library_eps

    if weights is None and to in LIBRARIES and to in libraries_with(arch):
        arch = with_library_eps(arch, to)
    torch.manual_seed(seed)
    model = build(arch)
    if weights is not None:
        load_weights(model, weights, replace_head=replace_head, raw=raw)
        on_loaded_part(model.loaded_part)
    return model.eval()


def _add_metadata(network: Network, weights: str) -> None:
    """Adds image preparation and class names, where they are known, to the network's metadata."""
    from scalesearch.weights import class_names_of, local_file, preparation_of

    file = local_file(weights)
    preparation = preparation_of(network.arch, network.library, file)
    network.file_metadata.setdefault("preparation", json.dumps(preparation._asdict()))
    if classes := class_names_of(network.arch, network.library, file):
        network.file_metadata.setdefault("classes", json.dumps(list(classes)))
