"""One interface for every kind of data set: folders, tables, archives, arrays, the Hub."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
from helpers import invoke, refused
from making import encoded, folder, parquet, picture

from scalesearch.data.arrays import npz_images
from scalesearch.data.sources import data_set, load, source
from scalesearch.errors import InputError

COUNTS = {"cat": 20, "dog": 30}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_class_folders_are_split_by_class_and_the_same_whatever_files_are_called(tmp_path):
    one = folder(tmp_path / "a", COUNTS)
    found = source(str(one))
    assert (found.classes, found.class_names, found.channels, found.resolution) == (2, ("cat", "dog"), 3, 20)
    assert found.sizes == {"train": 14 + 22, "val": 3 + 4, "test": 3 + 4}
    other = tmp_path / "b"
    for path in one.rglob("*.png"):
        (other / path.parent.name).mkdir(parents=True, exist_ok=True)
        path.rename(other / path.parent.name / f"x{path.stem[::-1]}.png")

    def digests(d):
        return {
            split: {d.scan.digests[i] for i, s in enumerate(d.splits) if s == split}
            for split in ("train", "val", "test")
        }

    folder(one, COUNTS)
    a, b = data_set(str(one)), data_set(str(other))
    assert digests(a) == digests(b)
    assert digests(a) != digests(data_set({"source": str(one), "seed": 1}))


def test_folders_of_splits_keep_them_and_validation_comes_out_of_training(tmp_path):
    for seed, split in enumerate(("train", "validation")):
        folder(tmp_path / split, COUNTS, seed)
    opened = data_set(str(tmp_path))
    assert opened.health.splits == {
        "train": "the data's own",
        "val": "cut from training",
        "test": "the data's own validation split",
    }
    assert source(str(tmp_path)).sizes == {"train": 17 + 26, "val": 3 + 4, "test": 50}
    folder(tmp_path / "test", COUNTS, 2)
    assert source(str(tmp_path)).sizes == {"train": 50, "val": 50, "test": 50}


def test_pixels_are_those_of_the_files_in_every_split(tmp_path):
    folder(tmp_path, COUNTS)
    opened, splits = data_set(str(tmp_path)), load(source(str(tmp_path), 20))
    names = np.array(opened.index.names)
    for split, (pixels, labels) in splits.items():
        assert pixels.shape == (len(labels), 3, 20, 20)
        for row, label, image in zip(pixels.rows, labels, pixels.numpy()):
            kind, name = names[row].split("/")
            assert kind == ("cat", "dog")[label]
            assert split == opened.splits[row]
            whole = np.asarray(picture(kind, int(name[:3])))[:, 2:22]
            assert np.array_equal(image.transpose(1, 2, 0), whole)


@pytest.mark.parametrize("form", ["csv", "parquet of paths", "parquet of bytes", "npz", "one file a split"])
def test_tables_and_arrays(form, tmp_path):
    rows = [(label, i) for label, count in COUNTS.items() for i in range(count)]
    if form == "csv":
        folder(tmp_path, COUNTS)
        lines = [f"{label}/{i:03}.png,{label}" for label, i in rows]
        (tmp_path / "t.csv").write_text("file,species\n" + "\n".join(lines) + "\n")
        found = source(str(tmp_path / "t.csv"))
    elif form == "parquet of paths":
        import pyarrow as pa
        import pyarrow.parquet as pq

        folder(tmp_path, COUNTS)
        pq.write_table(
            pa.table({"where": [f"{label}/{i:03}.png" for label, i in rows], "kind": [label for label, _ in rows]}),
            tmp_path / "t.parquet",
        )
        found = source({"source": str(tmp_path / "t.parquet"), "image": "where", "label": "kind"})
    elif form == "parquet of bytes":
        path = parquet(
            tmp_path / "t.parquet",
            [(encoded(label, i), ["cat", "dog"].index(label)) for label, i in rows],
            names=["cat", "dog"],
        )
        found = source(str(path))
    elif form == "npz":
        images = np.stack([np.asarray(picture(label, i)).transpose(2, 0, 1) for label, i in rows])
        np.savez(tmp_path / "t.npz", images=images, labels=np.array([label for label, _ in rows]))
        found = source(str(tmp_path / "t.npz"))
    else:
        for seed, split in enumerate(("train", "test")):
            parquet(
                tmp_path / "data" / f"{split}-00000-of-00001.parquet",
                [(encoded(label, 100 * seed + i), label) for label, i in rows],
            )
        found = source(str(tmp_path))
        assert found.sizes == {"train": 17 + 26, "val": 3 + 4, "test": 50}
    assert found.class_names == ("cat", "dog")
    assert found.channels == 3
    assert sum(found.sizes.values()) == (100 if form == "one file a split" else 50)
    pixels, labels = load(found)["train"]
    red = pixels.numpy()[:, 0].mean((1, 2))
    assert red[labels == 0].min() > red[labels == 1].max()  # cats are red, dogs blue


def test_any_number_of_channels(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 5, 12, 12), dtype=np.uint8)
    np.savez(tmp_path / "t.npz", images=images, labels=np.arange(40) % 2)
    found = source(str(tmp_path / "t.npz"))
    pixels, _ = load(found)["train"]
    assert found.channels == 5
    assert pixels.shape[1:] == (5, 12, 12)
    assert np.array_equal(pixels.numpy(), images[pixels.rows])
    smaller, _ = load(source(str(tmp_path / "t.npz"), 6))["train"]
    assert smaller.shape[1:] == (5, 6, 6)


def _cifar(tmp_path, fine: bool, binary: bool):
    rng, files = np.random.default_rng(0), {}
    key, names = (b"fine_labels", b"fine_label_names") if fine else (b"labels", b"label_names")
    parts = ("train", "test") if fine else ("data_batch_1", "data_batch_2", "test_batch")
    payload = {}
    for part in parts:
        images, labels = rng.integers(0, 255, (40, 3072), dtype=np.uint8), (np.arange(40) % 4).tolist()
        payload[part] = images, labels
        heads = np.array(labels, np.uint8)[:, None].repeat(2 if fine else 1, 1)
        files[part + ".bin" * binary] = (
            np.concatenate([heads, images], 1).tobytes()
            if binary
            else pickle.dumps({b"data": images, key: labels}, protocol=2)
        )
    called = [b"ant", b"bee", b"cow", b"doe"]
    if binary:
        files["fine_label_names.txt" if fine else "batches.meta.txt"] = b"\n".join(called) + b"\n"
    else:
        files["meta" if fine else "batches.meta"] = pickle.dumps({names: called}, protocol=2)
    path = tmp_path / ("cifar-100-x.tar.gz" if fine else "cifar-10-x.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"cifar/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path, payload


@pytest.mark.parametrize("fine", [False, True])
@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_cifars_own_archives(fine, binary, packed, tmp_path):
    path, payload = _cifar(tmp_path, fine, binary)
    if not packed:
        with tarfile.open(path) as archive:
            archive.extractall(tmp_path, filter="data")
        path = tmp_path / "cifar"
    opened = data_set(str(path))
    assert opened.index.classes == ("ant", "bee", "cow", "doe")
    assert {*opened.index.splits} == {"train", "test"}
    pixels, labels = load(source(str(path)))["test"]
    images, wanted = payload["test" if fine else "test_batch"]
    assert np.array_equal(pixels.numpy(), images.reshape(-1, 3, 32, 32))
    assert labels.tolist() == wanted


class Harmful:
    def __reduce__(self):
        return print, ("code ran",)


def test_no_pickle_runs_code(tmp_path, capsys):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({b"data": Harmful(), b"labels": []}))
    message = refused("data", str(tmp_path))
    assert "it wants builtins.print, which would mean running code from it" in message
    assert "code ran" not in message


def test_what_unpacks_to_more_than_there_is_room_for_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    images = np.zeros((100, 3, 128, 128), np.uint8)
    np.savez_compressed(tmp_path / "a.npz", images=images, labels=np.arange(100) % 2)
    assert (tmp_path / "a.npz").stat().st_size < len(images.tobytes()) / 500
    with monkeypatch.context() as tight:
        tight.setattr("scalesearch.machine.free_memory", lambda: len(images.tobytes()) - 1)
        tight.setattr("numpy.load", lambda *_, **__: pytest.fail("it was unpacked"))
        assert "a.npz: would take 4,9" in refused("data", str(tmp_path / "a.npz"))
    assert npz_images(tmp_path / "a.npz").shape == (100, 128, 128, 3)


def test_an_array_that_is_larger_by_its_head_than_any_memory_is_refused(tmp_path):
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (2**50, 3, 8, 8)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("images.npy", head.getvalue() + b"abc")
    assert "a.npz: is damaged or no .npz file" in refused("data", str(tmp_path / "a.npz"))


def test_an_archive_that_holds_more_than_cifars_is_not_unpacked(tmp_path):
    path, _ = _cifar(tmp_path, False, False)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for i in range(5):
            member = tarfile.TarInfo(f"cifar/data_batch_{i}")
            member.size = 60 << 20
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    assert "holds more than 268,435,456 bytes, and CIFAR's archives don't" in refused("data", str(path))


def test_the_hubs_copy_on_this_machine_is_read_undecoded_and_without_one_it_says_so(tmp_path, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(InputError, match="hf:some/pets: cannot be reached, and no copy is on this machine"):
        data_set("hf:some/pets")
    home = tmp_path / "datasets--some--pets"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    rows = [(encoded(label, i), label) for label in ("cat", "dog") for i in range(20)]
    parquet(home / "snapshots" / ("0" * 40) / "data" / "train-00000-of-00001.parquet", rows)
    assert source("hf:some/pets").sizes == {"train": 28, "val": 6, "test": 6}


@pytest.mark.parametrize("name", ["{size}/{split}/0000.parquet", "{size}/{split}-00000-of-00001.parquet"])
def test_a_configuration_of_the_hubs_is_named_where_there_are_several(name, tmp_path, monkeypatch):
    """As the Hub converts them or people lay them down; a test without its answers left out."""
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    home = tmp_path / "datasets--some--pets"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0" * 40)
    for seed, (size, split) in enumerate((s, p) for s in ("160px", "320px") for p in ("train", "validation", "test")):
        rows = [
            (encoded(label, 100 * seed + i), -1 if split == "test" else n)
            for n, label in enumerate(("cat", "dog"))
            for i in range(20)
        ]
        parquet(home / "snapshots" / ("0" * 40) / name.format(size=size, split=split), rows, names=["cat", "dog"])
    with pytest.raises(InputError, match="has several configurations: 160px, 320px; name one as hf:some/pets/160px"):
        data_set("hf:some/pets")
    found = data_set("hf:some/pets/320px")
    assert found.health.splits == {
        "train": "the data's own",
        "val": "cut from training",
        "test": "the data's own validation split",
    }
    assert len({*found.index.names}) == 80
    assert found.index.names[0].startswith("train")


def test_a_name_is_looked_for_where_data_lies(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_DATA", str(tmp_path))
    folder(tmp_path / "imagenette", COUNTS)
    assert source("imagenette").class_names == ("cat", "dog")
    message = refused("data", "cifar1")
    assert 'unknown data set "cifar1"' in message
    assert 'Did you mean "cifar10"?' in message


def test_json_of_the_command(tmp_path):
    folder(tmp_path / "p", COUNTS)
    done = invoke("data", str(tmp_path / "p"), "--json", "--html", str(tmp_path / "page.html"))
    payload = json.loads(done.stdout)
    assert payload["images"] == 50
    assert payload["classes"]["cat"] == {"train": 14, "val": 3, "test": 3}
    assert (
        payload["unreadable"]
        == payload["turned"]
        == payload["duplicates"]
        == payload["leaks"]
        == payload["warnings"]
        == []
    )
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/webp;base64,") == 12
    assert "Nothing is broken" in page
    assert "nothing is broken" in invoke("data", str(tmp_path / "p")).stdout


def test_two_studies_of_one_folder_have_their_own_splits_and_labels(tmp_path):
    """In one process too."""
    folder(tmp_path, COUNTS)
    one, other = (source({"source": str(tmp_path), "seed": seed}) for seed in (0, 1))
    assert load(one)["test"][0].rows.tolist() != load(other)["test"][0].rows.tolist()
    assert load(one)["test"][0].rows.tolist() == one.load()["test"][0].rows.tolist()


def test_arrays_with_channels_last_are_told_by_their_shape(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (40, 12, 12, 3), dtype=np.uint8)
    np.savez(tmp_path / "t.npz", images=images, labels=np.arange(40) % 2)
    pixels, _ = load(source(str(tmp_path / "t.npz")))["train"]
    assert np.array_equal(pixels.numpy().transpose(0, 2, 3, 1), images[pixels.rows])
    (tmp_path / "cut.npz").write_bytes((tmp_path / "t.npz").read_bytes()[:500])
    assert "is damaged or no .npz file" in refused("data", str(tmp_path / "cut.npz"))


def test_rows_of_images_without_names_and_unknown_splits(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [(label, i) for label, count in COUNTS.items() for i in range(count)]
    columns = {"image": [{"bytes": encoded(label, i)} for label, i in rows], "label": [label for label, _ in rows]}
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    assert sum(source(str(tmp_path / "t.parquet")).sizes.values()) == 50
    pq.write_table(pa.table(columns | {"split": ["train"] * 49 + ["tset"]}), tmp_path / "t.parquet")
    assert 'split: unknown split "tset"; takes train, val, test. Did you mean "test"?' in refused(
        "data", str(tmp_path / "t.parquet")
    )


@pytest.mark.parametrize("below", ["", "images"])
@pytest.mark.parametrize("suffix", ["", ".png", ".png 3"])
@pytest.mark.parametrize("name", ["{}.txt", "meta/{}.txt", "splits/{}_list.txt"])
def test_lists_beside_class_folders_decide_the_splits(below, suffix, name, tmp_path):
    """As Food-101 and many others have them: the path without or with the suffix, a label after it or not."""
    folder(tmp_path / below, COUNTS)
    test = {f"{label}/{i:03}" for label, count in COUNTS.items() for i in range(0, count, 4)}
    train = {f"{label}/{i:03}" for label, count in COUNTS.items() for i in range(count)} - test - {"cat/001"}
    for split, entries in (("train", train), ("test", test | {"cat/999"})):
        path = tmp_path / name.format(split)
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{entry}{suffix}\n" for entry in sorted(entries)))
    opened = data_set(str(tmp_path))
    assert {n[:-4]: s for n, s in zip(opened.index.names, opened.index.splits)} == dict.fromkeys(
        train, "train"
    ) | dict.fromkeys(test, "test")
    files = ", ".join(name.format(split).split("/")[-1] for split in ("test", "train"))
    assert opened.health.ignored[f"images in no list ({files})"] == 1
    assert opened.health.ignored[f"entries of {name.format('test')} without an image"] == 1


def test_an_image_in_two_lists_is_refused_and_lists_that_change_are_read_anew(tmp_path):
    folder(tmp_path, COUNTS)
    names = [f"{label}/{i:03}.png" for label, count in COUNTS.items() for i in range(count)]
    (tmp_path / "train.txt").write_text("\n".join(names[:40]))
    (tmp_path / "test.txt").write_text("\n".join(names[39:]))
    assert "train.txt:40: dog/019.png is in the list of test too; keep it in one" in refused("data", str(tmp_path))
    (tmp_path / "test.txt").write_text("\n".join(names[40:]))
    assert data_set(str(tmp_path)).health.splits["test"] == "the data's own"
    (tmp_path / "notes.txt").write_text("nothing\n")
    (tmp_path / "test.txt").write_text("cat\ndog\n")  # no list of images
    (tmp_path / "train.txt").unlink()
    assert data_set(str(tmp_path)).health.splits["test"] == "cut from all images"


def test_a_folder_around_all_classes_is_looked_into(tmp_path):
    folder(tmp_path / "data" / "archive", COUNTS)
    assert data_set(str(tmp_path / "data")).index.classes == ("cat", "dog")
