"""Files as training scripts write them: what is wrapped around tensors, what lies beside them, what they say of
themselves."""

from __future__ import annotations

import argparse
import json
import pathlib

import pytest
import torch
from helpers import invoke, liven, refused
from PIL import Image
from safetensors.torch import load_file, save_file

import scalesearch as ss
from scalesearch.errors import InputError
from scalesearch.exporting import write
from scalesearch.space import arch_from_dict
from scalesearch.weights.loading import load_weights

torch.manual_seed(0)
TRAINED = dict(liven(ss.build(ss.load("squeezenet1_1", classes=10))).state_dict())
ZERO = {key: torch.zeros_like(value) for key, value in TRAINED.items()}


def under(prefix, state=TRAINED):
    return {prefix + key: value for key, value in state.items()}


class Settings:
    """What a training script's own class would be."""

    def __init__(self):
        self.lr = 0.1


WRAPPED = {
    "best.pth.tar": {"state_dict": TRAINED, "epoch": 9, "best_acc1": torch.tensor(71.0)},
    "a.PTH": TRAINED,
    "no_suffix": TRAINED,
    "epoch.10": {"net": TRAINED},
    "net.pth": {"net": TRAINED, "acc": 1.0},
    "state.pth": {"model_state": TRAINED},
    "params.pth": {"params": TRAINED},
    "own_word.pth": {"my_network": TRAINED, "optimizer": {"state": {0: {"exp_avg": torch.ones(1)}}}},
    "lightning.ckpt": {"state_dict": under("model."), "callbacks": {"x": {"best": torch.ones(1)}}},
    "compiled.pth": under("_orig_mod."),
    "both.pth": {"model": under("module._orig_mod.")},
    "three.pth": under("model.module._orig_mod."),
    "deep.pth": {"checkpoint": {"model": {"state_dict": TRAINED}}},
    "thop.pth": TRAINED | {"total_ops": torch.zeros(1), "features.total_params": torch.zeros(1)},
    "counted.pth": TRAINED | {"stem.0.norm.num_batches_tracked": torch.tensor(3)},
    "args.pth": {"model": TRAINED, "args": argparse.Namespace(lr=0.1, out=pathlib.Path("x")), "settings": Settings()},
    "ema_alone.pth": {"state_dict_ema": TRAINED},
    "ema.pth": {"state_dict": ZERO, "state_dict_ema": TRAINED},
    "torchvision.pth": {"model": ZERO, "model_ema": under("module.") | {"n_averaged": torch.tensor(1)}},
    "side_by_side.ckpt": {"state_dict": under("model.", ZERO) | under("model_ema.")},
    "swa.pth": {"model": ZERO, "ema": {"decay": 0.9, "shadow": TRAINED}},
}


@pytest.mark.parametrize("name", WRAPPED)
def test_what_training_scripts_write_loads(name, tmp_path):
    torch.save(WRAPPED[name], tmp_path / name)
    network = ss.build(ss.load("squeezenet1_1", classes=10))
    assert load_weights(network, tmp_path / name) == "scalesearch"
    assert all(torch.equal(value, TRAINED[key]) for key, value in network.state_dict().items())
    assert bool(network.loaded_part) == (name in ("ema.pth", "torchvision.pth", "side_by_side.ckpt", "swa.pth"))


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "model.module."])
def test_prefixes_go_in_safetensors_and_in_dicts_too(prefix, tmp_path):
    save_file(under(prefix), tmp_path / "w.safetensors")
    for source in (tmp_path / "w.safetensors", under(prefix)):
        network = ss.build(ss.load("squeezenet1_1", classes=10))
        load_weights(network, source)
        assert torch.equal(network.head.conv.weight, TRAINED["head.conv.weight"])


def test_the_average_is_taken_and_said_or_the_others_by_raw(tmp_path):
    torch.save({"state_dict": ZERO, "state_dict_ema": TRAINED}, tmp_path / "both.pth")
    network = ss.build(ss.load("squeezenet1_1", classes=10))
    load_weights(network, tmp_path / "both.pth", raw=True)
    assert network.head.conv.weight.abs().max() == 0
    assert network.loaded_part == "state_dict and not state_dict_ema"
    Image.new("RGB", (64, 64)).save(tmp_path / "i.png")
    base = (
        "predict",
        "squeezenet1_1",
        str(tmp_path / "i.png"),
        "--weights",
        str(tmp_path / "both.pth"),
        "--classes",
        "10",
        "--resolution",
        "64",
        "--json",
    )
    averaged, raw = invoke(*base), invoke(*base, "--raw")
    assert "both.pth: took state_dict_ema and not state_dict, which --raw takes" in averaged.stderr
    assert {round(best["probability"], 4) for best in json.loads(raw.stdout)[0]["top"]} == {0.1}
    assert json.loads(averaged.stdout) != json.loads(raw.stdout)
    torch.save({"state_dict_ema": TRAINED}, tmp_path / "one.pth")
    with pytest.raises(InputError, match="holds averaged weights alone, state_dict_ema"):
        load_weights(network, tmp_path / "one.pth", raw=True)


def test_several_networks_in_one_file_are_refused_by_their_names(tmp_path):
    torch.save({"teacher": TRAINED, "student": ZERO}, tmp_path / "two.pth")
    with pytest.raises(InputError, match="holds several networks: teacher, student; save one alone"):
        load_weights(ss.build(ss.load("squeezenet1_1", classes=10)), tmp_path / "two.pth")


def test_a_whole_model_is_refused_with_the_line_that_takes_its_tensors_out(tmp_path):
    network = ss.build(ss.load("squeezenet1_1", classes=10))
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1)), tmp_path / "model.pt")
    torch.save({"model": torch.nn.Sequential(torch.nn.Conv2d(3, 8, 1)), "epoch": 3}, tmp_path / "inside.pt")
    for name in ("model.pt", "inside.pt"):
        with pytest.raises(InputError, match=rf"{name}: holds a whole model.*python -c .*state_dict\(\)"):
            load_weights(network, tmp_path / name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "git lfs pull fetches it"),
        (b"<!DOCTYPE html><html>404</html>", "is a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(40), "is HDF5"),
    ],
)
def test_what_lies_there_in_place_of_weights_is_called_by_its_name(content, message, tmp_path):
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_weights(ss.build(ss.load("squeezenet1_1", classes=10)), tmp_path / "w.pth")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("stem.0.conv.weight", float("nan"), r"stem.0.conv.weight has NaN or infinite values, 1 of 1,728"),
        ("head.conv.bias", float("-inf"), r"head.conv.bias has NaN or infinite values, 1 of 10"),
    ],
)
def test_tensors_with_no_numbers_in_them_are_named_and_refused(key, value, message, tmp_path):
    state = {name: tensor.clone() for name, tensor in TRAINED.items()}
    state[key].flatten()[0] = value
    network = ss.build(ss.load("squeezenet1_1", classes=10))
    for source in (state, tmp_path / "w.pth"):
        torch.save(state, tmp_path / "w.pth")
        with pytest.raises(InputError, match=message):
            load_weights(network, source)


def test_a_variance_below_zero_is_no_variance():
    network = ss.build(ss.load("resnet20_cifar"))
    state = dict(network.state_dict())
    state["stem.0.norm.running_var"] = state["stem.0.norm.running_var"] - 2
    with pytest.raises(InputError, match=r"stem.0.norm.running_var has variances below 0"):
        load_weights(network, state)


def test_torchvisions_own_file_of_densenet_has_names_of_its_own(torchvision_models):
    """`denselayer1.norm.1.weight`, which torchvision renames as it loads them."""
    import re

    torch.manual_seed(0)
    peer = liven(torchvision_models.densenet121(weights=None)).eval()
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2", key): value
        for key, value in peer.state_dict().items()
        if "num_batches" not in key
    }
    network = ss.build(ss.load("densenet121")).eval()
    assert load_weights(network, old) == "torchvision"
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert (network(x) - peer(x)).abs().max() <= 1e-4 * peer(x).abs().max()


@pytest.mark.parametrize(
    "change",
    [
        lambda arch: arch["stages"][0]["mbconv"].update(act="relu"),
        lambda arch: arch["stages"][0].update(stride=1),
        lambda arch: arch["stem"][0]["conv"].update(act="hswish"),
    ],
)
def test_our_own_file_says_of_which_network_it_is(change, tmp_path):
    """All these have the same tensors and other outputs."""
    message = {
        "name": "a",
        "resolution": 32,
        "classes": 4,
        "stem": [{"conv": {"width": 8}}],
        "stages": [{"stride": 2, "mbconv": {"width": 16}}],
        "head": {"classifier": {}},
    }
    network = ss.build(arch_from_dict(message))
    write(network, "safetensors", tmp_path / "w.safetensors")
    load_weights(ss.build(arch_from_dict({**message, "name": "b", "resolution": 64})), tmp_path / "w.safetensors")
    change(message)
    other = ss.build(arch_from_dict({**message, "name": "other"}))
    assert {k: v.shape for k, v in other.state_dict().items()} == {k: v.shape for k, v in network.state_dict().items()}
    with pytest.raises(InputError, match=r"is of another network, a: st(age|em)s?\[0\].* is .* there and .* in other"):
        load_weights(other, tmp_path / "w.safetensors")
    load_weights(other, tmp_path / "w.safetensors", replace_head=True)  # for who trains it on


@pytest.mark.parametrize("eps", ["abc", "-1", "nan", "inf"])
def test_an_eps_that_makes_no_sense_is_a_located_error(eps, tmp_path):
    save_file(TRAINED, tmp_path / "w.safetensors", {"norm_eps": eps})
    Image.new("RGB", (64, 64)).save(tmp_path / "i.png")
    assert "w.safetensors: has a description of its network that cannot be read" in refused(
        "predict",
        "squeezenet1_1",
        str(tmp_path / "i.png"),
        "--weights",
        str(tmp_path / "w.safetensors"),
        "--classes",
        "10",
    )


def test_suffix_and_form_agree_in_what_export_writes(tmp_path):
    out = tmp_path / "x.pth"
    assert invoke("export", "mobilenet_v3_small", "--to", "torchvision", "-o", str(out)).exit_code == 0
    assert "features.0.0.weight" in torch.load(out)
    assert invoke("export", "mobilenet_v3_small", "--to", "timm", "-o", str(tmp_path / "x.safetensors")).exit_code == 0
    assert "conv_stem.weight" in load_file(tmp_path / "x.safetensors")
    for form, name in (("safetensors", "x.pth"), ("onnx", "x.safetensors"), ("py", "x.onnx"), ("pt2", "x.pt")):
        message = refused("export", "squeezenet1_1", "--to", form, "-o", str(tmp_path / f"no_{name}"))
        assert f"--to {form} takes a file that ends in" in message
        assert not (tmp_path / f"no_{name}").exists()
    assert "is not in the range" in refused(
        "export", "squeezenet1_1", "--to", "safetensors", "-o", str(out), "--seed", "9" * 20
    )


@pytest.mark.parametrize("prefix", ["", "model."])
def test_weights_with_fused_norms_are_called_so(prefix, tmp_path):
    from scalesearch.network import fused_copy

    model = ss.build(ss.load("resnet18", resolution=64, classes=3))
    fused = {f"{prefix}{name}": tensor for name, tensor in fused_copy(model.eval()).state_dict().items()}
    torch.save(fused, tmp_path / "fused.pth")
    message = refused("export", "resnet18", "--classes", "3", "--weights", str(tmp_path / "fused.pth"), "--to", "py")
    assert "has its batch norms fused into its convolutions (it has " in message
