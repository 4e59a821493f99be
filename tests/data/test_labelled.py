"""Photos with boxes: three ways to write them come to the same, faults are put right and told, or refused in place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from boxed import unpacked
from helpers import invoke, refused
from hypothesis import given, settings, strategies as st
from making import picture
from PIL import Image

from scalesearch.data.boxes import targets
from scalesearch.data.images import LETTERBOX, fit_letterbox
from scalesearch.data.labelled import Box, LabelledImage, build_box_index
from scalesearch.data.pixels import load_store
from scalesearch.data.sources import data_set
from scalesearch.errors import InputError

# name of the photo: its sides, and its boxes by class, in pixels: left, top, right, bottom
PHOTOS = {
    "a": ((40, 30), [("cat", 4, 6, 20, 24), ("dog", 10, 0, 40, 30)]),
    "b": ((24, 48), [("dog", 0, 12, 12, 36)]),
    "c": ((32, 32), []),
    "d": ((60, 20), [("cat", 30, 5, 45, 15), ("cat", 0, 0, 15, 10)]),
}
CLASSES = ["cat", "dog"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def photo(path: Path, sides, boxes=(), exif=None):
    """A photo that is red inside its boxes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.stem)).integers(0, 40, (sides[1], sides[0], 3), np.uint8)
    for _, left, top, right, bottom in boxes:
        pixels[top:bottom, left:right] = (250, 0, 0)
    image = Image.fromarray(pixels)
    image.save(path, **({"exif": exif} if exif else {}))


def voc(folder: Path) -> Path:
    for name, (sides, boxes) in PHOTOS.items():
        photo(folder / "JPEGImages" / f"{name}.png", sides, boxes)
        objects = "".join(
            f"<object><name>{c}</name><bndbox><xmin>{x + 1}</xmin><ymin>{y + 1}</ymin><xmax>{right}</xmax>"
            f"<ymax>{bottom}</ymax></bndbox></object>"
            for c, x, y, right, bottom in boxes
        )
        size = f"<size><width>{sides[0]}</width><height>{sides[1]}</height></size>"
        write(folder / "Annotations" / f"{name}.xml", f"<annotation>{size}{objects}</annotation>")
    return folder


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def yolo(folder: Path) -> Path:
    for name, ((wide, high), boxes) in PHOTOS.items():
        photo(folder / "images" / f"{name}.png", (wide, high), boxes)
        lines = [
            f"{CLASSES.index(c)} {(x + r) / 2 / wide} {(y + b) / 2 / high} {(r - x) / wide} {(b - y) / high}"
            for c, x, y, r, b in boxes
        ]
        write(folder / "labels" / f"{name}.txt", "\n".join(lines) + "\n")
    write(folder / "data.yaml", "train: images\nnames: [cat, dog]\n")
    return folder


def coco(folder: Path) -> Path:
    payload = {"images": [], "annotations": [], "categories": [{"id": 7, "name": "cat"}, {"id": 9, "name": "dog"}]}
    for number, (name, (sides, boxes)) in enumerate(PHOTOS.items(), 100):
        photo(folder / "photos" / f"{name}.png", sides, boxes)
        payload["images"].append(
            {"id": number, "file_name": f"photos/{name}.png", "width": sides[0], "height": sides[1]}
        )
        payload["annotations"] += [
            {"image_id": number, "category_id": {"cat": 7, "dog": 9}[c], "bbox": [x, y, r - x, b - y]}
            for c, x, y, r, b in boxes
        ]
    write(folder / "annotations" / "instances.json", json.dumps(payload))
    return folder


def yolo_beside(folder: Path) -> Path:
    """As labelImg writes: labels beside the images."""
    yolo(folder)
    (folder / "data.yaml").unlink()
    for path in (folder / "labels").iterdir():
        path.rename(folder / "images" / path.name)
    (folder / "labels").rmdir()
    write(folder / "images" / "classes.txt", "cat\ndog\n")
    return folder


def cvat_yolo(folder: Path) -> Path:
    """As CVAT writes YOLO 1.1, with Darknet's prefix in the list."""
    yolo_beside(folder)
    (folder / "images" / "classes.txt").rename(folder / "obj.names")
    (folder / "images").rename(folder / "obj_train_data")
    write(folder / "train.txt", "".join(f"data/obj_train_data/{name}.png\n" for name in PHOTOS))
    return folder


def yolo_capital(folder: Path) -> Path:
    yolo(folder)
    (folder / "data.yaml").unlink()
    (folder / "images").rename(folder / "Images")
    (folder / "labels").rename(folder / "Labels")
    write(folder / "classes.txt", "cat\ndog\n")
    return folder


def voc_beside(folder: Path) -> Path:
    """As Roboflow writes VOC: a folder for each split, annotations beside the images."""
    voc(folder)
    for name in PHOTOS:
        split = folder / ("valid" if name == "d" else "train")
        split.mkdir(exist_ok=True)
        (folder / "Annotations" / f"{name}.xml").rename(split / f"{name}.xml")
        (folder / "JPEGImages" / f"{name}.png").rename(split / f"{name}.png")
    (folder / "Annotations").rmdir()
    (folder / "JPEGImages").rmdir()
    return folder


def label_studio_coco(folder: Path) -> Path:
    """As Label Studio writes COCO, on Windows."""
    file = coco(folder) / "annotations" / "instances.json"
    write(folder / "result.json", file.read_text().replace("photos/", "photos\\\\"))
    file.unlink()
    return folder


WRITTEN = {
    "VOC": voc,
    "YOLO": yolo,
    "COCO": coco,
    "labelImg's YOLO": yolo_beside,
    "CVAT's YOLO": cvat_yolo,
    "Images and Labels": yolo_capital,
    "Roboflow's VOC": voc_beside,
    "Label Studio's COCO": label_studio_coco,
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_every_way_to_write_boxes_gives_the_same(kind, tmp_path):
    index = data_set(str(WRITTEN[kind](tmp_path / "set"))).index
    assert index.classes == ("cat", "dog")
    truth, found = index.truth, {}
    for row, class_, (x, y, w, h) in zip(truth.image, truth.class_, truth.box):
        name = Path(index.names[row]).stem
        wide, high = PHOTOS[name][0]
        found.setdefault(name, []).append((CLASSES[class_], x * wide, y * high, (x + w) * wide, (y + h) * high))
    for name, (_, boxes) in PHOTOS.items():
        assert sorted(found.get(name, [])) == [(c, *map(pytest.approx, corners)) for c, *corners in sorted(boxes)]


def test_splits_are_those_of_the_folders_above_annotations(tmp_path):
    index = data_set(str(voc_beside(tmp_path / "set"))).index
    assert dict(zip(index.names, index.splits)) == {
        "train/a.png": "train",
        "train/b.png": "train",
        "train/c.png": "train",
        "valid/d.png": "val",
    }


def test_lists_decide_the_splits_to_the_letter(tmp_path):
    folder = voc(tmp_path / "set")
    lists = folder / "ImageSets" / "Main"
    write(lists / "train.txt", "a\nb.png\n")
    write(lists / "valid.txt", "d\nzz\n")
    write(lists / "trainval.txt", "a\nb\nd\n")
    write(lists / "cat_train.txt", "a 1\n")
    write(lists / "holdout.txt", "c\n")
    index = data_set(str(folder)).index
    splits = {Path(name).stem: split for name, split in zip(index.names, index.splits)}
    assert splits == {"a": "train", "b": "train", "d": "val"}
    assert index.ignored == {"ImageSets/Main/holdout.txt": 1, "images in no list of ImageSets/Main": 1}
    assert index.truth.absent == ("zz (ImageSets/Main/valid.txt:2)",)
    write(lists / "test.txt", "b\n")
    assert "ImageSets/Main/train.txt:2: b is in the list of test too" in refused("data", str(folder))
    for path in lists.glob("*.txt"):
        write(path, "zz\n" if path.name == "train.txt" else "")
    assert "ImageSets/Main: name none of its 4 images (such as a)" in refused("data", str(folder))


def test_darknets_lists_leave_out_what_they_do_not_name(tmp_path):
    folder = cvat_yolo(tmp_path / "set")
    write(folder / "train.txt", "obj_train_data\\a.png\nobj_train_data/b.png\n")
    write(folder / "valid.txt", "obj_train_data/d.png\n")
    index = data_set(str(folder)).index
    assert dict(zip((Path(name).stem for name in index.names), index.splits)) == {
        "a": "train",
        "b": "train",
        "d": "val",
    }
    assert index.ignored == {"images in no list (train.txt, valid.txt)": 1}
    write(folder / "valid.txt", "obj_train_data/a.png\n")
    assert "valid.txt: obj_train_data/a.png is in the list of another split too" in refused("data", str(folder))


def test_two_descriptions_are_never_settled_by_luck(tmp_path):
    folder = yolo(tmp_path / "set")
    write(folder / "other.yaml", "train: images\nnames: [cat, dog]\n")
    assert data_set(str(folder)).index.classes == ("cat", "dog")  # they agree
    write(folder / "other.yaml", "train: images\nnames: [dog, cat]\n")
    assert "data.yaml and other.yaml list different classes" in refused("data", str(folder))
    write(folder / "other.yaml", "names: [cat, dog\n")
    assert "other.yaml:" in refused("data", str(folder))
    (folder / "other.yaml").unlink()
    voc(folder)
    message = refused("data", str(folder))
    assert "is described in 2 ways: VOC's .xml files in" in message
    assert "YOLO's" in message

    class_folders = tmp_path / "folders"
    for name in CLASSES:
        photo(class_folders / name / "a.png", (20, 20))
    write(class_folders / "data.yaml", "train: cat\nnames: [cat, dog]\n")
    assert "classes by folders (cat, dog)" in refused("data", str(class_folders))


def test_oriented_boxes_are_not_taken_for_polygons(tmp_path):
    folder = yolo(tmp_path / "set")
    for path in (folder / "labels").iterdir():
        write(path, "0 0.1 0.1 0.3 0.2 0.2 0.4 0.05 0.3\n")
    assert "labels/a.txt: every object has four corners, as oriented boxes have" in refused("data", str(folder))
    write(folder / "labels" / "b.txt", "0 0.1 0.1 0.3 0.2 0.2 0.4\n")  # a triangle: these are polygons
    assert data_set(str(folder)).index.truth is not None


@pytest.mark.parametrize("size", [32, (24, 64)])
def test_targets_lie_where_the_boxes_are_in_the_pixels(size, tmp_path):
    """Photos are red inside their boxes, and nowhere else."""
    opened = data_set(str(voc(tmp_path / "set")))
    images = load_store(opened.index, opened.scan, size, 3, letterbox=True)
    payload = targets(opened.index.truth, opened.scan.widths, opened.scan.heights, size)
    assert (payload.classes >= 0).sum() == 5
    for i in range(len(payload)):
        high, wide = images.shape[1:3]
        inside = np.zeros((high, wide), bool)
        for x1, y1, x2, y2 in payload.boxes[i][payload.classes[i] >= 0]:
            inside[round(y1 * high) : round(y2 * high), round(x1 * wide) : round(x2 * wide)] = True
        red = (images[i, ..., 0] > 128) & (images[i, ..., 1] < LETTERBOX / 2)
        assert (red != inside).mean() < 0.06
        assert (images[i] == LETTERBOX).all(2).any() == (opened.scan.widths[i] * high != opened.scan.heights[i] * wide)


@given(
    st.integers(1, 400),
    st.integers(1, 400),
    st.integers(1, 300),
    st.integers(1, 300),
    st.tuples(*[st.floats(0, 0.9)] * 4),
)
def test_areas_and_extents_lead_back_to_the_photo(wide, high, rows, columns, share):
    box = Box(0, share[0], share[1], min(share[2] + 0.05, 1 - share[0]), min(share[3] + 0.05, 1 - share[1]))
    truth = build_box_index("x", [LabelledImage(Path("x.png"), "x", None, [box], (wide, high))], ["thing"]).truth
    payload = targets(truth, np.array([wide]), np.array([high]), (rows, columns))
    x1, y1, x2, y2 = payload.boxes[0, 0]
    lies = fit_letterbox(wide, high, (rows, columns))
    assert payload.area[0, 0] == pytest.approx(box.width * wide * box.height * high, rel=1e-4)
    assert (x2 - x1) * payload.extent[0, 0] == pytest.approx(box.width * wide, rel=1e-3, abs=1e-3)
    assert (y2 - y1) * payload.extent[0, 1] == pytest.approx(box.height * high, rel=1e-3, abs=1e-3)
    assert lies.left <= x1 * columns + 1e-3
    assert y2 * rows <= rows - lies.top + 1e-3


def test_a_photo_on_its_side_has_boxes_as_it_stands(tmp_path):
    folder = tmp_path / "set"
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(folder / "images" / "a.jpg", (60, 40), exif=exif)
    photo(folder / "images" / "b.jpg", (60, 40))
    for name in "ab":
        write(folder / "labels" / f"{name}.txt", "0 0.5 0.25 1 0.5\n")
    opened = data_set(str(folder))
    assert opened.scan.widths.tolist() == [40, 60]
    truth = opened.index.truth
    payload = targets(truth, opened.scan.widths, opened.scan.heights, 60)
    assert payload.boxes[0, 0] * 60 == pytest.approx([10, 0, 50, 30])
    assert payload.boxes[1, 0] * 60 == pytest.approx([0, 10, 60, 30])


def test_what_can_be_put_right_is_and_is_told(tmp_path):
    folder = yolo(tmp_path / "set")
    write(folder / "labels" / "a.txt", "0 0.95 0.5 0.3 0.2\n1 0.5 0.5 0 0.4\n1 0.3 0.3 0.2 0.2\n1 0.3 0.3 0.2 0.2\n")
    (folder / "labels" / "b.txt").unlink()
    write(folder / "labels" / "z.txt", "0 0.5 0.5 0.5 0.5\n")
    boxes = json.loads(invoke("data", str(folder), "--json", "--val", "0.3", "--test", "0.3").stdout)["boxes"]
    assert boxes["outside"] == boxes["empty"] == boxes["twice"] == ["images/a.png"]
    assert boxes["unlabelled"] == ["images/b.png"]
    assert boxes["absent"] == ["labels/z.txt"]
    assert boxes["count"] == 4
    assert boxes["images"] == 2


def test_a_polygon_is_the_box_around_it(tmp_path):
    folder = yolo(tmp_path / "set")
    write(folder / "labels" / "a.txt", "1 0.1 0.5 0.4 0.2 0.3 0.9\n")
    truth = data_set(str(folder)).index.truth
    assert truth.box[truth.image == 0].tolist() == [pytest.approx([0.1, 0.2, 0.3, 0.7])]


BAD = {
    "a class beyond the list": ("labels/a.txt", "1 .5 .5 .1 .1\n5 .5 .5 .1 .1\n", "labels/a.txt:2", "beyond the list"),
    "pixels": ("labels/a.txt", "0 20 15 10 8\n", "labels/a.txt:1", "like pixels"),
    "words": ("labels/a.txt", "cat .5 .5 .1 .1\n", "labels/a.txt:1", "takes numbers"),
    "too few": ("labels/a.txt", "0 .5 .5 .1\n", "labels/a.txt:1", "4 numbers"),
    "no finite number": ("labels/a.txt", "0 .5 nan .1 .1\n", "labels/a.txt:1", "takes finite numbers"),
    "keypoints": ("labels/a.txt", "0 .5 .5 .1 .1 .2 .3 2 .4 .5 2\n", "labels/a.txt:1", "or keypoints"),
    "half a class": ("labels/a.txt", "0.5 .5 .5 .1 .1\n", "labels/a.txt:1", "class's number"),
    "a YAML that leads out": ("data.yaml", "train: ../other\nnames: [cat, dog]\n", "data.yaml:1", "leads out"),
    "an absolute way out": ("data.yaml", "train: /etc\nnames: [cat, dog]\n", "data.yaml:1", "leads out"),
    "nothing there": ("data.yaml", "path: gone\ntrain: fotos\nnames: [cat, dog]\n", "data.yaml:2", "not there"),
    "names that lack one": ("data.yaml", "train: images\nnames: {0: cat, 2: dog}\n", "data.yaml:2", "numbers classes"),
    "keypoints in the YAML": (
        "data.yaml",
        "train: images\nkpt_shape: [17, 3]\nnames: [cat, dog]\n",
        "data.yaml:2",
        "keypoints",
    ),
    "one name twice": (
        "data.yaml",
        "train: images\nnames: [cat, cat]\n",
        "data.yaml:2",
        "name of two classes, 0 and 1",
    ),
    "one split twice": (
        "data.yaml",
        "val: images\nvalid: images\nnames: [cat, dog]\n",
        "data.yaml:1",
        "means the same split as valid",
    ),
    "nc beside names": ("data.yaml", "train: images\nnc: 3\nnames: [cat, dog]\n", "data.yaml:2", "nc"),
}


@pytest.mark.parametrize("case", BAD)
def test_yolo_labels_that_are_none_are_refused_where_they_stand(case, tmp_path):
    file, text, place, output = BAD[case]
    folder = yolo(tmp_path / "set")
    (tmp_path / "other").mkdir()
    write(folder / file, text)
    payload = refused("data", str(folder / "data.yaml"))
    assert place in payload
    assert output in payload


@pytest.mark.parametrize(
    "text, output",
    [
        ("<annotation><object></object></annotation>", "a.xml: object 1"),
        (
            "<annotation><object><name>cat</name><bndbox><xmin>x</xmin></bndbox></object></annotation>",
            "xmin is a number",
        ),
        ("<annotation>", "is no XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "declares entities"),
    ],
)
def test_an_annotation_that_is_none_is_refused(text, output, tmp_path):
    folder = voc(tmp_path / "set")
    write(folder / "Annotations" / "a.xml", text)
    assert output in refused("data", str(folder))


@pytest.mark.parametrize(
    "change, output",
    [
        (lambda t: t["annotations"][0].update(category_id=1), "annotations[0]: category_id 1 is of none"),
        (lambda t: t["annotations"][1].update(image_id=1), "annotations[1]: image_id 1 is of none"),
        (lambda t: t["annotations"][0].update(bbox=[1, 2, 3]), "annotations[0]: bbox is"),
        (lambda t: t["images"][0].update(file_name="../x.png"), "images[0]: file_name is"),
        (lambda t: t.pop("categories"), "needs lists called"),
        (lambda t: t["images"][1].update(id=100), "images[1]: has the id of images[0] (100)"),
        (lambda t: t["images"][1].update(file_name="photos/a.png"), "lists photos/a.png twice"),
        (lambda t: t["categories"][1].update(id=7), "categories[1]: has the id of categories[0] (7)"),
        (lambda t: t["categories"][1].update(name="cat"), '"cat" is the name of two classes, 7 and 9'),
        (lambda t: t["categories"][1].update(name=None), "categories[1]: needs a name, got None"),
        (lambda t: t["annotations"][0].update(iscrowd="0"), "annotations[0]: iscrowd is 0 or 1, got '0'"),
        (lambda t: t["annotations"][0].update(iscrowd=[]), "annotations[0]: iscrowd is 0 or 1, got []"),
    ],
)
def test_a_coco_file_that_is_none_is_refused(change, output, tmp_path):
    file = coco(tmp_path / "set") / "annotations" / "instances.json"
    payload = json.loads(file.read_text())
    change(payload)
    file.write_text(json.dumps(payload))
    assert output in refused("data", str(file))


def test_real_photos_of_blood_cells(tmp_path):
    """The counts that the data set's authors give (Shenggan/BCCD_Dataset), but for two boxes without area."""
    payload = json.loads(invoke("data", str(unpacked("bccd.tar", tmp_path) / "BCCD"), "--json").stdout)
    totals = {name: sum(counted.values()) for name, counted in payload["classes"].items()}
    assert totals == {"Platelets": 361, "RBC": 4155 - 2, "WBC": 372}
    assert {split: sum(c[split] for c in payload["classes"].values()) for split in payload["splits"]}.keys() == {
        "train",
        "val",
        "test",
    }
    assert len(payload["boxes"]["empty"]) == 2


@settings(max_examples=150)
@given(st.sampled_from(sorted(WRITTEN)), st.randoms(use_true_random=False))
def test_whatever_is_written_is_read_or_refused(tmp_path_factory, kind, rng):
    folder = tmp_path_factory.getbasetemp() / f"mutated-{kind}"
    if not folder.exists():
        WRITTEN[kind](folder)
    files = [p for p in sorted(folder.rglob("*")) if p.suffix in (".xml", ".txt", ".yaml", ".json")]
    path = rng.choice(files)
    whole = path.read_bytes()
    text = bytearray(whole)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(text) + 1)
        text[at : at + rng.randint(0, 8)] = rng.choice(
            (b"", b"nan", b"-1", b"[]", b"null", b"9" * 400, b"\xff", b"../", b"<", b'"', b"{", b"1e309", text[:20])
        )
    path.write_bytes(bytes(text))
    try:
        health, message = data_set(str(folder)).health, ""
    except InputError as error:
        health, message = None, str(error)
    finally:
        path.write_bytes(whole)
    assert "\n" not in message
    assert health is None or health.images <= health.files


def test_a_blank_line_among_the_names_of_classes_is_asked_about(tmp_path):
    for i in range(3):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "images").mkdir(exist_ok=True)
        picture("cat", i).save(tmp_path / "images" / f"{i}.png")
        (tmp_path / "labels" / f"{i}.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    (tmp_path / "classes.txt").write_text("cat\n\ndog\n")
    assert "classes.txt:2: is blank; remove the line, or write the class" in refused("data", str(tmp_path))


def test_images_that_a_second_split_lists_again_are_told(tmp_path):
    """As COCO128's YAML does."""
    for i in range(12):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "images").mkdir(exist_ok=True)
        picture("cat", i).save(tmp_path / "images" / f"{i}.png")
        (tmp_path / "labels" / f"{i}.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (tmp_path / "d.yaml").write_text("train: images\nval: images\nnames: {0: cat}\n")
    assert data_set(str(tmp_path / "d.yaml")).health.ignored == {"images that val has of train": 12}
