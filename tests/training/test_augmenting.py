"""Random changes of images: each against torchvision's own or its definition, chance repeatable."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, strategies as st
from torch.nn import functional as F

from scalesearch.training.augmenting import Augmentation
from scalesearch.training.pictures import Normalisation, resize_images, uint8_to_float
from scalesearch.training.trivial import COLOURS, GEOMETRY, TrivialAugment
from scalesearch.trials.recipe import RECIPES, Recipe

PLAIN = Recipe(shift=0.0, rotate=0.0, zoom=0.0, flip=False)


def images(n=8, side=24, channels=3, seed=0):
    rng = torch.Generator().manual_seed(seed)
    coarse = torch.randint(0, 256, (n, channels, 6, 6), generator=rng, dtype=torch.uint8)
    return F.interpolate(coarse.float(), (side, side), mode="bilinear").round().to(torch.uint8)


def changed(recipe, given, side=None, mirror=True, seed=0):
    torch.manual_seed(seed)
    return Augmentation(recipe, mirror)(given, side or given.shape[-1])


def test_a_recipe_without_changes_changes_nothing():
    x = images()
    shown, _ = changed(PLAIN, x)
    assert torch.equal(shown, uint8_to_float(x))
    smaller, _ = changed(PLAIN, x, 12)
    assert torch.equal(smaller, uint8_to_float(resize_images(x, 12)))


def test_mirroring_is_what_the_data_allows():
    x, flips = images(64), Recipe(shift=0.0, rotate=0.0, zoom=0.0)
    shown, _ = changed(flips, x)
    assert torch.equal(changed(flips, x, mirror=False)[0], uint8_to_float(x))
    mirrored = torch.tensor([torch.allclose(a, b.flip(-1), atol=1e-5) for a, b in zip(shown, uint8_to_float(x))])
    same = torch.tensor([torch.allclose(a, b, atol=1e-5) for a, b in zip(shown, uint8_to_float(x))])
    assert (mirrored ^ same).all()
    assert 16 < mirrored.sum() < 48


@pytest.mark.parametrize("name", [*RECIPES])
def test_equal_dice_equal_images_and_moves_say_where_pixels_come_from(name):
    x = images(16, 32)
    recipe = RECIPES[name]
    (a, _), (b, _), (c, _) = (changed(recipe, x, 24, seed=s) for s in (0, 0, 1))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == (16, 3, 24, 24)
    plain = {"colour": 0.0, "hue": 0.0, "erase": 0.0, "trivial": False, "mosaic": 0.0}
    only_moves = Augmentation(Recipe(**{**vars(recipe), **plain}), True)
    torch.manual_seed(0)
    shown, moves = only_moves(x, 32)
    assert moves.of.flatten().tolist() == list(range(16))
    grid = F.affine_grid(moves.matrices[:, 0], list(shown.shape), align_corners=False)
    expected = F.grid_sample(uint8_to_float(x), grid, padding_mode="border", align_corners=False)
    assert torch.allclose(shown, expected, atol=1e-5)


@given(st.floats(0.05, 0.95))
def test_crops_are_of_the_area_asked_for_and_inside(least):
    torch.manual_seed(0)
    moves = Augmentation(Recipe(shift=0.0, rotate=0.0, zoom=0.0, crop=least), True)._random_matrices(200, 1.0)
    wide, high = moves[:, 0, 0].abs(), moves[:, 1, 1].abs()
    area = wide * high
    assert area.min() >= least * 0.75
    assert area.max() <= 1 + 1e-5
    assert ((moves[:, 0, 2].abs() + wide) <= 1 + 1e-5).all()
    assert ((moves[:, 1, 2].abs() + high) <= 1 + 1e-5).all()


@pytest.mark.parametrize("kind", COLOURS)
@pytest.mark.parametrize("strength", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_trivialaugments_colours_are_torchvisions(kind, strength, sign, torchvision_models):
    from torchvision.transforms import functional as peer

    x = images(5)
    drawn = TrivialAugment(5)
    drawn.kind[:] = len(GEOMETRY) + [*COLOURS].index(kind)
    drawn.strength[:], drawn.signed[:] = strength, sign * strength
    ours = ((drawn.apply_colours(uint8_to_float(x)) + 1) * 127.5).round()
    factor = 1 + 0.99 * sign * strength
    theirs = {
        "brightness": lambda: peer.adjust_brightness(x, factor),
        "contrast": lambda: peer.adjust_contrast(x, factor),
        "saturation": lambda: peer.adjust_saturation(x, factor),
        "sharpness": lambda: peer.adjust_sharpness(x, factor),
        "posterize": lambda: peer.posterize(x, 8 - round(6 * strength)),
        "solarize": lambda: peer.solarize(x, 255 * (1 - strength)),
        "autocontrast": lambda: peer.autocontrast(x),
        "equalize": lambda: peer.equalize(x),
    }[kind]().float()
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1)) if kind == "sharpness" else ...  # theirs keeps edges
    difference = (ours - theirs)[inner].abs()
    assert difference.max() <= 2  # theirs rounds greys on the way


def test_trivialaugments_turn_is_a_turn_about_the_middle(torchvision_models):
    from torchvision.transforms import InterpolationMode, functional as peer

    x = images(1, 33)
    drawn = TrivialAugment(1)
    drawn.kind[:], drawn.signed[:] = GEOMETRY.index("rotate"), 30 / 135
    moves = drawn.apply_geometry(torch.eye(2, 3)[None])
    grid = F.affine_grid(moves, list(x.shape), align_corners=False)
    ours = F.grid_sample(x.float(), grid, align_corners=False)
    theirs = peer.rotate(x.float(), -30, InterpolationMode.BILINEAR)
    middle = (slice(None), slice(None), slice(8, 25), slice(8, 25))
    assert (ours - theirs)[middle].abs().max() < 1.0 or (ours - peer.rotate(x.float(), 30, InterpolationMode.BILINEAR))[
        middle
    ].abs().max() < 1.0


@given(st.integers(8, 64), st.integers(8, 64))
def test_images_that_are_not_square_are_turned_as_their_pixels_are(height, width):
    """Not squeezed: what leads from pixels to pixels is a turn, a shear moves along one axis by the pixels of the
    other."""
    torch.manual_seed(0)
    to_pixels = torch.diag(torch.tensor([width / 2, height / 2]))

    def in_pixels(moves):
        return to_pixels @ moves[:, :, :2] @ torch.linalg.inv(to_pixels)

    turned = in_pixels(
        Augmentation(Recipe(shift=0.0, rotate=90.0, zoom=0.0, flip=True), True)._random_matrices(50, height / width)
    )
    assert torch.allclose(turned @ turned.mT, torch.eye(2).expand(50, 2, 2), atol=1e-5)
    for kind in ("rotate", "shear_x", "shear_y"):
        drawn = TrivialAugment(1)
        drawn.kind[:], drawn.signed[:] = GEOMETRY.index(kind), 0.5
        square = drawn.apply_geometry(torch.eye(2, 3)[None])[:, :, :2]
        assert torch.allclose(in_pixels(drawn.apply_geometry(torch.eye(2, 3)[None], height / width)), square, atol=1e-5)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("sides", [(20, 48), (48, 20)])
def test_images_that_are_not_square_come_out_as_high_and_wide_as_asked(name, sides):
    recipe = Recipe(rotate=15.0, crop=0.5, trivial=True, erase=0.5, **{name: 1.0})
    x = torch.randint(0, 256, (40, 3, sides[0] + 8, sides[1] + 8), dtype=torch.uint8)
    torch.manual_seed(0)
    shown, _ = Augmentation(recipe, True)(x, sides)
    assert shown.shape == (40, 3, *sides)
    blank = torch.arange(40.0).view(40, 1, 1, 1).expand(40, 3, *sides)
    mixed, order, share = Augmentation(recipe, True).mixed(blank)
    payload = share * blank[:, 0, 0, 0] + (1 - share) * blank[order][:, 0, 0, 0]
    assert torch.allclose(mixed.mean((1, 2, 3)), payload, atol=1e-4)
    same, _ = changed(PLAIN, x, sides)
    assert torch.equal(same, uint8_to_float(resize_images(x, sides)))


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_blends_are_of_the_shares_told(name):
    torch.manual_seed(0)
    x = torch.arange(12.0).view(12, 1, 1, 1).expand(12, 3, 32, 32) / 6 - 1  # every image one shade
    shown, order, share = Augmentation(Recipe(**{name: 1.0}), True).mixed(x)
    payload = share * x[:, 0, 0, 0] + (1 - share) * x[order][:, 0, 0, 0]
    assert torch.allclose(shown.mean((1, 2, 3)), payload, atol=1e-5)
    assert 0.2 < share.mean() < 0.8
    if name == "cutmix":
        assert all(len(image.unique()) <= 2 for image in shown)
    assert Augmentation(PLAIN, True).mixed(x) is None


def test_erasing_takes_a_rectangle_of_some_images():
    torch.manual_seed(0)
    x = torch.zeros(400, 3, 32, 32, dtype=torch.uint8)
    shown, _ = Augmentation(Recipe(shift=0.0, rotate=0.0, zoom=0.0, flip=False, erase=0.25), True)(x, 32)
    gone = (shown != -1).all(1)
    share = gone.float().mean((1, 2))
    assert 0.18 < (share > 0).float().mean() < 0.32
    assert share.max() < 0.45
    rows = gone.any(2).sum(1) * gone.any(1).sum(1)
    assert torch.equal(rows, gone.sum((1, 2)))  # a full rectangle


def test_normalised_as_weights_want_it():
    x, n = images(2), Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in n)
    assert torch.allclose(n.of(uint8_to_float(x)), (x / 255 - mean) / std, atol=1e-5)
    assert math.isclose(Normalisation().of(uint8_to_float(x)).max().item(), uint8_to_float(x).max().item())
