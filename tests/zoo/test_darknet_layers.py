"""Darknet's layers one by one: what they count, by plain arithmetic, and what they compute, by their formulas in plain
loops or torch's functions, with weights in the order of a Darknet file."""

from __future__ import annotations

import pytest
import torch
from conftest import FACTS, ROOT
from helpers import assert_counts_agree, darknet_bytes
from torch.nn import functional as F

import scalesearch as ss
from scalesearch.errors import InputError
from scalesearch.weights.loading import load_weights
from scalesearch.zoo import darknet_keys

NET = "[net]\nwidth=16\nheight=16\nchannels=3\n"
END = "[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n"


def conv(filters, size=3, stride=1, act="leaky", norm=1, more=""):
    return (
        f"[convolutional]\nbatch_normalize={norm}\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\n"
        f"activation={act}\n{more}"
    )


def load(tmp_path, text, net=NET):
    (tmp_path / "net.cfg").write_text(net + text)
    return ss.load(tmp_path / "net.cfg")


def ready(tmp_path, arch):
    """The network with lively weights, read from a Darknet file whose values count up."""
    network = ss.build(arch)
    count = sum(t.numel() for key, t in network.state_dict().items() if not key.endswith("num_batches_tracked"))
    torch.manual_seed(0)
    values = torch.rand(count) * 0.4 + 0.05
    (tmp_path / "w.weights").write_bytes(darknet_bytes(values))
    assert load_weights(network, tmp_path / "w.weights") == "darknet"
    return network.eval(), iter(values.split(1))


# Params and MACs of the stranger's small networks, worked out by hand: of a convolution k²·cin·cout/groups weights,
# with a norm two a channel, else a bias; as many MACs at every output pixel.
A = 64 * 64
FIRST, LAST = 27 * 16 + 2 * 16, 16 * 10 + 10
COUNTED = {
    "act_elu": (FIRST + LAST, A * 432 + 160),
    "act_gelu": (FIRST + LAST, A * 432 + 160),
    "act_silu": (FIRST + LAST, A * 432 + 160),
    "relu6": (FIRST + LAST, A * 432 + 160),
    "dropout": (FIRST + LAST, A * 432 + 160),
    "u2028": (FIRST + LAST, A * 432 + 160),
    "rect": (FIRST + LAST, A // 2 * 432 + 160),
    "stride_xy": (FIRST + LAST, A // 2 * 432 + 160),
    "anchors_decimal": (FIRST + 16 * 18 + 18, A // 4 * (432 + 288)),
    "newcoords": (FIRST + 16 * 18 + 18, A // 4 * (432 + 288)),
    "gaussian": (FIRST + 16 * 30 + 30, A // 4 * (432 + 480)),
    "region": (FIRST + 16 * 30 + 30, A // 4 * (432 + 480)),
    "batchnorm_sec": (27 * 16 + 16 + 32 + LAST, A * 432 + 160),
    "conn_flat": (FIRST + 16 * 16 * 16 * 32 + 32 + 330, A // 4 * 432 + 16**3 * 32 + 320),
    "onlybackbone": (FIRST + 9 * 16 * 32 + 64, A * 432 + A // 4 * 9 * 16 * 32),
    "reorg": (FIRST + 9 * 64 * 8 + 16 + 90, A * 432 + A // 4 * 9 * 64 * 8 + 80),
    "sam": (FIRST + 272 + LAST, A * (432 + 256) + 160),
    "se": (FIRST + 68 + 80 + LAST, A * 432 + 64 + 64 + 160),
    "shortcut_narrow": (FIRST + 256 + 32 + 9 * 256 + 32 + 1024 + 128 + 650, A * (432 + 256 + 2304 + 1024) + 640),
    "shortcut_stride": (FIRST + 9 * 16 * 32 + 64 + 330, A * 432 + A // 4 * 9 * 16 * 32 + 320),
    "two_yolo_diff_anchors": (FIRST + 306 + 9 * 256 + 32 + 306, A // 4 * 720 + A // 16 * (2304 + 288)),
}
REFUSED = {
    "maxpool_depth": ":13: [maxpool] maxpool_depth",
    "share_index": ":26: [convolutional] share_index",
    "weights_type": ":21: [shortcut] weights_type",
}


@pytest.mark.parametrize("name", [*COUNTED, *REFUSED])
def test_strangers_networks_are_counted_exactly_or_refused_by_key_and_line(name, tmp_path):
    path = FACTS / "cfg" / f"{name}.cfg"
    if name in REFUSED:
        with pytest.raises(InputError) as caught:
            ss.load(path)
        assert f"{name}.cfg{REFUSED[name]}: changes the network and is not supported" in str(caught.value)
        return
    arch = ss.load(path)
    assert ss.cost(arch)[:2] == COUNTED[name]
    assert_counts_agree(arch)
    ready(tmp_path, arch)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (conv(16) + conv(8) + "[shortcut]\nfrom=-2\nactivation=linear\n" + END, 464 + 9 * 128 + 16 + 90),
        (conv(8) + conv(16, stride=2) + "[shortcut]\nfrom=-2\nactivation=leaky\n" + END, 232 + 9 * 128 + 32 + 170),
        (conv(8) + conv(8) + conv(8) + "[shortcut]\nfrom=-2,-3\nactivation=linear\n" + END, 232 + 2 * (576 + 16) + 90),
        (conv(8) + "[local_avgpool]\nsize=2\nstride=2\n" + END, 232 + 90),
        (conv(8) + "[maxpool]\nsize=3\nstride=2\npadding=1\n" + END, 232 + 90),
        (conv(8) + "[maxpool]\nsize=2\nstride=2\npadding=0\n" + END, 232 + 90),
        (conv(8) + "[reorg3d]\nstride=2\n" + conv(4) + END, 232 + 9 * 32 * 4 + 8 + 50),
        (conv(8, more="dilation=2\n") + END, 232 + 90),
        ("[crop]\ncrop_height=12\ncrop_width=10\n" + conv(8) + END, 232 + 90),
        (
            conv(8)
            + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n"
            + conv(8)
            + "[route]\nlayers=-1,-2,-3\ngroups=2\n"
            + conv(4)
            + END,
            232 + 9 * 32 + 16 + 9 * (4 + 2 + 4) * 4 + 8 + 50,
        ),
        (
            conv(8)
            + "[connected]\noutput=20\nbatch_normalize=1\nactivation=relu\n[connected]\noutput=10\nactivation=linear\n"
            "[softmax]\n",
            232 + 16 * 16 * 8 * 20 + 40 + 210,
        ),
        (conv(8) + "[avgpool]\n[softmax]\n", 232),
        (conv(8) + "[activation]\nactivation=tanh\n[empty]\n" + END, 232 + 90),
        (conv(8, more="wait_stream=1\nsome_key=3\n") + "[cost]\ntype=sse\n", 232),
    ],
)
def test_siblings_of_them_are_counted_too(text, params, tmp_path):
    arch = load(tmp_path, text)
    assert ss.cost(arch).params == params
    assert_counts_agree(arch)
    ready(tmp_path, arch)


def test_a_shortcut_adds_what_both_have(tmp_path):
    """Fewer channels, more channels, and every second pixel of a larger map, as pjreddie's shortcut_cpu does."""
    for first, then, stride in ((16, 8, 1), (8, 16, 1), (8, 16, 2), (16, 8, 2)):
        arch = load(tmp_path, conv(first) + conv(then, stride=stride) + "[shortcut]\nfrom=-2\nactivation=linear\n")
        network, _ = ready(tmp_path, arch)
        x = torch.randn(1, 3, 16, 16)
        with torch.no_grad():
            a = network.stages[0](x)
            b = network.stages[1](a)
            (out,) = (network(x),)
        expected = b.clone()
        common = min(first, then)
        for k in range(common):
            for j in range(b.shape[2]):
                for i in range(b.shape[3]):
                    expected[0, k, j, i] = b[0, k, j, i] + a[0, k, j * stride, i * stride]
        assert torch.allclose(out, expected, atol=1e-5), (first, then, stride)


def test_a_shortcut_between_maps_that_do_not_meet_is_refused_by_its_line(tmp_path):
    with pytest.raises(InputError, match=r"net.cfg:21: \[shortcut\]: cannot add a map of \(8, 8, 8\) to one of"):
        load(tmp_path, conv(8) + conv(8, stride=2) + "[upsample]\nstride=3\n[shortcut]\nfrom=-2\nactivation=linear\n")


def test_reorg_is_darknets_own(tmp_path):
    """Its loops, written out: `reorg_cpu` with forward=0 reads the map as one of C / s² channels."""
    network, _ = ready(tmp_path, load(tmp_path, conv(8) + "[reorg]\nstride=2\n"))
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        given, out = network.stages[0](x), network(x)
    c, h, w, s = 8, 16, 16, 2
    flat, expected = given.flatten(), torch.zeros(c * h * w)
    for k in range(c):
        for j in range(h):
            for i in range(w):
                inner, offset = k % (c // s**2), k // (c // s**2)
                i2, j2 = i * s + offset % s, j * s + offset // s
                expected[i + w * (j + h * k)] = flat[i2 + w * s * (j2 + h * s * inner)]
    assert torch.equal(out, expected.view(1, c * s * s, h // s, w // s))


def test_reorg3d_is_space_to_depth(tmp_path):
    network, _ = ready(tmp_path, load(tmp_path, conv(8) + "[reorg3d]\nstride=2\n"))
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        given, out = network.stages[0](x), network(x)
    expected = torch.cat([given[:, :, oy::2, ox::2] for oy in (0, 1) for ox in (0, 1)], 1)
    assert torch.equal(out, expected)


@pytest.mark.parametrize(
    ("size", "stride", "padding"),
    [(2, 2, 1), (2, 1, 1), (3, 2, 2), (3, 2, 1), (2, 2, 0), (3, 1, 0), (5, 1, 4), (5, 2, 2)],
)
@pytest.mark.parametrize("side", [16, 17])
def test_pools_pad_as_darknet_does(size, stride, padding, side, tmp_path):
    """`padding` in all, the smaller half first; what overhangs is dropped."""
    text = f"[maxpool]\nsize={size}\nstride={stride}\npadding={padding}\n"
    network, _ = ready(tmp_path, load(tmp_path, conv(4) + text, NET.replace("16", str(side))))
    x = torch.randn(1, 3, side, side)
    with torch.no_grad():
        given, out = network.stages[0](x), network(x)
    first, rest = padding // 2, padding - padding // 2
    expected = F.max_pool2d(F.pad(given, (first, rest, first, rest), value=float("-inf")), size, stride)
    assert torch.equal(out, expected)


def test_gates_scale_channels_and_pixels(tmp_path):
    network, _ = ready(
        tmp_path,
        load(
            tmp_path,
            conv(8)
            + "[avgpool]\n"
            + conv(8, 1, act="logistic", norm=0)
            + "[scale_channels]\nfrom=-3\nactivation=linear\n",
        ),
    )
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        given = network.stages[0](x)
        assert torch.allclose(network(x), given * network.stages[2](given.mean((2, 3), keepdim=True)), atol=1e-6)


def test_weights_of_connected_and_batchnorm_layers_stand_in_their_own_order(tmp_path):
    """Connected: biases, weights, then scales, means, variances; [batchnorm]: biases, scales, means, variances."""
    text = (
        conv(4, norm=0) + "[batchnorm]\n[connected]\noutput=5\nbatch_normalize=1\nactivation=relu\n"
        "[connected]\noutput=3\nactivation=linear\n[softmax]\n"
    )
    network, values = ready(tmp_path, load(tmp_path, text))

    def take(n):
        return torch.cat([next(values) for _ in range(n)])

    first, norm, full, head = network.stages[0][0], network.stages[1][0].norm, network.stages[2][0], network.head
    for tensor in (
        first.conv.bias,
        first.conv.weight,
        norm.bias,
        norm.weight,
        norm.running_mean,
        norm.running_var,
        full.norm.bias,
        full.conv.weight,
        full.norm.weight,
        full.norm.running_mean,
        full.norm.running_var,
        head.linear.bias,
        head.linear.weight,
    ):
        assert torch.equal(tensor.flatten(), take(tensor.numel()))
    assert next(values, None) is None


@pytest.mark.parametrize(("size", "stride", "pad"), [(3, 1, 1), (3, 2, 1), (3, 1, 0), (1, 1, 0), (5, 2, 0)])
def test_a_local_layer_has_weights_of_its_own_at_every_place(size, stride, pad, tmp_path):
    """As `forward_local_layer` has them: biases by channel, then by place the weights of every filter."""
    text = conv(2) + f"[local]\nfilters=3\nsize={size}\nstride={stride}\npad={pad}\nactivation=leaky\n"
    arch = load(tmp_path, text, NET.replace("width=16", "width=12"))
    assert_counts_agree(arch)
    network, values = ready(tmp_path, arch)
    h, w = ((side + 2 * pad - size) // stride + 1 for side in (16, 12))
    assert ss.cost(arch).params == 54 + 4 + h * w * 3 * (2 * size**2 + 1)

    def take(n):
        return torch.cat([next(values) for _ in range(n)])

    take(62)
    biases, weights = take(3 * h * w).view(3, h, w), take(h * w * 3 * 2 * size**2).view(h, w, 3, 2, size, size)
    assert next(values, None) is None
    x = torch.randn(1, 3, 16, 12)
    with torch.no_grad():
        given, out = network.stages[0](x), network(x)
    padded, expected = F.pad(given, (pad,) * 4)[0], torch.zeros(3, h, w)
    for row in range(h):
        for column in range(w):
            window = padded[:, row * stride : row * stride + size, column * stride : column * stride + size]
            expected[:, row, column] = (weights[row, column] * window).sum((1, 2, 3)) + biases[:, row, column]
    assert torch.allclose(out[0], F.leaky_relu(expected, 0.1), atol=1e-4)


def test_yolov1_reads_as_it_was_published(tmp_path):
    cells = "[detection]\nclasses=4\ncoords=4\nrescore=1\nside=3\nnum=2\nsoftmax=0\nsqrt=1\njitter=.2\n"
    body = conv(4, stride=2) + "[local]\nsize=3\nstride=1\npad=1\nfilters=6\nactivation=leaky\n[dropout]\n"
    body += "[connected]\noutput=126\nactivation=linear\n"
    arch = load(tmp_path, body + cells)
    assert arch.head.kind == "yolov1"
    assert arch.classes == 4
    assert arch.head.get("side") == 3
    assert ss.cost(arch).params == 27 * 4 + 8 + 64 * 6 * 37 + 64 * 6 * 126 + 126
    network, _ = ready(tmp_path, arch)
    assert network(torch.rand(2, 3, 16, 16)).shape == (2, 126)
    for text, message in (
        (cells.replace("side=3", "side=7"), "takes 686 values"),
        (cells.replace("coords=4", ""), "coords"),
        (cells.replace("sqrt=1", "sqrt=2"), "sqrt: takes 0 or 1"),
        (cells + conv(4), "stands only at the end"),
    ):
        with pytest.raises(InputError, match=message) as caught:
            load(tmp_path, body + text)
        assert "net.cfg:" in str(caught.value)
    with pytest.raises(InputError, match="pad: takes 0, or 1 with size=3"):
        load(tmp_path, conv(4) + "[local]\nsize=5\npad=1\nfilters=2\n")


def test_crop_takes_the_middle_and_centres_values(tmp_path):
    network, _ = ready(tmp_path, load(tmp_path, "[crop]\ncrop_height=12\ncrop_width=10\n" + conv(4)))
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(network.stages[0](x), x[:, :, 2:14, 3:13] * 2 - 1)


def test_detection_layers_say_how_their_boxes_are_read(tmp_path):
    yolo = "[yolo]\nmask=0,1\nanchors=10.5,13.25, 16,30\nclasses=1\nscale_x_y=2.0\nnew_coords=1\n"
    arch = load(tmp_path, conv(8) + conv(12, 1, act="logistic", norm=0) + yolo)
    assert arch.head.get("anchors") == ((10.5, 13.25), (16, 30))
    assert arch.head.get("new_coords")
    assert arch.head.get("scale_xy") == (2.0,)
    assert arch.head.get("act") == "sigmoid"
    own = load(tmp_path, conv(8) + conv(12, 3, act="linear", norm=0) + yolo)  # no 1×1: the layer stays one
    assert own.head.get("predicts") is False
    assert ss.cost(own).params == 232 + 9 * 8 * 12 + 12
    ready(tmp_path, own)
    region = load(
        tmp_path,
        conv(8) + conv(12, 1, act="linear", norm=0) + "[region]\nanchors=1.08,1.19, 0.42,4.41\n"
        "classes=1\nnum=2\nbias_match=1\nsoftmax=1\n",
    )
    assert region.head.get("boxes") == "region"
    assert region.head.get("anchors")[1] == (0.42, 4.41)


def test_a_network_reads_again_from_its_yaml(tmp_path):
    from scalesearch.space import arch_to_yaml

    text = (
        conv(8, more="stride_x=2\nstride_y=1\n") + conv(16, stride=2) + "[shortcut]\nfrom=-2\nactivation=mish\n"
        "[reorg]\nstride=2\n"
        + conv(18, 1, act="linear", norm=0)
        + "[yolo]\nmask=0,1,2\nanchors=10,13, 16,30, 33,23\nclasses=1\n"
    )
    arch = load(tmp_path, text, NET.replace("height=16", "height=8"))
    (tmp_path / "again.yaml").write_text(arch_to_yaml(arch))
    assert ss.load(tmp_path / "again.yaml") == arch
    assert arch.sides == (8, 16)


def test_the_documented_keys_are_those_of_the_code():
    assert darknet_keys.key_table() in (ROOT / "docs" / "darknet.md").read_text(encoding="utf-8")
