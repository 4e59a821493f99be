"""Attention over channels, pixels or both; the blocks keep the shape of their input and fit in any space."""

from __future__ import annotations

from scalesearch.arch.blocks.parts import depthwise, residual, squeeze_excite
from scalesearch.arch.blocks.plain import channels_last_norm
from scalesearch.arch.graph import ShapeError
from scalesearch.arch.operators import ActName
from scalesearch.arch.symbolic import SymTensor, concat
from scalesearch.signature import Count, Kernel, Ratio, Stride


def se(x: SymTensor, *, reduction: Count = 16, act: ActName = "relu", gate: ActName = "sigmoid") -> SymTensor:
    """Gates each channel by the means of all channels (squeeze-and-excitation, Hu et al. 2018, fig. 3).

    The inner width is the input's channels divided by `reduction`, rounded down, at least 1.
    """
    return squeeze_excite(x, max(1, x.channels // reduction), act=act, gate=gate)


def eca(x: SymTensor, *, kernel: Kernel = 3) -> SymTensor:
    """Gates each channel by a 1-D convolution over the channels' means.

    This is efficient channel attention (Wang et al. 2020, fig. 2).
    """
    s = x.global_pool().permute(1, 0, 2, name="as_line")
    s = s.conv(1, (kernel, 1), padding=(kernel // 2, 0)).permute(1, 0, 2, name="as_channels")
    return x * s.act("sigmoid", name="gate")


def cbam(x: SymTensor, *, reduction: Count = 16, kernel: Kernel = 7) -> SymTensor:
    """Gates the channels, then the pixels (convolutional block attention, Woo et al. 2018, fig. 2)."""
    with x.inside("channel"):
        pooled = [x.global_pool(name="avg"), x.adaptive_pool(1, "max", name="max")]
        s = concat(pooled, dim=1)  # one MLP for both descriptors, side by side as two pixels
        s = s.conv(max(1, x.channels // reduction), name="reduce", padding=0).act("relu")
        s = s.conv(x.channels, name="expand", padding=0)
        avg, peak = s.split((1, 1), dim=1)
        x = x * (avg + peak).act("sigmoid", name="gate")
    with x.inside("spatial"):
        s = concat([x.over_channels("mean", "mean"), x.over_channels("max", "max")])
        return x * s.conv(1, kernel).norm().act("sigmoid", name="gate")


def _attend(q: SymTensor, k: SymTensor, v: SymTensor) -> SymTensor:
    """Returns softmax(q·k / √d)·v for q and v of (heads, positions, d) and k of (heads, d, positions)."""
    return (q.scale(q.shape[-1] ** -0.5) @ k).softmax() @ v


def mhsa(x: SymTensor, *, heads: Count = 4, layer_scale: Ratio = 0.0) -> SymTensor:
    """Applies layer-normalised multi-head self-attention over the map's pixels, with a shortcut.

    Source: Vaswani et al. 2017. The channels must be a multiple of `heads`. `layer_scale` is the initial value of
    the branch's scale; 0 leaves it out.
    """
    if x.channels % heads:
        raise ShapeError(f"{x.channels} channels cannot be cut into {heads} heads")
    qkv = channels_last_norm(x).conv(3 * x.channels, bias=True, name="qkv").flatten(1, 2, name="pixels")
    qkv = qkv.unflatten(0, (3, heads, x.channels // heads), name="by_head")
    q, k, v = (part.flatten(0, 1, name=f"heads_{i}") for i, part in enumerate(qkv.split((1, 1, 1), name="parts")))
    y = _attend(q.transpose("q"), k, v.transpose("v")).transpose("joined").flatten(0, 1, name="joined_heads")
    y = y.spread_like(x).conv(x.channels, bias=True, name="project")
    return residual(x, y.layer_scale(layer_scale) if layer_scale else y)


def mobile_mqa(
    x: SymTensor,
    *,
    heads: Count = 4,
    key_width: Count = 64,
    value_width: Count = 64,
    kv_stride: Stride = 1,
    kernel: Kernel = 3,
    layer_scale: Ratio = 1e-5,
) -> SymTensor:
    """Applies mobile multi-query attention, with a shortcut (MobileNetV4, Qin et al. 2024, §4.2).

    All heads share one key and one value; with `kv_stride` above 1 depthwise convolutions compute these on a
    coarser map. `layer_scale` is the initial value of the branch's scale; 0 leaves it out.
    """
    y = x.norm()
    q = y.conv(heads * key_width, name="query").flatten(1, 2, name="pixels")
    q = q.unflatten(0, (heads, key_width), name="by_head").transpose("q").flatten(0, 1, name="queries")
    k = (depthwise(y, kernel, kv_stride, name="key_down") if kv_stride > 1 else y).conv(key_width, name="key")
    v = (depthwise(y, kernel, kv_stride, name="value_down") if kv_stride > 1 else y).conv(value_width, name="value")
    k, v = k.flatten(1, 2, name="keys"), v.flatten(1, 2, name="values").transpose("v")
    y = _attend(q, k, v).unflatten(0, (heads, -1), name="heads").transpose("joined").flatten(0, 1, name="joined_heads")
    y = y.spread_like(x).conv(x.channels, name="project")
    return residual(x, y.layer_scale(layer_scale) if layer_scale else y)
