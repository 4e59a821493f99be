"""Boxes in photos: where Ultralytics finds them, in the photo's own pixels however it lies, drawn and written down."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import invoke, liven, refused
from PIL import Image
from safetensors.torch import save_file

import scalesearch as ss
from scalesearch.data.images import letterbox_image
from scalesearch.files import save_tensors
from scalesearch.space import arch_to_yaml

SIDES = "96x128"


@pytest.fixture(scope="module")
def peer(torchvision_models):
    """Ultralytics' YOLOv8n, its weights not trained but lively, and sure of something now and then."""
    pytest.importorskip("ultralytics")
    from peers import ultralytics_model

    torch.manual_seed(0)
    network = liven(ultralytics_model("yolov8n")()).eval()
    head = network.model[-1]
    head.stride = torch.tensor([8.0, 16.0, 32.0])
    seen = torch.stack([torch.from_numpy(letterbox_image(noise(seed), (96, 128), 3)[0].copy()) for seed in range(4)])
    with torch.no_grad():
        for scale in head.cv3:
            scale[-1].bias.zero_()
        every = network(seen.permute(0, 3, 1, 2).float() / 255)[1]["scores"].split([192, 48, 12], 2)
        for scale, own in zip(head.cv3, every):
            by_class = own.transpose(0, 1).flatten(1)
            scale[-1].weight.div_(by_class.std(1).view(-1, 1, 1, 1))
            scale[-1].bias.copy_(-4 - by_class.mean(1) / by_class.std(1))
    return network


@pytest.fixture
def weights(peer, tmp_path):
    path = tmp_path / "w.pt"
    torch.save(peer.state_dict(), path)
    return path


def noise(seed, width=128, height=96):
    coarse = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def photo(path, width=128, height=96, seed=0):
    Image.fromarray(noise(seed, width, height)).save(path)
    return path


def detect(*arguments):
    return json.loads(invoke("detect", "yolov8n", "--resolution", SIDES, "--json", *map(str, arguments)).stdout)


def test_boxes_are_where_ultralytics_finds_them(peer, weights, tmp_path, monkeypatch):
    from ultralytics.utils import nms

    monkeypatch.setattr(nms, "sys", SimpleNamespace(modules={}))  # torchvision's compiled operators aren't here
    images = [photo(tmp_path / "a.png"), photo(tmp_path / "b.png", 128, 64, 1), photo(tmp_path / "c.png", 80, 96, 2)]
    rows = detect(*images, "--weights", weights, "--confidence", 0.3, "--iou", 0.5)
    total = 0
    for path in images:
        pixels, placed = letterbox_image(path, (96, 128), 3)
        with torch.no_grad():
            out = peer(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255)[0]
        (expected,) = nms.non_max_suppression(out, 0.3, 0.5, max_wh=1000)
        own = [row for row in rows if row["image"] == str(path)]
        assert placed.pixels == (1, 1)
        assert len(own) == len(expected) > 1
        for row, (x, y, right, bottom, score, class_) in zip(own, expected.tolist()):
            assert (row["class"], row["score"]) == (int(class_), pytest.approx(score, abs=1e-4))
            x, right = (min(max(v - placed.left, 0), placed.width) for v in (x, right))
            y, bottom = (min(max(v - placed.top, 0), placed.height) for v in (y, bottom))
            own_box = [row["x"], row["y"], row["x"] + row["width"], row["y"] + row["height"]]
            assert own_box == pytest.approx([x, y, right, bottom], abs=0.05)
            total += 1
    assert total > 6
    assert {row["name"] for row in rows} <= {*ss.zoo.class_names(ss.load("yolov8n"))}


def test_boxes_are_in_the_photos_own_pixels(weights, tmp_path):
    """Of a photo four times as large they are four times as far and as wide; of one that lies turned, as it stands."""
    given = ("--weights", weights, "--confidence", 0.3)
    small = detect(photo(tmp_path / "a.png"), *given)
    image = Image.open(tmp_path / "a.png")
    image.resize((512, 384), Image.Resampling.NEAREST).save(tmp_path / "large.png")
    large = detect(tmp_path / "large.png", *given)
    best, four = small[0], large[0]
    assert [four[k] / 4 for k in ("x", "y", "width", "height")] == pytest.approx(
        [best[k] for k in ("x", "y", "width", "height")], abs=3
    )
    exif = Image.Exif()
    exif[0x0112] = 6
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    assert [row | {"image": ""} for row in detect(tmp_path / "turned.png", *given)] == [
        row | {"image": ""} for row in small
    ]


def test_what_is_found_is_drawn_and_written_down(weights, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    photo(folder / "a.png"), photo(folder / "b.png", 64, 64, 3)
    (folder / "broken.jpg").write_bytes(b"no image")
    out = tmp_path / "found"
    done = invoke(
        "detect",
        "yolov8n",
        "--resolution",
        SIDES,
        str(folder),
        "--weights",
        str(weights),
        "--confidence",
        "0.3",
        "--out",
        str(out),
        "--json",
    )
    rows = json.loads(done.stdout)
    assert "broken.jpg: is no image that can be read; skipped" in done.stderr
    coco = json.loads((out / "coco.json").read_text())
    assert [i["file_name"] for i in coco["images"]] == [str(folder / name) for name in ("a.png", "b.png")]
    assert len(coco["annotations"]) == len(rows)
    assert [a["category_id"] for a in coco["annotations"]] == [row["class"] for row in rows]
    lines = (out / "labels" / "a.txt").read_text().splitlines()
    own = [row for row in rows if row["image"].endswith("a.png")]
    class_, x, y, width, height = map(float, lines[0].split())
    assert len(lines) == len(own)
    assert class_ == own[0]["class"]
    assert (x - width / 2) * 128 == pytest.approx(own[0]["x"], abs=0.01)
    assert (y - height / 2) * 96 == pytest.approx(own[0]["y"], abs=0.01)
    drawn, before = (np.asarray(Image.open(p).convert("RGB")).astype(int) for p in (out / "a.jpg", folder / "a.png"))
    assert drawn.shape == before.shape
    assert np.abs(drawn - before).max() > 60
    before = {p: p.read_bytes() for p in folder.iterdir()}
    for other in (folder, tmp_path / "mine"):
        (tmp_path / "mine").mkdir(exist_ok=True)
        (tmp_path / "mine" / "coco.json").write_text('{"images": []}')
        assert "holds something else; give another folder" in refused(
            "detect", "yolov8n", str(folder), "--weights", str(weights), "--out", str(other)
        )
    assert before == {p: p.read_bytes() for p in folder.iterdir()}
    again = invoke(
        "detect", "yolov8n", "--resolution", SIDES, str(folder / "a.png"), "--weights", str(weights), "--out", str(out)
    )
    assert again.exit_code == 0
    assert len(json.loads((out / "coco.json").read_text())["images"]) == 1
    one = own[0]["name"]
    only = detect(folder / "a.png", "--weights", weights, "--confidence", 0.3, "--only", one)
    assert only == [
        row for row in detect(folder / "a.png", "--weights", weights, "--confidence", 0.3) if row["name"] == one
    ]
    Image.new("RGB", (70_000, 3)).save(folder / "long.png")
    done = invoke("detect", "yolov8n", "--resolution", SIDES, str(folder), "--weights", str(weights), "--out", str(out))
    assert done.exit_code == 0
    assert "long.png: can't be drawn as a JPEG" in done.stderr
    assert (out / "b.jpg").exists()


def video(path, pictures, rotation=0, codec="ffv1", pixels="bgr0"):
    """Losslessly, ten frames a second; `rotation` as telephones write it."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], pixels
        if rotation:
            stream.set_display_rotation(rotation)
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        container.mux(stream.encode(None))
    return path


def plain(rows):
    """Without the file, and as exact as batches of another size leave it."""
    return [
        {key: round(v, 3) if isinstance(v, float) else v for key, v in row.items() if key != "image"} for row in rows
    ]


def test_a_video_is_as_many_photos(weights, tmp_path):
    given = ("--weights", weights, "--confidence", 0.3, "--batch", 3)
    photos = [photo(tmp_path / f"{seed}.png", seed=seed) for seed in range(5)]
    pictures = [noise(seed) for seed in range(5)]
    single = [row | {"frame": i, "seconds": i / 10} for i, path in enumerate(photos) for row in detect(path, *given)]
    clip = video(tmp_path / "clip.mkv", pictures)
    rows = detect(clip, *given)
    assert {row["image"] for row in rows} == {str(clip)}
    assert len(rows) > 5
    assert plain(rows) == plain(single)
    assert plain(detect(clip, *given, "--every", 2)) == plain(r for r in single if r["frame"] % 2 == 0)
    lying = video(tmp_path / "lying.mov", [np.rot90(p, -1) for p in pictures], 90, "qtrle", "rgb24")
    assert plain(detect(lying, *given)) == plain(single)


def test_what_is_found_in_a_video_is_drawn_and_written_down(weights, tmp_path):
    import av

    folder, out = tmp_path / "mixed", tmp_path / "found"
    folder.mkdir()
    photo(folder / "clip.png", seed=7)
    video(folder / "clip.avi", [noise(seed, 127, 97) for seed in range(6)])
    (folder / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{folder / 'clip.avi'}\n#EXT-X-ENDLIST\n")
    done = invoke(
        "detect",
        "yolov8n",
        "--resolution",
        SIDES,
        str(folder),
        "--weights",
        str(weights),
        "--confidence",
        "0.3",
        "--out",
        str(out),
        "--every",
        "2",
        "--json",
    )
    assert "list.mp4: is no video that can be read; skipped" in done.stderr
    coco = json.loads((out / "coco.json").read_text())
    assert [(i["drawn"], i.get("frame"), i.get("seconds")) for i in coco["images"]] == [
        ("clip.mp4", 0, 0),
        ("clip.mp4", 2, 0.2),
        ("clip.mp4", 4, 0.4),
        ("clip-1.jpg", None, None),
    ]
    labels = {"clip_000000.txt", "clip_000002.txt", "clip_000004.txt", "clip-1.txt"}
    assert {path.name for path in (out / "labels").iterdir()} == labels
    assert (
        len(coco["annotations"])
        == len(json.loads(done.stdout))
        == sum(len((out / "labels" / name).read_text().splitlines()) for name in labels)
    )
    with av.open(str(out / "clip.mp4")) as drawn:
        stream = drawn.streams.video[0]
        there = [frame.to_ndarray(format="rgb24").astype(int) for frame in drawn.decode(stream)]
        assert (len(there), float(stream.average_rate), there[0].shape) == (3, 5.0, (96, 126, 3))
    before = noise(2, 127, 97)[:96, :126].astype(int)
    assert np.median(np.abs(there[1] - before)) < 20 < 60 < np.abs(there[1] - before).max()


def test_what_is_no_video_is_said(weights, tmp_path, monkeypatch):
    given = ("--weights", str(weights))
    (tmp_path / "a.mp4").write_bytes(b"no video")
    (tmp_path / "b.mp4").write_bytes(b"")
    whole = video(tmp_path / "c.mp4", [noise(0)] * 5, codec="mpeg4", pixels="yuv420p").read_bytes()
    (tmp_path / "d.mp4").write_bytes(whole[: len(whole) // 2])
    for name in "abd":
        broken = tmp_path / f"{name}.mp4"
        assert f"{broken}: is no video that can be read" in refused("detect", "yolov8n", str(broken), *given)
    monkeypatch.setitem(sys.modules, "av", None)
    assert "a video needs PyAV: pip install 'scalesearch[video]'" in refused(
        "detect", "yolov8n", str(tmp_path / "c.mp4"), *given
    )


def test_mistakes_are_one_line(weights, tmp_path):
    good = str(photo(tmp_path / "a.png"))
    assert "resnet18 is no detector; predict is for classifiers" in refused("detect", "resnet18", good)
    assert "needs weights" in refused("detect", "yolov8n", good)
    given = ("detect", "yolov8n", good, "--weights", str(weights))
    assert "takes a number between 0 and 1" in refused(*given, "--confidence", "nan")
    assert "--only: unknown " in refused(*given, "--only", "unicorn")
    assert "is no file and no folder" in refused("detect", "yolov8n", "nowhere.jpg", "--weights", str(weights))
    (tmp_path / "b.jpg").write_bytes(b"x")
    assert "b.jpg: is no image that can be read" in refused(
        "detect", "yolov8n", str(tmp_path / "b.jpg"), "--weights", str(weights)
    )
    huge = {
        key: value * 1e20 if key.endswith("conv.weight") else value
        for key, value in torch.load(weights, weights_only=True).items()
    }
    save_file(huge, tmp_path / "huge.safetensors")
    failed = invoke("detect", "yolov8n", good, "--weights", str(tmp_path / "huge.safetensors"))
    assert failed.exit_code == 1
    assert "a.png: the network's outputs are no finite numbers" in failed.stderr


@pytest.fixture(scope="module")
def small_detector(tmp_path_factory):
    """A detector of two classes with lively weights, in a folder that is a MODEL."""
    folder = tmp_path_factory.mktemp("small")
    arch = ss.load("mobilenet_v3_small+yolov8", resolution=64, classes=2)
    torch.manual_seed(0)
    (folder / "arch.yaml").write_text(arch_to_yaml(arch))
    save_tensors(
        liven(ss.build(arch)).state_dict(),
        folder / "weights.safetensors",
        {"classes": json.dumps(["cat", "dog"]), "arch": json.dumps(arch.to_dict())},
    )
    return folder


def test_without_a_box_the_highest_score_is_said(small_detector, tmp_path):
    result = invoke("detect", str(small_detector), str(photo(tmp_path / "a.png")), "--confidence", "1")
    assert "0 boxes in 1 image; the highest score is " in result.stderr
    assert "and boxes are kept above 1: lower --confidence" in result.stderr


def test_ids_of_a_coco_set_come_back_as_pycocotools_takes_them(small_detector, tmp_path):
    pycocotools = pytest.importorskip("pycocotools.coco")
    (tmp_path / "images").mkdir()
    for seed in range(3):
        photo(tmp_path / "images" / f"{seed}.png", seed=seed)
    truth = {
        "images": [{"id": 70 + n, "file_name": f"images\\{n}.png", "width": 128, "height": 96} for n in range(3)],
        "annotations": [
            {"id": n, "image_id": 70 + n, "category_id": 9, "bbox": [0, 0, 50, 50], "area": 2500, "iscrowd": 0}
            for n in range(3)
        ],
        "categories": [{"id": 9, "name": "dog"}, {"id": 7, "name": "cat"}],
    }
    file = tmp_path / "truth.json"
    file.write_text(json.dumps(truth))
    out = tmp_path / "out"
    command = ("detect", str(small_detector), str(tmp_path / "images"), "--confidence", "0", "--out", str(out))
    assert invoke(*command, "--coco", str(file)).exit_code == 0
    results = json.loads((out / "results.json").read_text())
    assert {row["image_id"] for row in results} == {70, 71, 72}
    assert {row["category_id"] for row in results} <= {7, 9}
    pycocotools.COCO(str(file)).loadRes(str(out / "results.json"))
    truth["categories"][1]["name"] = "bird"
    file.write_text(json.dumps(truth))
    assert '--coco: unknown class "cat"; takes dog, bird' in refused(*command, "--coco", str(file))
