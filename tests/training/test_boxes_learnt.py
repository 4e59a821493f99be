"""Detectors in training: losses and assignment against their papers, the peer and hand-computed cases; boxes that go
where their images go; and that it learns."""

from __future__ import annotations

import math
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from boxed import unpacked
from helpers import liven
from hypothesis import given, settings, strategies as st

import scalesearch as ss
from scalesearch.arch import block
from scalesearch.data.boxes import Targets
from scalesearch.data.facts import Source
from scalesearch.data.pixels import Pixels
from scalesearch.errors import InputError
from scalesearch.network.decoding import decoder
from scalesearch.network.modules import build
from scalesearch.network.suppressing import non_max_suppression
from scalesearch.training.anchors import kmeans, shape_overlaps, with_fitted_anchors
from scalesearch.training.assigning import TOP_K, anchor_assignment, task_aligned_assignment
from scalesearch.training.augmenting import Augmentation
from scalesearch.training.box_losses import complete_iou, distribution_focal
from scalesearch.training.box_targets import Boxes
from scalesearch.training.detection import DetectionLearner
from scalesearch.training.detector_losses import yolo_loss, yolov8_loss
from scalesearch.training.trainer import Trainer
from scalesearch.trials import TASKS
from scalesearch.trials.recipe import Recipe

LEARNER = DetectionLearner()

PLAIN = {"shift": 0.0, "rotate": 0.0, "zoom": 0.0, "flip": False}


def boxes_of(*images, width=8):
    """`Boxes` of images, each a list of (class, x1, y1, x2, y2) as shares."""
    n = len(images)
    raw = Targets(
        np.zeros((n, width, 4), np.float32),
        np.full((n, width), -1, np.int64),
        np.zeros((n, width), bool),
        np.zeros((n, width), np.float32),
        np.full((n, 2), 64, np.float32),
        np.tile(np.array([0, 0, 1, 1], np.float32), (n, 1)),
    )
    for i, image in enumerate(images):
        for k, (class_, *corners) in enumerate(image):
            raw.boxes[i, k], raw.classes[i, k] = corners, class_
            raw.area[i, k] = (corners[2] - corners[0]) * (corners[3] - corners[1]) * 64 * 64
    return Boxes.of(raw)


def test_complete_iou_of_boxes_worked_out_by_hand():
    a = torch.tensor([[0.0, 0, 4, 2], [0, 0, 2, 2], [0, 0, 2, 2]])
    b = torch.tensor([[0.0, 0, 4, 2], [4, 0, 6, 2], [0, 0, 4, 2]])
    angle = 4 / math.pi**2 * (math.atan(2) - math.atan(1)) ** 2
    expected = [1.0, -(4**2) / (6**2 + 2**2), 0.5 - 1 / 20 - angle * angle / (angle - 0.5 + 1)]
    assert complete_iou(a, b).tolist() == pytest.approx(expected, abs=1e-5)


def test_gradients_against_finite_differences():
    torch.manual_seed(0)
    low = torch.rand(6, 2, dtype=torch.float64)
    side = torch.rand(6, 1, dtype=torch.float64) + 0.5
    # of one aspect: the weight of the aspects' part has no gradient, which differences would show
    squares = torch.cat([low, low + side], -1)
    other = torch.cat([low + 0.2, low + 0.2 + 1.3 * side], -1)
    assert torch.autograd.gradcheck(
        lambda x: complete_iou(x + 0 * x.detach(), other), squares.requires_grad_(), atol=1e-4
    )
    logits = torch.randn(5, 16, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(distribution_focal, (logits, torch.rand(5, dtype=torch.float64) * 14))


def test_distribution_focal_loss_is_least_at_the_distance():
    logits = torch.full((1, 8), -50.0)
    logits[0, 2], logits[0, 3] = math.log(0.75), math.log(0.25)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert distribution_focal(logits, torch.tensor([2.25])).item() == pytest.approx(entropy, rel=1e-4)
    assert distribution_focal(logits, torch.tensor([2.6])).item() > entropy


def outputs(name="yolov8n", classes=5, side=96, n=3, seed=0):
    torch.manual_seed(seed)
    arch = ss.load(name, resolution=side, classes=classes)
    return arch, liven(build(arch), seed).train()(torch.randn(n, 3, side, side))


def truths(seed, n=3, most=6, classes=5):
    torch.manual_seed(seed)
    centre, size = torch.rand(n, most, 2) * 0.6 + 0.2, torch.rand(n, most, 2) * 0.5 + 0.02
    corners = torch.cat([centre - size / 2, centre + size / 2], -1).clamp(0, 1)
    named = torch.randint(0, classes, (n, most))
    named[0, most // 2 :] = -1
    named[-1] = -1
    return corners, named


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_of_yolov8_is_the_peers(seed):
    pytest.importorskip("ultralytics")
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils.loss import v8DetectionLoss

    arch, out = outputs(seed=seed)
    corners, classes = truths(seed)
    real = classes >= 0
    ours = yolov8_loss(decoder(arch), out, corners * 96, classes, real)
    peer = DetectionModel("yolov8n.yaml", nc=5, verbose=False)
    peer.args = SimpleNamespace(box=7.5, cls=0.5, dfl=1.5)
    which = real.nonzero()[:, 0].float()
    middle, size = (corners[..., :2] + corners[..., 2:]) / 2, corners[..., 2:] - corners[..., :2]
    batch = {"batch_idx": which, "cls": classes[real].float(), "bboxes": torch.cat([middle, size], -1)[real]}
    maps = [torch.zeros(3, 1, h, w) for h, w in decoder(arch).maps]
    theirs, _ = v8DetectionLoss(peer).loss({"boxes": out[2], "scores": out[1], "feats": maps}, batch)
    assert ours.item() == pytest.approx(theirs.sum().item() / 3, rel=1e-5)


@pytest.mark.parametrize("name, loss", [("yolov8n", yolov8_loss), ("yolov3_tiny", yolo_loss)])
def test_images_without_boxes_have_a_loss_and_weights_count(name, loss):
    arch, out = outputs(name)
    out = [part.detach().requires_grad_() for part in out]
    corners, classes = truths(1)
    none = torch.full_like(classes, -1)
    empty = loss(decoder(arch), out, corners * 96, none, none >= 0)
    assert torch.isfinite(empty)
    assert empty > 0
    empty.backward()
    whole = loss(decoder(arch), out, corners * 96, classes, classes >= 0)
    same = loss(decoder(arch), out, corners * 96, classes, classes >= 0, torch.ones(3))
    first = loss(decoder(arch), out, corners * 96, classes, classes >= 0, torch.tensor([1.0, 0, 0]))
    alone = loss(decoder(arch), [part[:1] for part in out], corners[:1] * 96, classes[:1], classes[:1] >= 0)
    assert same.item() == pytest.approx(whole.item())
    assert first.item() == pytest.approx(alone.item(), rel=1e-4)


@settings(max_examples=40)
@given(st.integers(0, 10_000), st.integers(1, 6), st.floats(0, 24))
def test_what_holds_of_every_assignment(seed, most, least):
    arch, (decode, n) = ss.load("yolov8n", resolution=64, classes=3), (None, 2)
    decode = decoder(arch)
    torch.manual_seed(seed)
    middles, _ = decode.grid(torch.zeros(1))
    corners, classes = truths(seed, n, most, 3)
    truth, real = corners * 64, classes >= 0
    scores = torch.rand(n, len(middles), 3)
    at = torch.rand(n, len(middles), 4) * 24
    boxes = torch.cat([middles - at[..., :2], middles + at[..., 2:]], -1)
    found = task_aligned_assignment(scores, boxes, middles, truth, classes, real, least)
    assert (found.quality[found.positive] >= 0).all()
    assert (found.quality <= 1 + 1e-5).all()
    for i in range(n):
        for m in range(most):
            places = (found.positive[i] & (found.which[i] == m)).nonzero().flatten()
            assert len(places) <= (TOP_K if real[i, m] else 0)
            centre, half = (truth[i, m, :2] + truth[i, m, 2:]) / 2, (truth[i, m, 2:] - truth[i, m, :2]).clamp(min=least)
            assert ((middles[places] - centre).abs() < half / 2).all()
    # Boxes that are none, and the order of those that are, change nothing.
    order = torch.randperm(most)

    def pad(t, value):
        return torch.cat([t[:, order], torch.full_like(t[:, :2], value)], 1)

    other = task_aligned_assignment(scores, boxes, middles, pad(truth, 0), pad(classes, -1), pad(real, False), least)
    assert torch.equal(found.positive, other.positive)
    assert torch.allclose(found.quality, other.quality, atol=1e-6)


def test_a_box_is_found_by_the_anchor_of_its_shape_in_its_cell():
    anchors = torch.tensor([[10.0, 10], [20, 20], [40, 40], [80, 40]])
    truth = torch.tensor([[[30.0, 30, 72, 68], [0, 0, 9, 11], [1, 1, 9, 9], [0, 0, 0, 0]]])
    real = torch.tensor([[True, True, True, False]])
    found = anchor_assignment(truth, real, anchors, [[2, 3], [0]], [(4, 4), (8, 8)], (128, 128))
    places = {int(p): int(found.which[0, p]) for p in found.positive[0].nonzero()}
    # 42 × 38 is anchor 2 of the map of 4 × 4, in column and row 1; of two in one cell the last is found
    assert places == {0 * 16 + 1 * 4 + 1: 0, 2 * 16 + 0: 2}
    # an anchor that no map has is nobody's
    small = anchor_assignment(
        torch.tensor([[[0.0, 0, 20, 20]]]), torch.tensor([[True]]), anchors, [[2, 3], [0]], [(4, 4), (8, 8)], (128, 128)
    )
    assert small.positive.sum() == 1


def test_anchors_are_the_middles_of_groups_of_shapes():
    rng = np.random.default_rng(0)
    groups = np.array([[10, 12], [40, 20], [90, 100]])
    shapes = np.concatenate([group * rng.uniform(0.9, 1.1, (50, 2)) for group in groups])
    assert np.allclose(kmeans(shapes, 3), groups, rtol=0.05)
    assert shape_overlaps(shapes, kmeans(shapes, 3)).max(1).mean() > 0.85
    head = block("yolo", "head", anchors=((1, 1), (2, 2), (3, 3), (4, 4)), masks=((2, 3), (1,)))
    payload = boxes_of([(0, 0.0, 0.0, w / 128, h / 64) for w, h in groups.clip(max=60)])
    fitted = with_fitted_anchors(head, payload, (64, 128))
    assert fitted.get("anchors")[0] == (1, 1)
    assert fitted.get("anchors")[1] == pytest.approx((10, 12), abs=0.1)
    assert with_fitted_anchors(head, boxes_of([]), (64, 128)) == head


CHANGES = {
    "still": {},
    "flipped": {"flip": True},
    "moved": {"shift": 0.3, "zoom": 0.4},
    "mosaic": {"mosaic": 1.0},
    "mosaic, moved": {"mosaic": 1.0, "shift": 0.2, "zoom": 0.5, "flip": True},
    "blended": {"mixup": 8.0},
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("sides", [(64, 64), (48, 80)])
def test_boxes_go_where_their_pixels_go(name, sides):
    """Images are white in their boxes and black elsewhere: what the boxes say afterwards is drawn and held against what
    the images show."""
    high, wide = sides
    payload = [
        [(0, 8 / wide, 8 / high, 24 / wide, 32 / high), (1, 40 / wide, 16 / high, 56 / wide, 40 / high)],
        [(2, 16 / wide, 20 / high, 48 / wide, 28 / high)],
        [],
        [(1, 0.0, 0.0, 20 / wide, 20 / high)],
    ]
    images = torch.zeros(4, 3, high, wide, dtype=torch.uint8)
    for image, boxes in zip(images, payload):
        for _, x1, y1, x2, y2 in boxes:
            image[:, round(y1 * high) : round(y2 * high), round(x1 * wide) : round(x2 * wide)] = 255
    torch.manual_seed(3)
    augmentation = Augmentation(Recipe(**{**PLAIN, **CHANGES[name]}), True, letterbox=True)
    shown, moves = augmentation(images, sides)
    wanted = boxes_of(*payload).moved(moves)
    if blended := augmentation.mixed(shown):
        shown, wanted = blended[0], wanted.merge_with(blended[1])
    for image, boxes, classes in zip(shown, wanted.boxes, wanted.classes):
        drawn = torch.zeros(high, wide, dtype=torch.bool)
        for x1, y1, x2, y2 in boxes[classes >= 0].tolist():
            drawn[round(y1 * high) : round(y2 * high), round(x1 * wide) : round(x2 * wide)] = True
        white = image.mean(0) > (-0.95 if name == "blended" else 0.3)
        assert (white != drawn).float().mean() < 0.06
    assert (wanted.classes >= 0).sum() >= 3


def test_no_mosaics_late_in_a_training():
    recipe = Recipe(epochs=10, mosaic=1.0, plain_end=0.3, **PLAIN)
    assert recipe.first_plain_epoch == 7
    x = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    augmentation = Augmentation(recipe, False, letterbox=True)
    assert augmentation(x, 32, without_mosaic=True)[1].of.shape == (4, 1)
    assert augmentation(x, 32)[1].of.shape == (4, 4)


@pytest.mark.parametrize("name", ["yolov8n", "yolov3_tiny", "mobilenet_v3_small+yolov8", "resnet18+yolo"])
def test_a_head_that_knows_nothing_finds_next_to_nothing(name):
    model = build(ss.load(name, resolution=96, classes=7))
    LEARNER.initialise(model)
    boxes, scores = decoder(model.arch)(model.train()(torch.randn(2, 3, 96, 96)))
    assert scores.mean() < 0.01
    assert torch.isfinite(boxes).all()
    if model.arch.head.kind == "yolo":  # its sizes are exponentials, so it says little else at first, too
        assert scores.max() < 0.2
        assert all(len(found.scores) == 0 for found in non_max_suppression(boxes, scores))


@pytest.mark.parametrize("cfg, message", [("region", "read but not trained"), ("gaussian", "read but not trained")])
def test_heads_that_are_not_trained_say_so(cfg, message):
    arch = ss.load("yolov3_tiny")
    args = dict(arch.head.args) | {"boxes": cfg}
    with pytest.raises(InputError, match=message):
        LEARNER.check(arch.with_(head=block("yolo", "head", **args)))


def eight(tmp_path):
    """The images of COCO128 and boxes of eight that have none too small to see at 160 pixels."""
    from scalesearch.data.boxes import targets
    from scalesearch.data.pixels import load_store
    from scalesearch.data.sources import data_set

    unpacked("coco128_yolo_s416.tar", tmp_path)
    shutil.move(tmp_path / "images", tmp_path / "object_detection" / "images")
    opened = data_set(str(tmp_path / "object_detection"))
    truth, side = opened.index.truth, np.maximum(opened.scan.widths, opened.scan.heights)
    own = np.stack([opened.scan.widths, opened.scan.heights], 1) * (160 / side)[:, None]
    least = (truth.box[:, 2:] * own[truth.image]).min(1)
    smallest = np.full(len(side), -1.0)
    for image in np.unique(truth.image):
        smallest[image] = least[truth.image == image].min()
    rows = np.sort(np.argsort(-smallest, kind="stable")[:8])
    pixels = Pixels(load_store(opened.index, opened.scan, 160, 3, letterbox=True), rows)
    return pixels, targets(truth.select(rows), opened.scan.widths[rows], opened.scan.heights[rows], 160)


@pytest.mark.slow
@pytest.mark.parametrize("name, epochs, rate", [("yolov8n", 250, 2e-3), ("yolov3_tiny", 60, 1e-3)])
def test_eight_photos_are_learnt_by_heart(name, epochs, rate, tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    there = eight(tmp_path / "set")
    source = Source(
        "eight",
        160,
        3,
        80,
        True,
        dict.fromkeys(("train", "val", "test"), 8),
        lambda: dict.fromkeys(("train", "val", "test"), there),
        "eight",
        "detection",
        digest=name,
    )
    recipe = Recipe(
        epochs=epochs,
        batch_size=8,
        learning_rate=rate,
        warmup=0.05,
        weight_decay=0.0,
        clip_norm=10.0,
        ema_span=0.02,
        **PLAIN,
    )
    trainer = Trainer(ss.load(name, resolution=160), source, recipe, 0, task=TASKS["detection"])
    while not trainer.done:
        trainer.run_epoch()
    scores, details = trainer.scorer.final_scores("test")
    assert scores["test_ap50"] >= 0.95
    assert scores["test_f1"] > 0.9
    assert details["interval"][0] <= scores["test_ap"] <= details["interval"][1]
    wrong = np.array(details["confusion"])
    assert wrong.trace() / wrong[:-1].sum() > 0.85


def squares(n=24):
    """Images of a bright square each, whose class is its size."""
    rng = np.random.default_rng(0)
    pixels, payload = rng.integers(0, 60, (n, 64, 64, 3), dtype=np.uint8), []
    for image in pixels:
        class_ = int(rng.integers(2))
        side = (14, 28)[class_]
        x, y = rng.integers(0, 64 - side, 2)
        image[y : y + side, x : x + side] = 220
        payload.append([(class_, x / 64, y / 64, (x + side) / 64, (y + side) / 64)])
    raw = boxes_of(*payload)
    there = Pixels(pixels, np.arange(n)), Targets(*(value.numpy() for value in vars(raw).values()))
    return Source(
        "squares",
        64,
        3,
        2,
        True,
        dict.fromkeys(("train", "val", "test"), n),
        lambda: dict.fromkeys(("train", "val", "test"), there),
        "squares",
        "detection",
        digest="squares",
    )


@pytest.mark.parametrize("head", ["yolov8", "yolo"])
def test_a_training_goes_on_to_the_last_bit(head):
    recipe = Recipe(epochs=3, batch_size=8, mosaic=0.7, mixup=4.0, zoom=0.3, hue=0.1, colour=0.2, plain_end=0.34)
    arch = ss.load(f"resnet20_cifar+{head}", resolution=64, classes=2)
    whole = Trainer(arch, squares(), recipe, 0, task=TASKS["detection"])
    for _ in range(3):
        whole.run_epoch()
    first = Trainer(arch, squares(), recipe, 0, task=TASKS["detection"])
    first.run_epoch()
    state = first.state()
    second = Trainer(arch, squares(), recipe, 0, task=TASKS["detection"])
    second.load_state(state)
    for _ in range(2):
        second.run_epoch()
    assert all(torch.equal(a, b) for a, b in zip(whole.weights().values(), second.weights().values()))
    assert whole.scores("val") == second.scores("val")
    assert math.isfinite(whole.scores("val")["val_loss"])


@pytest.mark.parametrize("balance", ["weights", "sampling"])
def test_rare_classes_count_alike(balance):
    payload = boxes_of([(0, 0, 0, 0.5, 0.5)], [(0, 0, 0, 0.5, 0.5)], [(0, 0, 0, 0.5, 0.5)], [(1, 0, 0, 0.5, 0.5)], [])
    weights = LEARNER.importance(payload)
    assert weights.mean().item() == pytest.approx(1)
    assert weights[3] == pytest.approx(3 * weights[0].item())
    trainer = Trainer(
        ss.load("resnet20_cifar+yolov8", resolution=64, classes=2),
        squares(),
        Recipe(epochs=1, batch_size=8, balance=balance),
        0,
        task=TASKS["detection"],
    )
    assert math.isfinite(trainer.run_epoch()["train_loss"])


def test_a_batch_is_taken_in_parts_where_memory_asks_for_it():
    recipe = Recipe(epochs=1, batch_size=8, micro_batch=4, **PLAIN)
    trainer = Trainer(
        ss.load("resnet20_cifar+yolov8", resolution=64, classes=2), squares(), recipe, 0, task=TASKS["detection"]
    )
    assert trainer.micro_batch == 4
    assert math.isfinite(trainer.run_epoch()["train_loss"])
