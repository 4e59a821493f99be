"""Classes of weights and data are matched by their names, never by chance of their order."""

from __future__ import annotations

import pytest
import torch

import scalesearch as ss
from scalesearch.errors import InputError
from scalesearch.weights.class_names import head_rows, match_classes, numbers_by_name

FRUIT = ["apple", "banana", "cherry"]


def test_names_are_matched_apart_from_case_and_spaces():
    assert numbers_by_name(["Traffic light", "cat"], ["traffic_light", " CAT ", "dog"]) == [0, 1, None]
    assert numbers_by_name(["Cat", "cat"], ["cat", "Cat", "CAT"]) == [1, 0, None]


@pytest.mark.parametrize(
    ("names", "network_names", "expected"),
    [
        (["Banana", "apple"], FRUIT, ([1, 0], "name")),
        (["Rot", "Gelb", "Blau"], None, ([0, 1, 2], "number")),
        ([], FRUIT, ([0, 1, 2], "number")),
        (["0", "1", "2"], FRUIT, ([0, 1, 2], "number")),
        (["n01440764", "n02102040", "n02979186"], FRUIT, ([0, 1, 2], "number")),
        (["Rot", "Gelb", "Blau"], FRUIT, "has none of the network's classes: it has 'Rot' and the network 'apple'"),
        (["apple", "Rot"], FRUIT, "has a class 'Rot', and the network has none of that name"),
        (["Rot", "Gelb"], FRUIT, "has 2 classes, such as 'Rot', and the network has 3, with other names"),
    ],
)
def test_classes_are_matched_by_name_else_by_number_or_refused(names, network_names, expected):
    count = len(names) or 3
    if isinstance(expected, str):
        with pytest.raises(InputError, match=f"^data: {expected}"):
            match_classes(names, count, network_names, 3, "data")
        return
    match = match_classes(names, count, network_names, 3, "data")
    assert (match.numbers, match.by) == expected


@pytest.mark.parametrize("name", ["mobilenet_v3_small", "yolov8n"])
def test_rows_of_a_head_go_with_their_names(name):
    model = ss.build(ss.load(name, resolution=64, classes=3))
    rows = head_rows(model, FRUIT, ["zapple", "BANANA", "acherry", "fig"], seed=1)
    assert rows.origin == "the head's rows of 1 of 4 classes by their names; fresh ones for zapple, acherry, fig"
    own, larger = model.state_dict(), ss.build(ss.load(name, resolution=64, classes=4)).state_dict()
    assert rows.tensors.keys() == {key for key in own if own[key].shape != larger[key].shape}
    for key, tensor in rows.tensors.items():
        assert tensor.shape == larger[key].shape
        assert torch.equal(tensor[1], own[key][1])
        assert not torch.equal(tensor[0], own[key][0]) or not own[key].any()
    again = head_rows(model, FRUIT, ["zapple", "BANANA", "acherry", "fig"], seed=1)
    assert all(torch.equal(tensor, again.tensors[key]) for key, tensor in rows.tensors.items())


def test_a_head_stays_where_names_say_nothing_else():
    model = ss.build(ss.load("mobilenet_v3_small", resolution=64, classes=3))
    for names, sought in (
        (FRUIT, FRUIT),
        (None, FRUIT),
        (FRUIT, []),
        (FRUIT, ["fig", "pear"]),
        (FRUIT, ["0", "1", "2"]),
    ):
        assert head_rows(model, names, sought, 0) == ({}, "")
    assert head_rows(model, FRUIT, ["a", "b", "c"], 0).origin.startswith("the head's rows of 0 of 3 classes")
