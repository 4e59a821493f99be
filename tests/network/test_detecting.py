"""Boxes from outputs: as Ultralytics decodes them, as Darknet's formulas in plain loops do, and suppressed as one by
one."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from helpers import liven
from hypothesis import given, settings, strategies as st

import scalesearch as ss
from scalesearch.errors import InputError
from scalesearch.network.decoding import decoder
from scalesearch.network.suppressing import nms_indices, non_max_suppression, overlap
from scalesearch.space import arch_from_dict
from scalesearch.weights.loading import load_weights


def sigmoid(v: float) -> float:
    return 1 / (1 + math.exp(-v))


@pytest.mark.parametrize("name", ["yolov8n", pytest.param("yolov8s", marks=pytest.mark.slow)])
@pytest.mark.parametrize("sides", [(96, 96), (64, 128)])
def test_yolov8_is_decoded_as_ultralytics_decodes_it(name, sides, torchvision_models):
    pytest.importorskip("ultralytics")
    from peers import ultralytics_model

    torch.manual_seed(0)
    peer = liven(ultralytics_model(name)()).eval()
    network = ss.build(ss.load(name, resolution=sides)).eval()
    load_weights(network, peer.state_dict())
    peer.model[-1].stride = torch.tensor([8.0, 16.0, 32.0])
    with torch.no_grad():
        x = torch.rand(3, 3, *sides)
        boxes, scores = decoder(network.arch)(network(x))
        theirs = peer(x)[0]
    centre, size = theirs[:, :2].transpose(1, 2), theirs[:, 2:4].transpose(1, 2)
    assert torch.allclose(boxes, torch.cat([centre - size / 2, centre + size / 2], -1), atol=1e-4 * max(sides))
    assert torch.allclose(scores, theirs[:, 4:].transpose(1, 2), atol=1e-4)


@pytest.mark.parametrize("every_class", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_suppression_is_ultralytics(every_class, seed, torchvision_models, monkeypatch):
    nms = pytest.importorskip("ultralytics.utils.nms")
    monkeypatch.setattr(nms, "sys", SimpleNamespace(modules={}))  # torchvision's compiled operators aren't here
    rng = torch.Generator().manual_seed(seed)
    centre, size = torch.rand(3, 400, 2, generator=rng) * 200, torch.rand(3, 400, 2, generator=rng) * 60 + 4
    scores = torch.rand(3, 400, 3, generator=rng)
    given = torch.cat([centre, size, scores], -1).transpose(1, 2)
    boxes = torch.cat([centre - size / 2, centre + size / 2], -1)
    expected = nms.non_max_suppression(given, 0.6, 0.3, multi_label=every_class, max_det=50, max_wh=1000)
    for ours, rows in zip(non_max_suppression(boxes, scores, 0.6, 0.3, 50, every_class), expected, strict=True):
        assert len(ours.scores) == len(rows) == 50
        assert torch.equal(ours.scores, rows[:, 4])
        assert torch.allclose(ours.boxes, rows[:, :4], atol=1e-3)
        assert torch.equal(ours.classes, rows[:, 5].long())


def detector(boxes="yolo", **head):
    masks = head.pop("masks", [[0, 1], [2]])
    arch = arch_from_dict(
        {
            "name": "d",
            "resolution": [32, 48],
            "classes": 3,
            "stem": [{"conv": {"width": 8, "stride": 2}}],
            "stages": [{"stride": 2, "conv": {"width": 8}}, {"stride": 2, "conv": {"width": 8}}],
            "taps": [0, 1],
            "head": {"yolo": {"anchors": [[4, 6], [10.5, 7], [20, 30]], "masks": masks, "boxes": boxes, **head}},
        }
    )
    torch.manual_seed(1)
    return arch, liven(ss.build(arch)).eval()


@pytest.mark.parametrize(
    "head",
    [
        {},
        {"scale_xy": [1.05, 1.2]},
        {"act": "sigmoid", "new_coords": True, "scale_xy": [2.0, 2.0]},
        {"boxes": "gaussian"},
        {"boxes": "region"},
        {"boxes": "region", "softmax": True},
    ],
)
def test_anchors_are_read_as_darknet_reads_them(head):
    """`get_yolo_box`, `get_gaussian_yolo_box`, `get_region_box` and what their layers do before."""
    arch, network = detector(**head)
    kind, masks = head.get("boxes", "yolo"), arch.head.get("masks")
    each = 9 if kind == "gaussian" else 5
    with torch.no_grad():
        outputs = network(torch.rand(1, 3, 32, 48))
        boxes, scores = (found[0].tolist() for found in decoder(arch)(outputs))
    expected, shares, reach = [], [], head.get("scale_xy", [1.0, 1.0])
    for out, mask, by in zip(outputs, masks, reach):
        _, h, w = out[0].shape
        values = out[0].view(len(mask), each + 3, h, w).tolist()
        for n, anchor in enumerate(mask):
            for j in range(h):
                for i in range(w):
                    v = [values[n][e][j][i] for e in range(each + 3)]
                    aw, ah = arch.head.get("anchors")[anchor]
                    if kind == "gaussian":
                        trust = 1 - sum(map(sigmoid, v[1:8:2])) / 4
                        x, y, tw, th, sure, classes = v[0], v[2], v[4], v[6], v[8], v[9:]
                    else:
                        (x, y, tw, th, sure), classes, trust = v[:5], v[5:], 1.0
                    if head.get("new_coords"):
                        bw, bh = (2 * tw) ** 2 * aw, (2 * th) ** 2 * ah
                    else:
                        x, y, sure = sigmoid(x), sigmoid(y), sigmoid(sure)
                        bw, bh = math.exp(tw) * aw, math.exp(th) * ah
                        if head.get("softmax"):
                            total = sum(map(math.exp, classes))
                            classes = [math.exp(c) / total for c in classes]
                        else:
                            classes = [sigmoid(c) for c in classes]
                    if kind == "region":  # anchors in cells
                        bw, bh = bw * 48 / w, bh * 32 / h
                    bx = (i + x * by - 0.5 * (by - 1)) / w * 48
                    by_ = (j + y * by - 0.5 * (by - 1)) / h * 32
                    expected.append([bx - bw / 2, by_ - bh / 2, bx + bw / 2, by_ + bh / 2])
                    shares.append([sure * c * trust for c in classes])
    assert torch.allclose(torch.tensor(boxes), torch.tensor(expected), rtol=1e-4, atol=1e-3)
    assert torch.allclose(torch.tensor(scores), torch.tensor(shares), atol=1e-4)


@pytest.mark.parametrize("sqrt", [True, False])
def test_yolov1_is_read_as_darknet_reads_it(sqrt):
    """`get_detection_detections`."""
    arch = arch_from_dict(
        {
            "name": "v1",
            "resolution": [32, 48],
            "classes": 2,
            "stem": [{"conv": {"width": 4, "stride": 2}}],
            "stages": [{"connected": {"width": 2 * 2 * (2 + 5 * 3)}}],
            "head": {"yolov1": {"side": 2, "boxes": 3, "sqrt": sqrt}},
        }
    )
    values = torch.rand(1, 68)
    boxes, scores = decoder(arch)(values)
    v, n = values[0].tolist(), 0
    for cell in range(4):
        row, column = divmod(cell, 2)
        for b in range(3):
            start = 4 * 2 + 4 * 3 + (cell * 3 + b) * 4
            x, y = (v[start] + column) / 2 * 48, (v[start + 1] + row) / 2 * 32
            w, h = (v[start + 2] ** (2 if sqrt else 1)) * 48, (v[start + 3] ** (2 if sqrt else 1)) * 32
            assert boxes[0, n].tolist() == pytest.approx([x - w / 2, y - h / 2, x + w / 2, y + h / 2], abs=1e-4)
            sure = v[4 * 2 + cell * 3 + b]
            assert scores[0, n].tolist() == pytest.approx([sure * v[cell * 2], sure * v[cell * 2 + 1]], abs=1e-5)
            n += 1


def one_by_one(boxes, classes, iou):
    kept = []
    for i in range(len(boxes)):
        over = [overlap(boxes[k : k + 1], boxes[i : i + 1])[0, 0] for k in kept if classes[k] == classes[i]]
        if not any(share > iou for share in over):
            kept.append(i)
    return kept


@given(st.integers(0, 2**32), st.integers(0, 120), st.integers(1, 3), st.sampled_from([0.1, 0.45, 0.7, 1.0]))
@settings(max_examples=40)
def test_suppression_keeps_what_going_one_by_one_keeps(seed, count, classes, iou):
    import scalesearch.network.suppressing as detecting

    rng = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=rng) * 40
    boxes = torch.cat([corner, corner + torch.rand(count, 2, generator=rng) * 30], 1).round()
    of = torch.randint(classes, (count,), generator=rng)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(detecting, "BLOCK", 16)
        kept = nms_indices(boxes, of, iou).tolist()
        assert kept == one_by_one(boxes, of, iou)
        assert nms_indices(boxes, of, iou, 5).tolist() == kept[:5]


def test_a_classifier_has_no_boxes():
    with pytest.raises(InputError, match="resnet18 is no detector: its head is classifier"):
        decoder(ss.load("resnet18"))
    empty = non_max_suppression(torch.zeros(2, 9, 4), torch.zeros(2, 9, 3))
    assert [len(found.scores) for found in empty] == [0, 0]
