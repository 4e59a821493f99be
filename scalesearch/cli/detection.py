"""The `detect` command: boxes in photos and videos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from scalesearch.cli.group import main
from scalesearch.cli.options import PATH, Number, device_option, json_option, photo_arguments
from scalesearch.cli.printing import Rows, format_share, print_rows, with_bar
from scalesearch.cli.weights import open_trained
from scalesearch.errors import InputError, format_count, unknown_message
from scalesearch.plain_data import PlainDict

if TYPE_CHECKING:
    from scalesearch.arch import Resolution
    from scalesearch.weights import Detections

COCO, RESULTS = "coco.json", "results.json"
INFO = {"description": "found by scalesearch detect"}


@main.command()
@photo_arguments
@click.option("--confidence", type=Number(0, 1), default=0.25, help="Keep boxes that score higher than this.")
@click.option(
    "--iou",
    type=Number(0, 1),
    default=0.7,
    help="Drop a box if a better one of its class overlaps it by more than this (intersection over union).",
)
@click.option("--most", type=click.IntRange(1, 10_000), default=300, help="Keep at most this many boxes per image.")
@click.option("--only", help="Report only these classes: names or numbers, separated by commas.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for photos and videos with boxes drawn, labels/ (YOLO's text files) and coco.json.",
)
@click.option(
    "--coco",
    "coco_file",
    type=PATH,
    help="COCO's .json of these images: --out then has its ids of images and of classes, for pycocotools.",
)
@click.option("--every", type=click.IntRange(1), default=1, help="Look only at every N-th frame of a video.")
@click.option("--batch", type=click.IntRange(1, 1024), default=8, help="Images per forward pass.")
@device_option
@json_option
def detect(
    model: str,
    images: tuple[Path, ...],
    weights: str | None,
    raw: bool,
    resolution: Resolution | None,
    classes: int | None,
    names: Path | None,
    confidence: float,
    iou: float,
    most: int,
    only: str | None,
    out: Path | None,
    coco_file: Path | None,
    every: int,
    batch: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Find objects with MODEL, a detector with trained weights, in every IMAGE, folder of images, and video.

    Boxes are in pixels of the upright photo: x and y of the top left corner, width, height. Videos need the
    extra `video`.
    """
    from scalesearch.api import check_detector
    from scalesearch.data import SUFFIXES, VIDEO_SUFFIXES
    from scalesearch.weights import Detections, Threshold, count_pictures, detect as run_detector, find, is_video
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    check_detector(arch)
    files = find(images, SUFFIXES | VIDEO_SUFFIXES)
    if out is not None:
        _check_output_folder(out)
    trained = open_trained(arch, model, weights, device, raw, names)
    ids = _CocoIds.of(coco_file) if coco_file else None
    class_names = trained.classes or [str(number) for number in range(arch.classes)]
    threshold = Threshold(confidence, iou, most, _class_numbers(only, class_names) if only else None)
    stream = run_detector(trained.network, files, trained.preparation, threshold, batch, trained.device, every)
    outcomes = list(with_bar(stream, "detecting", count_pictures(files, every)))
    results = [outcome for outcome in outcomes if isinstance(outcome, Detections)]
    skipped = [outcome for outcome in outcomes if isinstance(outcome, Path)]
    for path in skipped:
        kind = "video" if is_video(path) else "image"
        click.echo(f"scalesearch: {path}: is no {kind} that can be read; skipped", err=True)
    if out is not None:
        _write_results(results, class_names, out, every, ids)
    rows: Rows = [
        {
            "image": str(r.image),
            **_frame_fields(r.frame, r.seconds),
            "class": b.class_,
            "name": class_names[b.class_],
            "score": b.score,
            "x": b.x,
            "y": b.y,
            "width": b.width,
            "height": b.height,
        }
        for r in results
        for b in r.boxes
    ]
    note = f"{format_count(len(rows), 'box')} in {format_count(len(results), 'image')}"
    if skipped:
        note += f", {len(skipped)} skipped"
    highest = max((result.highest for result in results), default=0.0)
    if results and not rows:
        note += f"; the highest score is {highest:.3g}, and boxes are kept above {confidence:g}: lower --confidence"
    if not as_json:
        for row in rows:
            row["score"] = format_share(row["score"])
            row.update({key: round(row[key]) for key in ("x", "y", "width", "height")})
    print_rows(rows, as_json, (note,))


def _class_numbers(text: str, class_names: Sequence[str]) -> list[int]:
    numbers = []
    for part in (part.strip() for part in text.split(",")):
        if part in class_names:
            numbers.append(class_names.index(part))
        elif part.isascii() and part.isdecimal() and int(part) < len(class_names):
            numbers.append(int(part))
        else:
            raise InputError(unknown_message("class", part, class_names), "--only")
    return numbers


def _check_output_folder(out: Path) -> None:
    """Raises `InputError` for a folder that holds anything other than earlier output of `detect`."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        if not out.exists() or not any(out.iterdir()):
            return
        if json.loads((out / COCO).read_text(encoding="utf-8"))["info"] == INFO:
            return
    raise InputError(f"{out} holds something else; give another folder", "--out")


class _CocoIds(NamedTuple):
    """The ids of images, by the end of their path, and of classes, by name, in a COCO file."""

    images: dict[str, Any]
    classes: dict[str, Any]

    @classmethod
    def of(cls, path: Path) -> _CocoIds:
        """Reads a COCO file. Raises `InputError` if it is none."""
        from scalesearch.data import coco_ids

        return cls(*coco_ids(path))

    def image(self, path: Path) -> Any:
        """Returns the id of an image. Raises `InputError` if the file does not list it."""
        parts = path.resolve().parts
        ends = ("/".join(parts[i:]) for i in range(len(parts)))
        found = next((self.images[end] for end in ends if end in self.images), None)
        if found is None:
            raise InputError("is not among the images of the COCO file", str(path))
        return found

    def category(self, name: str) -> Any:
        """Returns the id of a class. Raises `InputError` if the file has none of that name."""
        if name not in self.classes:
            raise InputError(unknown_message("class", name, self.classes), "--coco")
        return self.classes[name]


def _write_results(
    results: Sequence[Detections], class_names: Sequence[str], out: Path, every: int, ids: _CocoIds | None
) -> None:
    """Writes photos and videos with boxes drawn, YOLO label files (shares of the image's sides) and COCO's JSON.

    With `ids`, the list of boxes alone is written as `results.json` too, as pycocotools' `loadRes` takes it.
    """
    from scalesearch.files import save_text

    (out / "labels").mkdir(parents=True, exist_ok=True)
    used_stems: set[str] = set()
    video_paths: dict[Path, Path] = {}  # video → its copy with boxes drawn
    coco: PlainDict = {
        "info": INFO,
        "images": [],
        "annotations": [],
        "categories": [{"id": ids.category(name) if ids else i, "name": name} for i, name in enumerate(class_names)],
    }
    save_text(
        json.dumps(coco) + "\n", out / COCO
    )  # written first, so that the folder is recognised as ours if this is interrupted
    category_ids = [category["id"] for category in coco["categories"]]
    for position, result in enumerate(results, 1):
        number = ids.image(result.image) if ids else position
        image, width, height, boxes, frame, seconds, _ = result
        if frame is None:
            drawn_path = _unused_path(out / f"{image.stem}.jpg", used_stems)
            _draw_photo(result, class_names, drawn_path)
        else:
            if image not in video_paths:
                video_paths[image] = _unused_path(out / f"{image.stem}.mp4", used_stems)
            drawn_path = video_paths[image]
        lines = [
            f"{b.class_} {(b.x + b.width / 2) / width:.6f} {(b.y + b.height / 2) / height:.6f} "
            f"{b.width / width:.6f} {b.height / height:.6f}\n"
            for b in boxes
        ]
        label = drawn_path.stem if frame is None else f"{drawn_path.stem}_{frame:06d}"
        save_text("".join(lines), out / "labels" / f"{label}.txt")
        coco["images"].append(
            {"id": number, "file_name": str(image), "width": width, "height": height, "drawn": drawn_path.name}
            | _frame_fields(frame, seconds)
        )
        coco["annotations"] += [
            {
                "id": len(coco["annotations"]) + n,
                "image_id": number,
                "category_id": category_ids[b.class_],
                "iscrowd": 0,
                "bbox": [round(v, 2) for v in (b.x, b.y, b.width, b.height)],
                "area": round(b.width * b.height, 2),
                "score": round(b.score, 6),
            }
            for n, b in enumerate(boxes, 1)
        ]
    for video, path in video_paths.items():
        _draw_video(video, [result for result in results if result.image == video], class_names, path, every)
    save_text(json.dumps(coco, ensure_ascii=False) + "\n", out / COCO)
    if ids:
        keys = ("image_id", "category_id", "bbox", "score")
        boxes_alone = [{key: annotation[key] for key in keys} for annotation in coco["annotations"]]
        save_text(json.dumps(boxes_alone) + "\n", out / RESULTS)


def _unused_path(path: Path, used_stems: set[str]) -> Path:
    """Returns `path`, or a numbered variant if its stem is in `used_stems`, and adds the stem there."""
    names = chain([path.stem], (f"{path.stem}-{n}" for n in count(1)))
    stem = next(name for name in names if name not in used_stems)
    used_stems.add(stem)
    return path.with_stem(stem)


def _marks(result: Detections, class_names: Sequence[str]) -> list[Any]:
    from scalesearch.data import Mark

    return [
        Mark((b.x, b.y, b.width, b.height), f"{class_names[b.class_]} {b.score:.2f}", b.class_) for b in result.boxes
    ]


def _draw_photo(result: Detections, class_names: Sequence[str], path: Path) -> None:
    from scalesearch.data import save_drawing

    try:
        save_drawing(result.image, _marks(result, class_names), path)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        click.echo(f"scalesearch: {result.image}: can't be drawn as a JPEG ({error})", err=True)


def _draw_video(
    video: Path, detections: Sequence[Detections], class_names: Sequence[str], path: Path, every: int
) -> None:
    from scalesearch.data import draw_marks, frame_rate, frames, video_writer

    with video_writer(path, frame_rate(video) / every) as add:
        for frame, result in with_bar(zip(frames(video, every), detections), f"drawing {path.name}", len(detections)):
            add(draw_marks(frame.pixels, _marks(result, class_names)))


def _frame_fields(frame: int | None, seconds: float | None) -> PlainDict:
    return {} if frame is None else {"frame": frame, "seconds": round(seconds or 0.0, 3)}
