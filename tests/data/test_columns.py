"""Tables as people have them: columns called anyhow, cells as they are written, files where they really lie."""

from __future__ import annotations

import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers import invoke, refused
from making import encoded, folder, parquet

from scalesearch.data.sources import data_set
from scalesearch.errors import InputError

COUNTS = {"cat": 20, "dog": 30}
ROWS = [(f"{label}/{i:03}.png", label) for label, count in COUNTS.items() for i in range(count)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def table(path, rows, head="image,label", encoding="utf-8"):
    path.write_bytes("\n".join([head, *(",".join(row) for row in rows)]).encode(encoding))
    return path


def classes(path, **message):
    return data_set({"source": str(path), **message}).index.classes


def flat(path):
    """All photos in one folder, called by their class and number; their names without suffixes."""
    path.mkdir()
    for name, _ in ROWS:
        shutil.copy(path.parent / name, path / name.replace("/", "-"))
    return [(name.replace("/", "-").removesuffix(".png"), label) for name, label in ROWS]


@pytest.mark.parametrize("head", ["Image,Label", " File Path , CLASS", "file-name,Species"])
def test_columns_are_known_whatever_their_case_and_spaces(head, tmp_path):
    folder(tmp_path, COUNTS)
    assert classes(table(tmp_path / "t.csv", ROWS, head)) == ("cat", "dog")


def test_a_column_is_named_in_any_case_and_must_be_one(tmp_path):
    folder(tmp_path, COUNTS)
    path = table(tmp_path / "t.csv", ROWS, "photo,Kind")
    assert classes(path, image="Photo", label="kind") == ("cat", "dog")
    table(path, [(*row, "x") for row in ROWS], "image,label,label")
    assert "t.csv: label: has two columns called label" in refused("data", str(path))


@pytest.mark.parametrize(
    "labels, found",
    [
        (("001", "1"), {"001", "1"}),
        (("1e3", "1000"), {"1e3", "1000"}),
        (("True", "false"), {"True", "false"}),
        (("1.0", "0.0"), {"1", "0"}),
        (("NA", "null"), {"NA", "null"}),
        ((" cat ", "dog"), {"cat", "dog"}),
    ],
)
def test_labels_are_what_is_written(labels, found, tmp_path):
    folder(tmp_path, COUNTS)
    called = dict(zip(COUNTS, labels))
    assert set(classes(table(tmp_path / "t.csv", [(name, called[label]) for name, label in ROWS]))) == found


def test_images_may_be_called_by_numbers(tmp_path):
    folder(tmp_path, COUNTS)
    for number, (name, _) in enumerate(ROWS):
        shutil.move(tmp_path / name, tmp_path / str(1000 + number))
    found = data_set(str(table(tmp_path / "t.csv", [(str(1000 + i), label) for i, (_, label) in enumerate(ROWS)])))
    assert found.health.images == 50


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_encodings_of_spreadsheets(encoding, tmp_path):
    folder(tmp_path, COUNTS)
    rows = [(name, {"cat": "Löwe", "dog": "Émeu"}[label]) for name, label in ROWS]
    assert set(classes(table(tmp_path / "t.CSV", rows, encoding=encoding))) == {"Löwe", "Émeu"}


def test_class_names_that_look_alike_are_one_class(tmp_path):
    folder(tmp_path, COUNTS)
    rows = [
        (name, ("Lo\u0308we" if i % 2 else "L\u00f6we") if label == "cat" else label)
        for i, (name, label) in enumerate(ROWS)
    ]
    assert classes(table(tmp_path / "t.csv", rows)) == ("L\u00f6we", "dog")


@pytest.mark.parametrize("suffix", ["", ".png"])
@pytest.mark.parametrize("form", ["one folder", "two folders", "splits"])
def test_names_in_a_table_lead_to_the_folder_beside_it(form, suffix, tmp_path):
    folder(tmp_path / "all", COUNTS)
    data = tmp_path / "d"
    data.mkdir()
    rows = [(name + suffix, label) for name, label in flat(tmp_path / "all" / "flat")]
    if form == "splits":  # the same names in both
        for split in ("train", "test"):
            shutil.copytree(tmp_path / "all" / "flat", data / split)
            table(data / f"{split}.csv", rows, "id,label")
    else:
        shutil.copytree(tmp_path / "all" / "flat", data / "part1")
        if form == "two folders":
            (data / "part2").mkdir()
            for path in sorted((data / "part1").iterdir())[:25]:
                path.rename(data / "part2" / path.name)
        table(data / "labels.csv", rows, "id,label")
    found = data_set({"source": str(data), "image": "id"})
    assert found.health.images == (100 if form == "splits" else 50)
    assert not found.health.unreadable


def test_a_table_beside_one_folder_of_images_is_found(tmp_path):
    folder(tmp_path / "all", COUNTS)
    (tmp_path / "d").mkdir()
    rows = flat(tmp_path / "all" / "images")
    shutil.move(tmp_path / "all" / "images", tmp_path / "d" / "images")
    table(tmp_path / "d" / "labels.csv", rows)
    assert classes(tmp_path / "d") == ("cat", "dog")


def test_class_folders_with_a_table_beside_them_stay_class_folders(tmp_path):
    folder(tmp_path, COUNTS)
    table(tmp_path / "notes.csv", [(name, "x") for name, _ in ROWS])
    assert classes(tmp_path) == ("cat", "dog")


def test_a_missing_file_is_not_taken_for_another_classes(tmp_path):
    folder(tmp_path, COUNTS)
    (tmp_path / "cat" / "007.png").unlink()
    found = data_set(str(table(tmp_path / "t.csv", ROWS)))
    assert found.health.unreadable == ["cat/007.png"]


def test_classes_without_an_image_are_left_out_and_told(tmp_path):
    rows = [(encoded(label, i), n) for n, label in ((0, "cat"), (2, "eel")) for i in range(20)]
    path = parquet(tmp_path / "t.parquet", rows, names=["cat", "dog", "eel"])
    found = json.loads(invoke("data", str(path), "--json").stdout)
    assert list(found["classes"]) == ["cat", "eel"]
    assert found["absent"] == ["dog"]
    assert "1 declared class without an image, left out: dog" in found["warnings"]


def test_some_names_may_be_numbers(tmp_path):
    folder(tmp_path / "train", {"cat": 20, "1": 20})
    folder(tmp_path / "test", {"1": 5}, 1)
    assert classes(tmp_path) == ("1", "cat")


def test_a_column_of_lists_is_no_label(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"image": [encoded("cat", 1)], "label": [["cat", "dog"]]}), tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"t\.parquet: label: takes one class for each image"):
        data_set(str(tmp_path / "t.parquet"))


def test_files_called_in_no_encoding_are_told_and_their_splits_kept(tmp_path):
    photos = folder(tmp_path / "photos", COUNTS)
    (photos / "cat" / "000.png").rename(photos / "cat" / b"\xff\xfe.png".decode(errors="surrogateescape"))
    opened = data_set(str(photos))
    assert opened.health.images == 50
    assert "cat/\\xff\\xfe.png" in opened.index.names
    (tmp_path / "run").mkdir()
    opened.save_or_check_splits(tmp_path / "run")
    opened.save_or_check_splits(tmp_path / "run")


@pytest.mark.parametrize("name", ["label", "path"])
def test_text_that_is_no_utf8_is_refused_in_place(name, tmp_path):
    columns = {"path": [b"a.png", b"b.png"], "label": [b"x", b"y"]}
    columns[name][1] = b"caf\xe9"
    arrays = {key: pa.array(values, pa.binary()).view(pa.string()) for key, values in columns.items()}
    pq.write_table(pa.table(arrays), tmp_path / "t.parquet")
    assert "holds text that is not UTF-8 (caf\\xe9); write the table anew in UTF-8" in refused(
        "data", str(tmp_path / "t.parquet")
    )


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("is_valid", ("False", "True")),
        ("isValid", ("0", "1")),
        ("subset", ("training", "val")),
        ("partition", ("train", "dev")),
        ("set", ("train", "validation")),
    ],
)
def test_columns_that_say_the_split_in_other_words_decide_it(column, cells, tmp_path):
    folder(tmp_path, COUNTS)
    rows = [(name, label, cells[number % 5 == 0]) for number, (name, label) in enumerate(ROWS)]
    index = data_set(str(table(tmp_path / "t.csv", rows, f"fname,labels,{column}"))).index
    assert [split == "val" for split in index.splits] == [number % 5 == 0 for number in range(len(ROWS))]


def test_a_column_that_only_may_say_the_split_is_left_alone_where_it_says_something_else(tmp_path):
    folder(tmp_path, COUNTS)
    rows = [(name, label, "abc"[number % 3]) for number, (name, label) in enumerate(ROWS)]
    assert set(data_set(str(table(tmp_path / "t.csv", rows, "file,label,set"))).index.splits) == {None}
    table(tmp_path / "t.csv", [(*row[:2], "maybe") for row in rows], "file,label,is_valid")
    assert "is_valid: takes true or false, got 'maybe'" in refused("data", str(tmp_path / "t.csv"))


def test_a_column_of_zeros_and_ones_for_each_class_is_read_where_each_image_has_one(tmp_path):
    """As Roboflow writes `_classes.csv`, with spaces in its head."""
    folder(tmp_path, COUNTS)
    rows = [(name, str(int(label == "cat")), str(int(label == "dog"))) for name, label in ROWS]
    index = data_set(str(table(tmp_path / "_classes.csv", rows, "filename, cat, dog"))).index
    assert (index.classes, list(index.labels)) == (("cat", "dog"), [label for _, label in ROWS])
    for row, said in (("1", "1"), "cat and dog"), (("0", "0"), "no class"):
        path = table(tmp_path / "_classes.csv", [(ROWS[0][0], *row), *rows[1:]], "filename, cat, dog")
        assert f"row 1 is of {said}, by the columns of zeros and ones" in refused("data", str(path))
