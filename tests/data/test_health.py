"""What is wrong with a data set: found, named, and either lived with or refused in a line."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from helpers import invoke, refused
from making import encoded, folder, parquet, picture
from PIL import Image, features

from scalesearch.data import pixels as pixels_module
from scalesearch.data.images import center_crop, examine_image, open_image
from scalesearch.data.sources import data_set, load, source
from scalesearch.errors import InputError, WorkFailed

COUNTS = {"cat": 20, "dog": 30}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def photos(tmp_path):
    return folder(tmp_path / "photos", COUNTS)


def payload(path):
    return json.loads(invoke("data", str(path), "--json").stdout)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_images_come_upright(orientation, tmp_path):
    upright = picture("cat", 1, (48, 32))
    back = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    stored = upright
    for step in back.get(orientation, []):
        stored = stored.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(center_crop(tmp_path / "a.png", 32, 3), np.asarray(upright)[:, 8:40])
    assert examine_image(tmp_path / "a.png").turned == (orientation != 1)


def test_modes_are_brought_to_eight_bits_and_told(photos):
    base = picture("cat", 900)
    base.convert("L").save(photos / "cat" / "grey.png")
    base.convert("CMYK").save(photos / "cat" / "cmyk.jpg")
    picture("cat", 901).convert("P").save(photos / "cat" / "palette.png")
    clear = picture("cat", 902).convert("RGBA")
    clear.putalpha(0)
    clear.save(photos / "cat" / "clear.png")
    deep = np.linspace(0, 65535, 20 * 24).astype(np.uint16).reshape(20, 24)
    Image.fromarray(deep).save(photos / "cat" / "deep.png")
    base.save(photos / "cat" / "moving.gif", save_all=True, append_images=[picture("dog", 1)])
    found = payload(photos)
    assert found["modes"] == {"RGB": 50, "grey": 1, "CMYK": 1, "palette": 2, "alpha": 1, "16-bit": 1}
    assert found["animated"] == ["cat/moving.gif"]
    assert found["unreadable"] == []
    assert (center_crop(photos / "cat" / "clear.png", 20, 3) == 255).all()
    assert center_crop(photos / "cat" / "deep.png", 20, 1).mean() == pytest.approx(127, abs=2)
    first = center_crop(photos / "cat" / "moving.gif", 20, 3).astype(int)
    assert np.abs(first - center_crop(np.asarray(base), 20, 3)).mean() < 12


@pytest.mark.parametrize("head, channels", [(b"P5\n32 32\n65535\n", 1), (b"P6\n32 32\n65535\n", 3)])
def test_sixteen_bits_of_netpbm_files(head, channels, tmp_path):
    levels = np.linspace(0, 65535, 32 * 32).astype(">u2")
    (tmp_path / "a.pgm").write_bytes(head + levels.repeat(channels).tobytes())
    assert np.abs(center_crop(tmp_path / "a.pgm", 32, channels)[:, :, 0].ravel() - levels / 257).max() < 1


def test_grey_images_are_of_one_channel(tmp_path):
    for path in folder(tmp_path, COUNTS).rglob("*.png"):
        Image.open(path).convert("L").save(path)
    assert source(str(tmp_path)).channels == 1
    assert load(source(str(tmp_path)))["val"][0].shape[1] == 1


def test_broken_files_are_named_skipped_up_to_a_share_and_then_refused(photos):
    (photos / "cat" / "empty.jpg").touch()
    (photos / "cat" / "text.jpg").write_text("no image")
    picture("dog", 5, (300, 300)).save(photos / "dog" / "whole.jpg")
    (photos / "dog" / "cut.jpg").write_bytes((photos / "dog" / "whole.jpg").read_bytes()[:-600])
    Image.new("L", (20_000, 10_000)).save(photos / "dog" / "huge.png")  # 200 megapixels
    message = refused("data", str(photos))
    assert "4 of 55 files cannot be read, over 2.0% of them" in message
    assert "cat/empty.jpg (it is empty)" in message
    found = told_anyway(photos)
    assert found["unreadable"] == ["cat/empty.jpg", "cat/text.jpg", "dog/cut.jpg", "dog/huge.png"]
    assert found["images"] == 51
    assert found["files"] == 55
    assert found["reasons"]["dog/huge.png"].startswith("it has 20000 × 10000 pixels; at most 150,000,000")
    lived_with = source({"source": str(photos), "unreadable": 0.1})
    assert sum(lived_with.sizes.values()) == 51
    for i in range(12):
        (photos / "cat" / f"b{i:02}.jpg").touch()
    with pytest.raises(InputError, match="files cannot be read") as refusal:
        source(str(photos))
    assert str(refusal.value).count("(it is empty)") == 10


def told_anyway(path):
    """The JSON of data that no study could train on."""
    from click.testing import CliRunner

    from scalesearch.cli import main

    done = CliRunner().invoke(main, ["data", str(path), "--json"])
    assert done.exit_code == 2
    return json.loads(done.stdout)


def test_duplicates_stay_on_one_side_and_leaks_are_told(tmp_path):
    for seed, split in enumerate(("train", "test")):
        folder(tmp_path / split, COUNTS, seed)
    train, test = tmp_path / "train", tmp_path / "test"
    shutil.copy(train / "cat" / "001.png", test / "cat" / "same.png")
    near = Image.open(train / "dog" / "002.png").resize((96, 80), Image.Resampling.BICUBIC)
    near.save(test / "dog" / "near.jpg", quality=80)
    for i in range(3, 13):
        shutil.copy(train / "dog" / f"{i:03}.png", train / "dog" / f"copy{i}.png")
    shutil.copy(train / "dog" / "020.png", train / "cat" / "wrong.png")
    found = payload(tmp_path)
    assert {frozenset(pair) for pair in found["leaks"]} == {
        frozenset(("train/cat/001.png", "test/cat/same.png")),
        frozenset(("train/dog/002.png", "test/dog/near.jpg")),
    }
    assert len(found["duplicates"]) == 13
    assert [*found["conflicts"][0]] == ["train/cat/wrong.png", "train/dog/020.png"]
    assert found["left_out"] == ["train/cat/001.png"]
    dataset = data_set(str(tmp_path))
    side = dict(zip(dataset.index.names, dataset.splits))
    assert all(side[a] == side[b] for a, b in found["duplicates"] if [a, b] not in found["leaks"])


@pytest.mark.parametrize(
    "case, words",
    [
        ("empty", "has no images in it (files ending in .avif, .bmp"),
        ("loose", "has 3 images that lie in no class; put each into a folder named after its class"),
        ("one class", 'has images of one class, "cat"; a classifier needs two or more'),
        ("test only", 'class "eel" has no image for training, but some for the test'),
        ("too few", "leaves no image for val: too few images in each class (2 in all)"),
        ("numbers and names", "labels are numbers in test (as 0) and names in train (as cat); write them alike"),
        ("no label column", "no column says the label; it has image, species2; name one (`label:` in a study"),
        ("no such column", 'unknown column "kind"; takes image, species2'),
        ("no file", 'unknown data set "'),
        ("not a table", "is damaged or no parquet file"),
        ("pickled npz", "is damaged or no .npz file of plain arrays"),
    ],
)
def test_what_is_no_data_set_is_refused_in_a_line(case, words, tmp_path):
    path, more = tmp_path / "d", []
    path.mkdir()
    if case == "loose":
        for i in range(3):
            picture("cat", i).save(path / f"{i}.png")
    elif case == "one class":
        folder(path, {"cat": 5})
    elif case == "test only":
        folder(path / "train", COUNTS)
        folder(path / "test", COUNTS | {"eel": 3}, 1)
    elif case == "too few":
        folder(path, {"cat": 1, "dog": 1})
    elif case == "numbers and names":
        folder(path / "train", COUNTS)
        folder(path / "test", {"0": 3, "1": 3}, 1)
    elif case in ("no label column", "no such column"):
        path /= "t.csv"
        path.write_text("image,species2\na.png,cat\n")
        more = ["--label", "kind"] if case == "no such column" else []
    elif case == "no file":
        path /= "nowhere"
    elif case == "not a table":
        path /= "t.parquet"
        path.write_text("hello")
    elif case == "pickled npz":
        path /= "t.npz"
        np.savez(path, images=np.array([{"a": 1}], dtype=object), labels=np.zeros(1))
    assert words in refused("data", str(path), *more)


def test_odd_classes_are_lived_with_and_told(tmp_path):
    folder(tmp_path, {"cat": 20, "Cat": 12, "dog": 1})
    found = payload(tmp_path)
    assert found["classes"]["dog"] == {"train": 1, "val": 0, "test": 0}
    assert found["missing"] == {"val": ["dog"], "test": ["dog"]}
    assert found["small"] == {"Cat": 8, "dog": 1}
    assert found["alike"] == [["Cat", "cat"]]


def test_files_of_other_kinds_are_told_by_their_suffix(photos):
    (photos / "cat" / "phone.CR2").write_bytes(b"II*")
    (photos / "dog" / "notes.txt").touch()
    (photos / "dog" / ".DS_Store").touch()
    found = payload(photos)
    assert found["ignored"] == {".cr2": 1, ".txt": 1}
    assert found["images"] == 50
    assert "2 files of other kinds or beside the splits are not read: .cr2 (1), .txt (1)" in found["warnings"]


def test_photos_of_phones_are_read_or_named(photos):
    picture("cat", 99).save(photos / "cat" / "saved.jfif", "JPEG")
    (photos / "cat" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)
    if features.check("avif"):
        picture("cat", 98).save(photos / "cat" / "shared.avif")
    found = payload(photos)
    assert found["images"] == 51 + features.check("avif")
    assert found["unreadable"] == ["cat/phone.HEIC"]
    assert any("it is HEIC, which Pillow reads only with a plugin; convert it" in line for line in found["warnings"])


LAYOUTS = {
    "a flat test": (["train/cat", "train/dog", "test"], ["cat", "dog"]),
    "validate": (["train/cat", "train/dog", "validate/cat", "validate/dog"], ["cat", "dog"]),
    "trn and eval": (["trn/cat", "trn/dog", "eval/cat", "eval/dog"], ["cat", "dog"]),
    "train-images": (["train-images/cat", "train-images/dog"], ["cat", "dog"]),
    "a class called train inside splits": (["train/car", "train/train", "val/car", "val/train"], ["car", "train"]),
    "only flat splits": (["train", "test"], "a class that is called like a split is renamed"),
    "a class called test": (["cat", "test"], '"test" is called like a split and "cat" beside it is not'),
    "a split beside classes": (["train/cat", "train/dog", "car/x"], '"train" is called like a split and "car" beside'),
    "two validation splits": (["train/a", "train/b", "val/a", "eval/a"], "are both called like the split val"),
    "splits as parts of names": (["seg_train/cat", "seg_train/dog", "seg_test/cat"], "may be splits or classes"),
    "a split in a split": (["train/train/cat", "train/train/dog"], '"train/train" is called like a split inside'),
}


@pytest.mark.parametrize("case", LAYOUTS)
def test_folders_of_splits_are_read_as_meant_or_refused(case, tmp_path):
    names, expected = LAYOUTS[case]
    folder(tmp_path, dict.fromkeys(names, 12))
    if isinstance(expected, str):
        assert expected in refused("data", str(tmp_path))
        return
    index = data_set(str(tmp_path)).index
    assert list(index.classes) == expected
    assert len(index.loose) == (12 if case == "a flat test" else 0)


def test_a_folder_called_like_a_data_set_is_asked_about(tmp_path, monkeypatch):
    folder(tmp_path / "digits", COUNTS)
    monkeypatch.chdir(tmp_path)
    message = refused("data", "digits")
    assert "digits: is a data set that comes with a name, and a folder here; write ./digits" in message
    assert payload("./digits")["images"] == 50


@pytest.mark.parametrize(
    "head, row", [("path;label", "{};{}"), ("\ufeffpath,label", '"{}",{}'), ("label\tpath", "{1}\t{0}")]
)
def test_tables_as_spreadsheets_write_them(head, row, tmp_path):
    folder(tmp_path, COUNTS)
    rows = [row.format(f"{label}/{i:03}.png", label) for label, count in COUNTS.items() for i in range(count)]
    (tmp_path / "t.csv").write_text("\n".join([head, *rows]), encoding="utf-8")
    assert payload(tmp_path / "t.csv")["images"] == 50


def test_labels_as_columns_have_them(tmp_path):
    folder(tmp_path, COUNTS)
    names = [f"{label}/{i:03}.png" for label, count in COUNTS.items() for i in range(count)]

    def write(label):
        return (tmp_path / "t.csv").write_text("\n".join(["path,label", *(f"{name},{label(name)}" for name in names)]))

    write(lambda name: 1.0 if name.startswith("cat") else 0.0)
    assert set(payload(tmp_path / "t.csv")["classes"]) == {"0", "1"}
    write(lambda name: "" if name == names[3] else name[:3])
    assert "t.csv: row 4 has no label" in refused("data", str(tmp_path / "t.csv"))
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [[1, 2]] * 4, "label": ["a", "b"] * 2}), tmp_path / "t.parquet")
    message = refused("data", str(tmp_path / "t.parquet"))
    assert "t.parquet: image: takes paths or the bytes of image files, and the column holds list" in message


def test_links_are_followed_once_and_a_dangling_one_is_a_broken_file(tmp_path):
    outside = folder(tmp_path / "outside", {"eel": 10})
    photos = folder(tmp_path / "photos", COUNTS)
    (photos / "eel").symlink_to(outside / "eel")
    (photos / "cat" / "again").symlink_to(photos / "cat")
    (photos / "cat" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    found = payload(photos)
    assert found["images"] == 60
    assert sum(found["classes"]["eel"].values()) == 10
    assert found["unreadable"] == ["cat/gone.png"]
    assert "No such file" in found["reasons"]["cat/gone.png"]


def test_a_table_with_missing_files_names_them(tmp_path):
    folder(tmp_path, COUNTS)
    rows = [f"{label}/{i:03}.png,{label}" for label, count in COUNTS.items() for i in range(count)]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows, "cat/none.png,cat"]))
    assert payload(tmp_path / "t.csv")["unreadable"] == ["cat/none.png"]


def _load(path, cache, done):
    os.environ["SCALESEARCH_CACHE"] = cache
    done.put(load(source(path, 16))["train"][0].numpy().sum().item())


def test_two_processes_that_need_the_images_decode_them_once(photos):
    ways = multiprocessing.get_context("spawn")
    done = ways.Queue()
    running = [ways.Process(target=_load, args=(str(photos), os.environ["SCALESEARCH_CACHE"], done)) for _ in range(2)]
    for process in running:
        process.start()
    sums = {done.get(timeout=60) for _ in running}
    for process in running:
        process.join()
    files = list(Path(os.environ["SCALESEARCH_CACHE"], "pixels").glob("*.npy"))
    assert len(sums) == 1
    assert len(files) == 1


def test_images_are_read_again_when_a_file_changes_and_not_else(photos, monkeypatch):
    first = data_set(str(photos)).scan
    from scalesearch.data import dataset, scan as scanning

    dataset._data_sets.clear()
    with monkeypatch.context() as patched:
        patched.setattr(scanning, "_scan_images", lambda index: pytest.fail("read again"))
        assert data_set(str(photos)).scan.digest == first.digest
    picture("dog", 77).save(photos / "cat" / "000.png")
    assert data_set(str(photos)).scan.digest != first.digest


def test_a_disk_without_room_is_said_before_anything_is_written(photos, monkeypatch):
    full = shutil._ntuple_diskusage(10**9, 10**9 - 1000, 1000)
    monkeypatch.setattr(pixels_module.shutil, "disk_usage", lambda path: full)
    with pytest.raises(
        WorkFailed,
        match=r"the 50 images of .* take 0 MB at 20 × 20 pixels, and .* has 0 MB free; make "
        "room, or name another folder by SCALESEARCH_CACHE",
    ):
        source(str(photos)).load()

    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pixels_module.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(1, 0, 10**9))
    monkeypatch.setattr(os, "posix_fallocate", refuse)  # others may fill it meanwhile
    with pytest.raises(WorkFailed, match="make room"):
        source(str(photos)).load()
    assert not list(Path(os.environ["SCALESEARCH_CACHE"], "pixels").glob("*.npy"))


def test_facts_of_rows_in_groups_come_in_order(tmp_path):
    rows = [(encoded(label, i), label) for i in range(25) for label in ("cat", "dog")]
    opened_ = data_set(str(parquet(tmp_path / "t.parquet", rows, group=3)))
    wanted = [0, 1, 7, 20, 49]
    assert [*opened_.index.store.read(wanted)] == [rows[i][0] for i in wanted]


def test_our_limit_comes_before_pillows(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    picture("cat", 1).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as image:
        assert image.size == (24, 20)
    assert Image.MAX_IMAGE_PIXELS == 10


def test_a_file_that_could_not_be_had_is_looked_at_again(photos):
    """What was missing or locked for a moment is no fault of the image."""
    image = photos / "cat" / "000.png"
    image.rename(photos / "aside")
    image.symlink_to(photos / "nowhere")
    assert payload(photos)["unreadable"] == ["cat/000.png"]
    image.unlink()
    (photos / "aside").rename(image)
    assert payload(photos)["unreadable"] == []


def test_a_line_is_no_image(photos):
    picture("cat", 900, (2500, 1)).save(photos / "cat" / "line.png")
    assert payload(photos)["reasons"] == {"cat/line.png": "it has 2500 × 1 pixels, one side over 200 times the other"}


def test_splits_are_found_beside_other_folders(tmp_path):
    for seed, name in enumerate(("training_set", "test set", "papers")):
        folder(tmp_path / name, COUNTS if name != "papers" else {"scans": 3}, seed)
    found = payload(tmp_path)
    assert set(found["classes"]) == {"cat", "dog"}
    assert found["ignored"] == {"papers/": 3}
    assert found["splits"] == {"train": "the data's own", "val": "cut from training", "test": "the data's own"}
