"""Boxes in photos and videos: `detect`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scalesearch.cli.group import main
from scalesearch.cli.printing import Number, Rows, guarded_command, json_option, print_rows, share, with_bar
from scalesearch.cli.weights import class_names_in, own_weights, photo_arguments, ready
from scalesearch.errors import InputError, numbered, unknown

if TYPE_CHECKING:
    from scalesearch.weights import Detections

COCO, INFO = "coco.json", {"description": "found by scalesearch detect"}


@main.command()
@photo_arguments
@click.option("--confidence", type=Number(0, 1), default=0.25, show_default=True, help="Of boxes, more than this.")
@click.option(
    "--iou",
    type=Number(0, 1),
    default=0.7,
    show_default=True,
    help="A box that a likelier one of its class covers by more than this is left out.",
)
@click.option("--most", type=click.IntRange(1, 10_000), default=300, show_default=True, help="Boxes of an image.")
@click.option("--only", help="These classes alone, by name or number, with commas between.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for photos and videos with boxes drawn, labels/ (YOLO's text files) and coco.json.",
)
@click.option(
    "--every", type=click.IntRange(1), default=1, show_default=True, help="Of a video, every so manieth frame."
)
@click.option("--batch", type=click.IntRange(1, 1024), default=8, show_default=True)
@click.option("--device", help="cuda, cuda:1 or cpu; a GPU where there is one.")
@json_option
@guarded_command
def detect(
    model: str,
    images: tuple[Path, ...],
    weights: str | None,
    raw: bool,
    resolution: Any,
    classes: int | None,
    names: Path | None,
    confidence: float,
    iou: float,
    most: int,
    only: str | None,
    out: Path | None,
    every: int,
    batch: int,
    device: str | None,
    as_json: bool,
) -> None:
    """Boxes around what MODEL, a detector with trained weights, sees in every IMAGE, in all images of a folder, and in
    videos (extra `video`).

    Boxes are in the photo's own pixels as it stands upright: x and y of the first corner, width, height.
    """
    from scalesearch.data import SUFFIXES, VIDEO_SUFFIXES
    from scalesearch.trials import task_of
    from scalesearch.weights import Detections, Threshold, detect as detected, find, how_many, is_video
    from scalesearch.zoo import load

    arch = load(model, resolution=resolution, classes=classes)
    if task_of(arch).verb != "detect":
        raise InputError(f"{arch.name} is no detector; predict is for classifiers", "detect")
    found = find(images, SUFFIXES | VIDEO_SUFFIXES)
    if out is not None:
        _check_own(out)
    named = class_names_in(names, arch.classes) if names else None
    given = ready(arch, own_weights(model, weights), device, raw)
    called = named or given.classes or [str(number) for number in range(arch.classes)]
    threshold = Threshold(confidence, iou, most, _numbers(only, called) if only else None)
    results: list[Detections] = []
    skipped: list[Path] = []
    running = detected(given.network, found, given.preparation, threshold, batch, given.device, every)
    for result in with_bar(running, "detecting", how_many(found, every)):
        if isinstance(result, Detections):
            results.append(result)
        else:
            skipped.append(result)
    for path in skipped:
        kind = "video" if is_video(path) else "image"
        click.echo(f"scalesearch: {path}: is no {kind} that can be read; skipped", err=True)
    if out is not None:
        _leave(results, called, out, every)
    rows: Rows = [
        {
            "image": str(r.image),
            **_moment(r.frame, r.seconds),
            "class": b.class_,
            "name": called[b.class_],
            "score": b.score,
            "x": b.x,
            "y": b.y,
            "width": b.width,
            "height": b.height,
        }
        for r in results
        for b in r.boxes
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    whole = ("x", "y", "width", "height")
    print_rows(
        [row | {"score": share(row["score"])} | {key: round(row[key]) for key in whole} for row in rows],
        False,
        (
            f"{numbered(len(rows), 'box')} in {numbered(len(results), 'image')}"
            + (f", {len(skipped)} skipped" if skipped else ""),
        ),
    )


def _numbers(text: str, called: Sequence[str]) -> list[int]:
    found = []
    for part in (part.strip() for part in text.split(",")):
        if part in called:
            found.append(called.index(part))
        elif part.isascii() and part.isdecimal() and int(part) < len(called):
            found.append(int(part))
        else:
            raise InputError(unknown("class", part, called), "--only")
    return found


def _check_own(out: Path) -> None:
    """Raises `InputError` for a folder that holds anything but an earlier output of ours."""
    try:
        ours = (
            not out.exists()
            or not any(out.iterdir())
            or json.loads((out / COCO).read_text(encoding="utf-8"))["info"] == INFO
        )
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise InputError(f"{out} holds something else; give another folder", "--out")


def _leave(results: Sequence[Detections], called: Sequence[str], out: Path, every: int) -> None:
    """Photos and videos with boxes, a text file of each image in shares of its sides as YOLO has them, and all as
    COCO's json."""
    from scalesearch.files import save_text

    (out / "labels").mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    drawn: dict[Path, Path] = {}  # of videos
    videos: dict[Path, list[Detections]] = {}
    coco: dict[str, Any] = {
        "info": INFO,
        "images": [],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in enumerate(called)],
    }
    save_text(json.dumps(coco) + "\n", out / COCO)  # whatever comes between, the folder is known as ours
    for number, result in enumerate(results, 1):
        image, width, height, boxes, frame, seconds = result
        if frame is None:
            there = _free(out / f"{image.stem}.jpg", taken)
            _draw(result, called, there)
        else:
            if image not in drawn:
                drawn[image] = _free(out / f"{image.stem}.mp4", taken)
            there = drawn[image]
            videos.setdefault(image, []).append(result)
        lines = [
            f"{b.class_} {(b.x + b.width / 2) / width:.6f} {(b.y + b.height / 2) / height:.6f} "
            f"{b.width / width:.6f} {b.height / height:.6f}\n"
            for b in boxes
        ]
        label = there.stem if frame is None else f"{there.stem}_{frame:06d}"
        save_text("".join(lines), out / "labels" / f"{label}.txt")
        coco["images"].append(
            {"id": number, "file_name": str(image), "width": width, "height": height, "drawn": there.name}
            | _moment(frame, seconds)
        )
        coco["annotations"] += [
            {
                "id": len(coco["annotations"]) + n,
                "image_id": number,
                "category_id": b.class_,
                "iscrowd": 0,
                "bbox": [round(v, 2) for v in (b.x, b.y, b.width, b.height)],
                "area": round(b.width * b.height, 2),
                "score": round(b.score, 6),
            }
            for n, b in enumerate(boxes, 1)
        ]
    for video, of in videos.items():
        _draw_video(video, of, called, drawn[video], every)
    save_text(json.dumps(coco, ensure_ascii=False) + "\n", out / COCO)


def _free(path: Path, taken: set[str]) -> Path:
    """That file, or one of another name where a file of that stem is to be there; its stem is `taken` then."""
    names = chain([path.stem], (f"{path.stem}-{n}" for n in count(1)))
    stem = next(name for name in names if name not in taken)
    taken.add(stem)
    return path.with_stem(stem)


def _marks(result: Detections, called: Sequence[str]) -> list[Any]:
    from scalesearch.data import Mark

    return [Mark((b.x, b.y, b.width, b.height), f"{called[b.class_]} {b.score:.2f}", b.class_) for b in result.boxes]


def _draw(result: Detections, called: Sequence[str], path: Path) -> None:
    from scalesearch.data import save_marked

    try:
        save_marked(result.image, _marks(result, called), path)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        click.echo(f"scalesearch: {result.image}: can't be drawn as a JPEG ({error})", err=True)


def _draw_video(video: Path, of: Sequence[Detections], called: Sequence[str], path: Path, every: int) -> None:
    from scalesearch.data import frame_rate, frames, marked, written

    with written(path, frame_rate(video) / every) as add:
        for frame, result in with_bar(zip(frames(video, every), of), f"drawing {path.name}", len(of)):
            add(marked(frame.pixels, _marks(result, called)))


def _moment(frame: int | None, seconds: float | None) -> dict[str, Any]:
    return {} if frame is None else {"frame": frame, "seconds": round(seconds or 0.0, 3)}
