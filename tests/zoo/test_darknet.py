"""Darknet's .cfg files: the network that people know, and every way a file can be wrong, with file and line."""

from __future__ import annotations

import re

import pytest
from conftest import FACTS

import scalesearch as ss
from scalesearch.arch.graph import Shape
from scalesearch.errors import InputError

CFG = """\
[net]
# a comment
width=64
height = 64
channels=3
[convolutional]
batch_normalize=1
filters=16
size=3
stride=1
pad=1
activation=leaky

[maxpool]
size=2
stride=2
[convolutional]
batch_normalize=1
filters=16 ; another comment
size=3
stride=1
pad=1
activation=mish
[shortcut]
from=-2
activation=linear
[route]
layers=-1
groups=2
group_id=1
[route]
layers = -1, 0
"""


def cfg(tmp_path, text, name="net.cfg"):
    path = tmp_path / name
    path.write_text(text)
    return path


HEAD = """[avgpool]
[convolutional]
filters=10
size=1
activation=linear
[softmax]
"""


def shapes(arch) -> list[Shape]:
    return [stage[-1].out_shape for stage in ss.expand(arch).stages]


def test_layers_refer_back_and_absolutely(tmp_path):
    text = CFG.replace("layers = -1, 0", "layers = -1, 2")
    arch = ss.load(cfg(tmp_path, text + HEAD))
    assert shapes(arch) == [(16, 64, 64), (16, 32, 32), (16, 32, 32), (16, 32, 32), (8, 32, 32), (24, 32, 32)]
    assert [stage.inputs for stage in arch.stages][3:] == [(2, 1), (), (4, 2)]
    assert arch.classes == 10
    assert arch.head.kind == "classifier"
    assert arch.resolution == 64
    assert ss.cost(arch).params == (27 * 16 + 32) + (9 * 16 * 16 + 32) + (24 * 10 + 10)


def test_yolov3_from_its_cfg_is_the_zoos():
    path = FACTS / "cfg" / "yolo-v3.cfg"
    for resolution in (416, 608):
        read, zoo = ss.load(path, resolution=resolution), ss.load("yolov3", resolution=resolution)
        assert ss.cost(read) == ss.cost(zoo)
        assert ss.expand(read).head.layers == ss.expand(zoo).head.layers
    assert ss.cost(ss.load(path))[:2] == (61_949_149, 32_932_037_632)


DETECTOR = """[convolutional]
filters=18
size=1
activation=linear
[yolo]
mask=0,1,2
anchors=1,1, 2,2, 3,3
classes=1
"""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[maxpool]", "[lstm]"), r"net.cfg:14: \[lstm\]: is recurrent, and networks here take one image at a time"),
        (("[maxpool]", "[maxpol]"), r'net.cfg:14: \[maxpol\]: unknown section.*Did you mean "maxpool"'),
        (("from=-2", "from=-9"), r"net.cfg:25: \[shortcut\] from: refers to layer -9; there are 0 to 2 or -1 to -3"),
        (("from=-2\n", "from=-3\nalpha=0.5\n"), r"net.cfg:26: \[shortcut\] alpha: changes the network and is not supp"),
        (
            ("from=-2\n", "from=-3\nactivaton=relu\n"),
            r'\[shortcut\] activaton: is not a Darknet key. Did you mean "activation"',
        ),
        (("from=-2\n", "from=-2\nweights_type=per_feature\n"), r"weights_type: changes the network .*; none is"),
        (("pad=1\nactivation=mish", "pad=1\nshare_index=0\nactivation=mish"), r"share_index: changes the network"),
        (("layers=-1\n", "layers=40\n"), r"net.cfg:28: \[route\] layers: refers to layer 40"),
        (("layers = -1, 0", "layers = -1, x"), r"net.cfg:32: \[route\] layers: takes whole numbers, got '-1, x'"),
        (("layers = -1, 0", "layers = -1, 0"), r"net.cfg:31: \[route\]: cannot concatenate maps of"),
        (("groups=2", "groups=5"), r"net.cfg:27: \[route\]: cannot take part 1 of 5 of 16 channels"),
        (("filters=16\n", "filters=0\n"), r"net.cfg:8: \[convolutional\] filters: must be at least 1, got 0"),
        (
            ("activation=leaky", "activation=lekay"),
            r'net.cfg:12: \[convolutional\] activation: unknown activation "lekay".*"leaky"',
        ),
        (("height = 64", "height = 9000"), r"net.cfg:4: \[net\] height: must be at most 8,192"),
        (("stride=2", "stride=0"), r"net.cfg:16: \[maxpool\] stride: must be at least 1, got 0"),
        (("channels=3", "channels=-3"), r"net.cfg:5: \[net\] channels: must be at least 1, got -3"),
        (("filters=16 ; another comment\n", ""), r"net.cfg:17: \[convolutional\]: needs filters="),
        (("[maxpool]", "[__class__]"), r"net.cfg:14: \[__class__\]: unknown section"),
        (("[net]", "[layer]"), r"net.cfg:1: a Darknet .cfg begins with \[net\]"),
        (("# a comment", "comment"), r"net.cfg:2: takes \[section\] or key=value, got 'comment'"),
    ],
)
def test_faults_are_located(tmp_path, change, message):
    text = CFG.replace(*change) + HEAD
    with pytest.raises(InputError) as caught:
        ss.load(cfg(tmp_path, text))
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            DETECTOR.replace("filters=18", "filters=17"),
            r"filters: must be 18 before \[yolo\] with 3 masks and 1 class, got 17",
        ),
        (DETECTOR.replace("1,1, 2,2, 3,3", "1,1, 2"), r"anchors: takes pairs"),
        (DETECTOR.replace("mask=0,1,2", "mask=0,1,7"), r"mask: names an anchor"),
        (DETECTOR + "[route]\nlayers=-2\n" + DETECTOR, r"refers to layer -2, which is a detection layer"),
        (DETECTOR + "[convolutional]\nfilters=4\nsize=1\n", r"follows a detection layer, whose output nothing takes"),
        ("[softmax]\n[upsample]\n", r"\[softmax\]: stands only at the end of a network"),
        ("[yolo]\nmask=0\nanchors=1,1\nclasses=1\n", r":33: \[yolo\]: takes 6 channels of predictions, got 24"),
    ],
)
def test_heads_are_checked(tmp_path, text, message):
    body = CFG.replace("layers = -1, 0", "layers = -1, 2")
    with pytest.raises(InputError, match=message):
        ss.load(cfg(tmp_path, body + text))


def test_a_file_that_is_no_cfg(tmp_path):
    (tmp_path / "x.cfg").write_bytes(b"\x00\x01\x02")
    with pytest.raises(InputError, match=r"is no Darknet \.cfg"):
        ss.load(tmp_path / "x.cfg")
    with pytest.raises(InputError, match=r"none.cfg: cannot be read"):
        ss.load(tmp_path / "none.cfg")
