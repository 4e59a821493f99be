"""timm's architectures whose tensors have the names and shapes of a zoo network: equal outputs, or refused by name."""

from __future__ import annotations

import json

import pytest
import torch
from helpers import liven
from safetensors.torch import save_file

import scalesearch as ss
from scalesearch.errors import InputError
from scalesearch.weights.loading import load_weights
from scalesearch.weights.peers import libraries_with, peer_layer_names, peer_tensor_name
from scalesearch.weights.timm import ARCHITECTURES
from scalesearch.zoo import MODELS

# Other architectures than the one that our network is, with the same tensors: all there are in timm 1.0.31
# (`test_no_other_architecture_of_timm_has_the_tensors_of_a_zoo_network` looks for more).
OTHERS = {
    "efficientnet_blur_b0": "efficientnet_b0",
    "mobilenetv4_conv_aa_large": "mobilenet_v4_conv_large",
    "mobilenetv4_conv_aa_medium": "mobilenet_v4_conv_medium",
    "mobilenetv4_conv_blur_medium": "mobilenet_v4_conv_medium",
    "resnetaa50": "resnet50",
    "resnetblur18": "resnet18",
    "resnetblur50": "resnet50",
    **{f"tf_efficientnet_b{i}": f"efficientnet_b{i}" for i in range(8)},
    **{f"tf_efficientnetv2_{size}": f"efficientnet_v2_{size}" for size in "sml"},
    "tf_mobilenetv3_large_075": "mobilenet_v3_large_x0_75",
    "tf_mobilenetv3_large_100": "mobilenet_v3_large",
    "tf_mobilenetv3_small_075": "mobilenet_v3_small_x0_75",
    "tf_mobilenetv3_small_100": "mobilenet_v3_small",
}
OURS = {ARCHITECTURES.get(name, name): name for name in MODELS}
KIN = (
    "vgg",
    "resnet",
    "resnext",
    "regnet",
    "densenet",
    "efficientnet",
    "mobilenet",
    "mnasnet",
    "convnext_",
    "inception",
)


def laid(folder, architecture, config=None):
    """timm's network with lively weights, and its file with the `config.json` that timm lays beside."""
    import timm

    torch.manual_seed(0)
    peer = liven(timm.create_model(architecture, pretrained=False)).eval()
    save_file({key: value.contiguous() for key, value in peer.state_dict().items()}, folder / "model.safetensors")
    message = {"architecture": architecture, "num_classes": 1000, "pretrained_cfg": {"tag": "x"}}
    (folder / "config.json").write_text(json.dumps(message if config is None else config))
    return peer


def difference(peer, network, side):
    x = torch.randn(2, 3, side, side)
    with torch.no_grad():
        theirs = peer(x)
        assert theirs.std() > 1e-6
        return float((network.eval()(x) - theirs).abs().max() / theirs.abs().max())


@pytest.mark.slow
@pytest.mark.parametrize("architecture", OTHERS)
def test_an_architecture_with_a_networks_tensors_has_its_outputs_or_is_refused(
    architecture, tmp_path, torchvision_models
):
    peer = laid(tmp_path, architecture)
    network = ss.build(ss.load(OTHERS[architecture], resolution=75))  # odd maps, where paddings differ
    if not architecture.startswith("tf_"):
        with pytest.raises(InputError, match=f"is of timm's {architecture}, as the config.json beside it says"):
            load_weights(network, tmp_path / "model.safetensors")
        return
    assert load_weights(network, tmp_path / "model.safetensors") == "timm"
    assert (network.arch.padding, network.arch.norm_eps) == ("same", 1e-3)
    assert difference(peer, network, 75) < 1e-4


@pytest.mark.slow
def test_no_other_architecture_of_timm_has_the_tensors_of_a_zoo_network(torchvision_models):
    import timm

    def signature(named):
        return frozenset(
            (name, tuple(n for n in shape if n > 1))
            for name, shape in named
            if not name.endswith("num_batches_tracked")
        )

    def on_meta(make):
        with torch.device("meta"):
            return make().state_dict()

    ours = {}
    for name in MODELS:
        arch = ss.load(name)
        if "timm" in libraries_with(arch):
            layers, state = peer_layer_names(arch, "timm"), on_meta(lambda: ss.build(arch))  # noqa: B023  # called at once
            ours[signature((peer_tensor_name(key, layers), tensor.shape) for key, tensor in state.items())] = name
    found = {}
    for architecture in timm.list_models():
        if any(word in architecture for word in KIN):
            state = on_meta(lambda: timm.create_model(architecture, pretrained=False))  # noqa: B023
            name = ours.get(signature((key, tensor.shape) for key, tensor in state.items()))
            if name is not None and OURS.get(architecture) != name:
                found[architecture] = name
    assert found == OTHERS


def test_what_is_taken_from_tensorflow_stays_through_our_own_file(tmp_path, torchvision_models):
    from scalesearch.exporting import to_python, write
    from scalesearch.weights.peers import peer_weights

    peer = laid(tmp_path, "tf_mobilenetv3_small_075")
    network = ss.build(ss.load("mobilenet_v3_small_x0_75", resolution=64)).eval()
    load_weights(network, tmp_path / "model.safetensors")
    write(network, "safetensors", tmp_path / "own.safetensors")
    again = ss.build(ss.load("mobilenet_v3_small_x0_75", resolution=64))
    assert load_weights(again, tmp_path / "own.safetensors") == "timm"
    assert again.arch.padding == "same"
    assert difference(peer, again, 64) < 1e-4
    namespace = {}
    exec(to_python(network.arch), namespace)
    alone = namespace["build"]()
    alone.load_state_dict(network.state_dict())
    assert difference(peer, alone, 64) < 1e-4
    with pytest.raises(InputError, match="timm's mobilenet_v3_small_x0_75 has padding 'symmetric', and these weights"):
        peer_weights(network.arch, network.state_dict(), "timm")


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ({"model_args": {"act_layer": "silu"}}, "act_layer 'silu'"),
        ({"global_pool": "catavgmax"}, "global_pool 'catavg"),
        ({"model_args": {"output_stride": 16, "num_classes": 10}}, "output_stride 16"),
    ],
)
def test_a_config_that_changes_the_network_is_refused_by_its_key(message, what, tmp_path, torchvision_models):
    laid(tmp_path, "mobilenetv3_small_050", config={"architecture": "mobilenetv3_small_050", **message})
    network = ss.build(ss.load("mobilenet_v3_small_x0_5", resolution=64))
    with pytest.raises(InputError, match=f"is of timm's mobilenetv3_small_050 with {what}"):
        load_weights(network, tmp_path / "model.safetensors")
    neutral = {"architecture": "mobilenetv3_small_050", "global_pool": "avg", "model_args": {"drop_rate": 0.3}}
    (tmp_path / "config.json").write_text(json.dumps(neutral))
    assert load_weights(network, tmp_path / "model.safetensors") == "timm"


def test_a_config_of_something_else_is_no_obstacle(tmp_path, torchvision_models):
    peer = laid(tmp_path, "mobilenetv3_small_050", config={"lr": 0.1})
    network = ss.build(ss.load("mobilenet_v3_small_x0_5", resolution=64))
    assert load_weights(network, tmp_path / "model.safetensors") == "timm"
    assert difference(peer, network, 64) < 1e-4
