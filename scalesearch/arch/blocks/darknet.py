"""Blocks for Darknet's layers that no other block covers (pjreddie's darknet and AlexeyAB's fork of it)."""

from __future__ import annotations

from scalesearch.arch.graph import ShapeError
from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor, window_geometry
from scalesearch.signature import Count, Kernel, Natural, Rate, Stride, Width


def connected(x: SymTensor, *, width: Width, norm: bool = False, act: ActName | None = None) -> SymTensor:
    """Applies a fully connected layer to the whole map; the output is a map of one pixel."""
    x = x.conv(width, (x.shape[1], x.shape[2]), padding=0, bias=not norm)
    x = x.norm() if norm else x
    return x.act(act) if act else x


def local(
    x: SymTensor,
    *,
    width: Width,
    kernel: Kernel = 3,
    stride: Stride = 1,
    padding: Natural = 1,
    act: ActName | None = None,
) -> SymTensor:
    """Applies a locally connected layer: a convolution with its own weights and bias at every place.

    It stands in YOLOv1 (Redmon et al. 2015). The number of its parameters depends on the resolution.
    """
    columns = x.unfold(kernel, stride, padding, name="windows")
    values, places = columns.shape
    *_, h, w = window_geometry(*x.shape[1:], kernel, stride, padding, 1, False, False)
    y = columns.transpose("places").flatten().unflatten(0, (places * values, 1, 1), name="by_place")
    y = y.conv(places * width, groups=places, bias=True).flatten(name="values").unflatten(0, (places, width))
    y = y.transpose("by_channel").unflatten(1, (h, w), name="map")
    return y.act(act) if act else y


def global_pool(x: SymTensor) -> SymTensor:
    """Returns the mean over the map, as a map of one pixel."""
    return x.global_pool()


def norm(x: SymTensor, *, act: ActName | None = None) -> SymTensor:
    """Applies batch norm by itself, then `act` if given."""
    x = x.norm()
    return x.act(act) if act else x


def activation(x: SymTensor, *, act: ActName = "relu") -> SymTensor:
    """Applies an activation by itself."""
    return x.act(act)


def dropout(x: SymTensor, *, dropout: Rate = 0.5) -> SymTensor:
    """Applies dropout between layers."""
    return x.dropout(dropout) if dropout else x


def crop(x: SymTensor, *, height: Count, width: Count, centred: bool = True) -> SymTensor:
    """Cuts `height` × `width` pixels out of the middle of a map (Darknet's [crop]).

    With `centred`, values in [0, 1] become values in [-1, 1].
    """
    for dim, (name, target) in enumerate((("height", height), ("width", width)), 1):
        available = x.shape[dim]
        if target > available:
            raise ShapeError(f"cannot cut a {name} of {target} out of {available}")
        before = (available - target) // 2
        sizes = [size for size in (before, target, available - target - before) if size]
        if len(sizes) > 1:
            x = x.split(sizes, dim, name=name)[1 if before else 0]
    return x.scale(2.0).offset(-1.0) if centred else x


def reorg(x: SymTensor, *, stride: Count = 2) -> SymTensor:
    """Moves pixels into channels as Darknet's [reorg] does.

    It reads the map's values in rows of C / stride² channels. This is YOLOv2's passthrough layer (Redmon &
    Farhadi 2016) as its code has it, not as the paper describes it.
    """
    c, h, w = _check_divisible(x, stride)
    if c % stride**2:
        raise ShapeError(f"reorg by {stride} takes a multiple of {stride**2} channels, got {c}")
    x = x.flatten(name="values").unflatten(0, (c // stride**2, h, stride, w, stride), name="rows")
    return (
        x.permute(2, 4, 0, 1, 3)
        .flatten(name="sorted")
        .unflatten(0, (c * stride**2, h // stride, w // stride), name="map")
    )


def space_to_depth(x: SymTensor, *, stride: Count = 2) -> SymTensor:
    """Moves every stride × stride pixels into channels (Darknet's [reorg3d])."""
    _, h, w = _check_divisible(x, stride)
    x = x.unflatten(1, (h // stride, stride), name="rows").unflatten(3, (w // stride, stride), name="columns")
    return x.permute(2, 4, 0, 1, 3).flatten(0, 2)


def _check_divisible(x: SymTensor, stride: int) -> tuple[int, ...]:
    if x.shape[1] % stride or x.shape[2] % stride:
        raise ShapeError(f"a map of {x.shape[1]}×{x.shape[2]} cannot be cut into squares of {stride}")
    return x.shape


def shortcut(xs: list[SymTensor], *, act: ActName | None = None) -> SymTensor:
    """Adds to the first map what each other map has in common with it: the channels that both have.

    Of a map n times as large every n-th pixel is added, as in pjreddie's darknet (AlexeyAB's adds maps of one
    size only).
    """
    total = xs[0]
    for i, x in enumerate(xs[1:]):
        with x.inside(f"from{i}"):
            total = total + _match_shape(x, total.shape)
    return total.act(act) if act else total


def _match_shape(x: SymTensor, shape: tuple[int, ...]) -> SymTensor:
    if x.shape[1:] != shape[1:]:
        stride = x.shape[1] // shape[1]
        if stride < 1 or any(-(-side // stride) != target_side for side, target_side in zip(x.shape[1:], shape[1:])):
            raise ShapeError(
                f"cannot add a map of {x.shape} to one of {shape}: the added map must be as large, or a whole "
                "number of times as large"
            )
        x = x.avg_pool(1, stride, name="every")
    missing = shape[0] - x.channels
    if missing < 0:
        return x.split((shape[0], -missing))[0]
    return x.pad_channels(0, missing) if missing else x


def product(xs: list[SymTensor], *, act: ActName | None = None) -> SymTensor:
    """Returns the product of two maps, then `act` if given.

    They are equal in shape ([sam]), or one of them is of one pixel or one channel ([scale_channels]).
    """
    if len(xs) != 2:
        raise ShapeError(f"takes two maps, got {len(xs)}")
    y = xs[0] * xs[1]
    return y.act(act) if act else y
