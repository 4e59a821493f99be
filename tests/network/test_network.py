"""The built module is an ordinary one: named, compiled, exported, copied, saved; and the standalone file equals it."""

from __future__ import annotations

import copy

import pytest
import torch
from conftest import MBCONV
from helpers import liven, standalone
from safetensors.torch import load_file
from torch import nn

from scalesearch import zoo
from scalesearch.arch.expansion import expand
from scalesearch.exporting.python import to_python
from scalesearch.files import save_tensors as save_weights
from scalesearch.network.modules import build, drop_path_rates
from scalesearch.space.schema import load_space

SMALL = {"vgg11_bn": 32, "resnet18": 40, "resnet50": 40, "mobilenet_v1": 40, "mobilenet_v2": 40, "efficientnet_b0": 40}


@pytest.fixture(
    params=[pytest.param(name, marks=[pytest.mark.slow] if name != "mobilenet_v2" else []) for name in SMALL]
)
def model(request):
    torch.manual_seed(0)
    return liven(build(zoo.model(request.param).with_(resolution=SMALL[request.param], classes=10))).eval()


def image(model, batch=2):
    return torch.randn(
        batch, 3, model.arch.resolution, model.arch.resolution, generator=torch.Generator().manual_seed(1)
    )


def test_parameters_are_named_by_where_they_stand():
    model = build(zoo.model("efficientnet_b0"))
    assert model.stages[2][1].expand.conv.weight is dict(model.named_parameters())["stages.2.1.expand.conv.weight"]
    assert isinstance(model.stem, nn.Sequential)
    assert model.head.linear.out_features == 1000


@pytest.mark.slow
def test_compiles_exports_copies_and_saves(model, tmp_path):
    x = image(model)
    expected = model(x)
    assert expected.std() > 1e-3  # the output depends on the input, not on the bias alone
    torch.testing.assert_close(torch.compile(model, backend="aot_eager")(x), expected)
    torch.testing.assert_close(torch.export.export(model, (x,)).module()(x), expected)
    torch.testing.assert_close(copy.deepcopy(model)(x), expected)
    torch.testing.assert_close(
        copy.deepcopy(model).to(memory_format=torch.channels_last)(x), expected, rtol=1e-3, atol=1e-4
    )
    torch.testing.assert_close(
        copy.deepcopy(model).to(torch.float64)(x.double()).float(), expected, rtol=1e-3, atol=1e-4
    )
    save_weights(model.state_dict(), tmp_path / "w.safetensors")
    torch.save(model.state_dict(), tmp_path / "w.pt")
    for state in (load_file(tmp_path / "w.safetensors"), torch.load(tmp_path / "w.pt", weights_only=True)):
        fresh = build(model.arch).eval()
        fresh.load_state_dict(state)
        torch.testing.assert_close(fresh(x), expected, rtol=0, atol=0)


def test_a_stage_can_be_frozen_hooked_and_replaced(model):
    seen = []
    model.stages[1].register_forward_hook(lambda module, args, out: seen.append(tuple(out.shape)))
    model.stages[0].requires_grad_(False)
    model(image(model)).sum().backward()
    assert seen
    assert all(p.grad is None for p in model.stages[0].parameters())
    assert any(p.grad is not None for p in model.stages[1].parameters())
    model.stages[1] = nn.Identity()
    assert len(list(model.stages)) == len(model.arch.stages)


def test_drop_path_grows_linearly_and_acts_in_training_alone():
    arch = zoo.model("efficientnet_b0").with_(resolution=32)
    flat = [rate for stage in drop_path_rates(expand(arch)) for rate in stage]
    assert flat == [round(0.2 * i / 16, 4) for i in range(16)]
    model = liven(build(arch))
    x = image(model)
    assert torch.equal(model.eval()(x), model(x))
    torch.manual_seed(0)
    assert not torch.equal(model.train()(x), model(x))


@pytest.mark.parametrize(
    "name",
    [
        "mobilenet_v2",
        pytest.param("resnet18", marks=pytest.mark.slow),
        pytest.param("efficientnet_b0", marks=pytest.mark.slow),
    ],
)
def test_initialisation_is_hes_by_fan_out(name):
    torch.manual_seed(0)
    for module in build(zoo.model(name)).modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            fan_out = module.out_channels * module.kernel_size[0] ** 2 / module.groups
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.06)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_standalone_file_equals_the_network(model, padding, tmp_path):
    arch = model.arch.with_(padding=padding, drop_path=0.3)
    network = liven(build(arch))
    x = image(network, 4)
    torch.save(network.state_dict(), tmp_path / "w.pt")
    torch.save(x, tmp_path / "x.pt")
    scored, trained, params = standalone(to_python(arch), tmp_path)
    torch.manual_seed(5)
    assert torch.equal(network.eval()(x), scored)
    assert torch.equal(network.train()(x), trained)
    assert params == sum(p.numel() for p in network.parameters())


@pytest.mark.slow
def test_standalone_files_of_random_architectures_equal_the_networks(tmp_path):
    space = load_space(MBCONV).adapted(resolution=16, classes=10, channels=3)
    for seed in range(4):
        network = liven(build(space.sample(seed)[1]))
        x = image(network)
        torch.save(network.state_dict(), tmp_path / "w.pt")
        torch.save(x, tmp_path / "x.pt")
        assert torch.equal(network.eval()(x), standalone(to_python(network.arch), tmp_path)[0])


def test_standalone_file_is_short():
    assert len(to_python(zoo.model("efficientnet_b0")).splitlines()) < 250
