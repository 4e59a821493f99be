"""Weights in, against the real libraries: their random weights in our networks, equal outputs; and every way a file can
be wrong."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch
from helpers import darknet_bytes, liven
from peers import on_meta, timm_model, torchvision_model, ultralytics_model
from safetensors.torch import save_file

import scalesearch as ss
from scalesearch import zoo
from scalesearch.errors import InputError
from scalesearch.weights.darknet import read_darknet
from scalesearch.weights.loading import load_weights
from scalesearch.weights.metadata import preparation_of
from scalesearch.weights.peers import libraries_with, peer_layer_names, peer_tensor_name, peer_weights, with_library_eps
from scalesearch.zoo.darknet import blocks_in_file_order

ONE_OF_EACH = {  # member: resolution; at least one per family and source
    "vgg11_bn": 224,
    "resnet18": 96,
    "resnext50_32x4d": 64,
    "inception_v1": 96,
    "inception_v1_aux": 96,
    "inception_v3": 128,
    "inception_v4": 128,
    "inception_resnet_v2": 128,
    "densenet121": 64,
    "mobilenet_v1_x0_5": 96,
    "mobilenet_v2_x0_35": 96,
    "mobilenet_v3_small": 96,
    "mobilenet_v3_large_x0_5": 96,
    "mobilenet_v4_conv_small": 96,
    "mobilenet_v4_hybrid_medium": 96,
    "efficientnet_b0": 96,
    "efficientnet_b5": 64,
    "efficientnet_v2_s": 64,
    "mnasnet0_5": 96,
    "regnet_y_400mf": 96,
    "regnet_y_800mf_pycls": 64,
    "shufflenet_v2_x0_5": 96,
    "squeezenet1_1": 96,
    "convnext_tiny": 64,
    "yolov8n": 96,
    "yolov8n_cls": 96,
}


def makers(name, torchvision_models):
    found = {"torchvision": torchvision_model(torchvision_models, name), "timm": timm_model(name)}
    if name.startswith("yolov8"):
        pytest.importorskip("ultralytics")
        found["ultralytics"] = ultralytics_model(name)
    return {library: make for library, make in found.items() if make is not None}


def outputs(library, name, network, peer, x):
    """Comparable outputs of both: Ultralytics' detector gives maps of boxes and scores, its classifier
    probabilities."""
    ours, theirs = network(x), peer(x)
    if library == "ultralytics" and not name.endswith("_cls"):
        return torch.cat([ours[2], ours[1]], 1), torch.cat([theirs[1]["boxes"], theirs[1]["scores"]], 1)
    if library == "ultralytics":
        return ours.softmax(1), theirs[0]
    return ours, theirs


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_peers_weights_give_the_peers_outputs(name, torchvision_models):
    makers_ = makers(name, torchvision_models)
    assert makers_
    for library, make in makers_.items():
        torch.manual_seed(0)
        peer = liven(make()).eval()
        network = ss.build(ss.load(name)).eval()
        load_weights(network, peer.state_dict())
        side = 224 if name.startswith("vgg") else ONE_OF_EACH[name]  # timm's VGG slides its head over larger maps
        with torch.no_grad():
            ours, theirs = outputs(library, name, network, peer, torch.randn(2, 3, side, side))
        assert theirs.std() > 1e-6
        assert (ours - theirs).abs().max() <= 1e-4 * theirs.abs().max(), library


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.MODELS)
def test_names_params_and_macs_are_the_peers_for_every_network(name, torchvision_models):
    """Every tensor has its counterpart of as many elements, and conv and linear MACs are equal at native resolution."""
    from torch.utils.flop_counter import FlopCounterMode

    arch = ss.load(name)
    with torch.device("meta"):
        own = ss.build(arch).state_dict()
    found = makers(name, torchvision_models)
    if not found:
        pytest.skip("no peer has it; held against its paper in test_zoo")
    for library, make in found.items():
        peer = make() if library == "ultralytics" or name.startswith("regnet") else on_meta(make)
        theirs = {key: tensor.numel() for key, tensor in peer.state_dict().items()}
        layers = peer_layer_names(arch, library)
        assert {peer_tensor_name(key, layers): tensor.numel() for key, tensor in own.items()} == theirs, library
        device = "cpu" if library == "ultralytics" else "meta"  # its decoding needs numbers
        counted = ss.cost(arch.with_(resolution=160) if device == "cpu" else arch)
        side = 160 if device == "cpu" else arch.resolution
        assert counted.params == sum(p.numel() for p in peer.parameters()), library
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            peer.to(device).eval()(torch.empty(1, 3, side, side, device=device))
        assert counter.get_total_flops() == 2 * counted.macs, library


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2", "efficientnet_b0", "inception_v1"])
def test_gradients_of_a_training_step_are_the_peers(name, torchvision_models):
    torch.manual_seed(0)
    peer, network = liven(torchvision_model(torchvision_models, name)()), ss.build(ss.load(name).with_(drop_path=0.0))
    load_weights(network, peer.state_dict())
    for model in (peer, network):
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
            if type(module).__name__ == "StochasticDepth":
                module.p = 0.0
    x, labels = torch.randn(4, 3, 96, 96), torch.tensor([0, 1, 2, 3])
    for model in (peer, network):
        torch.nn.functional.cross_entropy(model(x), labels).backward()
    layers, theirs = peer_layer_names(network.arch, "torchvision"), dict(peer.named_parameters())
    for key, parameter in network.named_parameters():
        expected = theirs[peer_tensor_name(key, layers)].grad.reshape(parameter.shape)
        assert (parameter.grad - expected).abs().max() <= 1e-4 * expected.abs().max() + 1e-7, key


@pytest.mark.parametrize(
    "name", ["resnet18", "vgg11", "mobilenet_v3_small", "convnext_tiny", "mobilenet_v4_conv_small"]
)
def test_weights_go_out_by_a_peers_names_and_come_back(name, torchvision_models):
    arch = ss.load(name)
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in ss.build(arch).state_dict().items()}
    weights = {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}
    for library, make in makers(name, torchvision_models).items():
        out = peer_weights(with_library_eps(arch, library), weights, library)
        assert {k: v.shape for k, v in out.items()} == {k: v.shape for k, v in on_meta(make).state_dict().items()}


def test_a_library_without_the_network_is_refused():
    with pytest.raises(InputError, match=r"timm has no squeezenet1_1; libraries that have it: torchvision"):
        peer_weights(ss.load("squeezenet1_1"), {}, "timm")


@pytest.fixture
def network():
    torch.manual_seed(0)
    return liven(ss.build(ss.load("squeezenet1_1", classes=10)))


def changed(network) -> bool:
    torch.manual_seed(0)
    fresh = liven(ss.build(network.arch)).state_dict()
    return not all(torch.equal(value, fresh[key]) for key, value in network.state_dict().items())


def test_missing_extra_and_misshapen_tensors_are_named_and_nothing_is_loaded(network):
    state = {key: torch.zeros_like(value) for key, value in network.state_dict().items()}
    first = "stages.0.0.squeeze.weight"
    for wrong, message in (
        ({key: value for key, value in state.items() if key != first}, f"misses {first}"),
        ({**state, "more": torch.zeros(1)}, "has more, which squeezenet1_1 has no place for"),
        ({**state, first: torch.zeros(3, 3)}, f"{first} has shape 3×3, {first} needs 16×64×1×1"),
        ({"a": torch.zeros(1)}, "is not of squeezenet1_1: it has names such as a"),
    ):
        with pytest.raises(InputError, match=message):
            load_weights(network, wrong)
        assert not changed(network)
    theirs = peer_weights(network.arch, state, "torchvision")
    with pytest.raises(InputError, match=r"misses features.3.squeeze.weight \(for stages.0.0.squeeze.weight\)"):
        load_weights(network, {key: value for key, value in theirs.items() if key != "features.3.squeeze.weight"})
    assert not changed(network)


def test_another_number_of_classes_replaces_the_head_only_when_asked(network):
    other = ss.build(ss.load("squeezenet1_1", classes=7)).state_dict()
    with pytest.raises(InputError, match=r"head.conv.weight has 7 classes, head.conv.weight has 10.*\(and 1 more\)"):
        load_weights(network, other)
    assert not changed(network)
    before = network.head.conv.weight.clone()
    assert load_weights(network, other, replace_head=True) == "scalesearch"
    assert torch.equal(network.head.conv.weight, before)
    assert torch.equal(network.stem[0].conv.weight, other["stem.0.conv.weight"])


def test_files_of_every_kind_load(network, tmp_path):
    state = {key: torch.randn_like(value) for key, value in network.state_dict().items()}
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "a.pth")
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}, "epoch": 3}, tmp_path / "b.pth")
    for file in ("a.safetensors", "a.pth", "b.pth"):
        fresh = ss.build(network.arch)
        load_weights(fresh, tmp_path / file)
        assert all(torch.equal(value, state[key]) for key, value in fresh.state_dict().items())


class Runs:
    def __reduce__(self):
        return print, ("this must not run",)


def test_damaged_and_dangerous_files_are_refused(network, tmp_path, capfd):
    (tmp_path / "code.pth").write_bytes(pickle.dumps({"w": Runs()}))
    torch.save({"w": Runs()}, tmp_path / "code2.pth")
    torch.save(network.state_dict(), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-3000])
    save_file(network.state_dict(), tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-3000])
    (tmp_path / "noise.pth").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "noise.safetensors").write_bytes(bytes(range(256)) * 10)
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "image.png").write_bytes(b"x")
    torch.save([1, 2], tmp_path / "list.pth")
    for file in (
        "code.pth",
        "code2.pth",
        "cut.pth",
        "cut.safetensors",
        "noise.pth",
        "noise.safetensors",
        "empty.pth",
        "image.png",
        "list.pth",
        "none.pth",
    ):
        with pytest.raises(InputError) as caught:
            load_weights(network, tmp_path / file)
        assert file in str(caught.value), caught.value
        assert "\n" not in str(caught.value), caught.value
        assert not changed(network)
    assert "must not run" not in "".join(capfd.readouterr())


def test_a_checkpoint_that_unpacks_to_more_than_there_is_room_for_is_refused(network, tmp_path, monkeypatch):
    torch.save({"w": torch.zeros(1 << 20)}, tmp_path / "a.pth")
    with (
        zipfile.ZipFile(tmp_path / "a.pth") as plain,
        zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed,
    ):
        for member in plain.infolist():
            packed.writestr(member.filename, plain.read(member))
    assert (tmp_path / "b.pth").stat().st_size < 10_000
    monkeypatch.setattr("scalesearch.machine.free_memory", lambda: 1 << 22)
    with pytest.raises(InputError, match=r"b\.pth: would take 4,\d+,\d+ bytes of memory unpacked, and 4,1"):
        load_weights(network, tmp_path / "b.pth")


def test_words_that_nest_without_end_are_refused(network, tmp_path):
    file = tmp_path / "a.safetensors"
    save_file(network.state_dict(), file, {"arch": "[" * 100_000})
    with pytest.raises(
        InputError, match=r"a\.safetensors: has a description of its network that cannot be read \(nests too deep"
    ):
        load_weights(network, file)
    save_file(network.state_dict(), file, {"preparation": "[" * 100_000})
    with pytest.raises(
        InputError, match=r"a\.safetensors: has a description of its images that cannot be read \(nests too deep"
    ):
        preparation_of(network.arch, "ours", file)


def test_darknet_weights_load_in_the_files_order(tmp_path):
    """Independent of our names: values counted up in the order that Darknet writes them."""
    cfg = tmp_path / "small.cfg"
    cfg.write_text("""[net]
width=32
height=32
[convolutional]
batch_normalize=1
filters=4
size=3
pad=1
activation=leaky
[convolutional]
filters=18
size=1
activation=linear
[yolo]
mask=0,1,2
anchors=1,1, 2,2, 3,3
classes=1
[route]
layers=-3
[convolutional]
batch_normalize=1
filters=2
size=1
activation=leaky
[convolutional]
filters=18
size=1
activation=linear
[yolo]
mask=0,1,2
anchors=1,1, 2,2, 3,3
classes=1
""")
    arch = ss.load(cfg)
    network = ss.build(arch)
    counts = [4, 4, 4, 4, 4 * 3 * 9, 18, 18 * 4, 2, 2, 2, 2, 2 * 4, 18, 18 * 2]
    (tmp_path / "w.weights").write_bytes(darknet_bytes(torch.arange(sum(counts), dtype=torch.float32)))
    assert load_weights(network, tmp_path / "w.weights") == "darknet"
    starts = [sum(counts[:i]) for i in range(len(counts))]
    first = network.stages[0][0]
    tensors = [first.norm.bias, first.norm.weight, first.norm.running_mean, first.norm.running_var, first.conv.weight]
    assert [t.flatten()[0].item() for t in tensors] == starts[:5]
    assert network.head.predict.get_submodule("0").bias[0].item() == starts[5]
    assert network.stages[1][0].norm.bias[0].item() == starts[7]
    assert network.head.predict.get_submodule("1").weight.flatten()[-1].item() == sum(counts) - 1
    for wrong, message in ((counts[:-1], "cut short"), ([*counts, 1], "belongs to another network")):
        (tmp_path / "w.weights").write_bytes(darknet_bytes(torch.zeros(sum(wrong))))
        with pytest.raises(InputError, match=message):
            load_weights(network, tmp_path / "w.weights")


def test_darknet_order_covers_every_weight_of_yolov3():
    arch = ss.load("yolov3", resolution=64)
    network = ss.build(arch)
    counted = sum(t.numel() for key, t in network.state_dict().items() if not key.endswith("num_batches_tracked"))

    class Enough:
        suffix = ".weights"

        def read_bytes(self):
            return darknet_bytes(torch.zeros(counted))

    assert set(read_darknet(Enough(), network, blocks_in_file_order(arch))) == {
        key for key in network.state_dict() if not key.endswith("num_batches_tracked")
    }


def test_the_hub_is_asked_for_and_says_when_it_cannot_be_reached(network, monkeypatch):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="cannot be reached, and no copy is on this machine"):
        load_weights(network, "hf_hub:timm/squeezenet_never_there")


def test_known_to_says_which_libraries_have_a_network():
    assert libraries_with(ss.load("resnet50")) == ["torchvision", "timm"]
    assert libraries_with(ss.load("yolov8n")) == ["ultralytics"]
    assert libraries_with(ss.load("resnet20_cifar")) == []


def test_weights_of_a_library_keep_their_eps_and_preparation_through_our_own_file(tmp_path, torchvision_models):
    """timm's MobileNetV3 has another eps than the zoo's: exported as our safetensors and loaded again it is the same
    network."""
    from scalesearch.exporting.files import write

    torch.manual_seed(0)
    network = ss.build(ss.load("mobilenet_v3_small_x0_35", resolution=64)).eval()
    assert load_weights(network, liven(timm_model("mobilenet_v3_small_x0_35")()).state_dict()) == "timm"
    assert network.arch.norm_eps == 1e-5
    write(network, "safetensors", tmp_path / "w.safetensors")
    again = ss.build(ss.load("mobilenet_v3_small_x0_35", resolution=64)).eval()
    assert load_weights(again, tmp_path / "w.safetensors") == "timm"
    assert again.arch.norm_eps == 1e-5
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(network(x), again(x))


def test_a_scaled_network_is_no_librarys_and_loads_its_own_weights(tmp_path):
    scaled = ss.scale(ss.load("mobilenet_v4_conv_small", resolution=64), depth=1.2, width=1.1)
    assert libraries_with(scaled) == []
    network = ss.build(scaled)
    assert load_weights(ss.build(scaled), network.state_dict()) == "scalesearch"


def test_random_damage_is_always_a_located_error(network, tmp_path):
    import random

    torch.save(network.state_dict(), tmp_path / "zip.pth")
    torch.save(network.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    rng, output = random.Random(0), []
    for name in ("zip.pth", "old.pth"):
        whole = (tmp_path / name).read_bytes()
        for _ in range(40):
            damaged = bytearray(whole[: rng.randrange(1, 4000)] if rng.random() < 0.5 else whole)
            for _ in range(20):
                damaged[rng.randrange(min(len(damaged), 3000))] = rng.randrange(256)
            (tmp_path / "d.pth").write_bytes(bytes(damaged))
            try:
                load_weights(network, tmp_path / "d.pth")
            except InputError as error:
                output.append(str(error))
    assert output
    assert all("d.pth" in text and "\n" not in text for text in output)
