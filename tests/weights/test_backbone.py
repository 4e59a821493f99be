"""A detector starts from the weights of the classifier that it stands on, whoever's names they have."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from boxed import rectangles
from helpers import darknet_bytes, invoke, refused

import scalesearch as ss
from scalesearch.errors import InputError
from scalesearch.files import save_tensors
from scalesearch.weights import file_metadata, load_weights, peer_weights, with_library_eps
from scalesearch.zoo import blocks_in_file_order


def filled(arch):
    torch.manual_seed(3)
    network = ss.build(arch)
    for value in network.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape) + 0.01)
    return network


def detector(name):
    torch.manual_seed(4)
    return ss.build(ss.load(name, resolution=64, classes=3))


def as_it_was(network):
    return {key: value.clone() for key, value in network.state_dict().items()}


@pytest.mark.parametrize(
    ("name", "classifier", "library", "stages"),
    [
        ("resnet18+yolov8", "resnet18", "scalesearch", 4),
        ("resnet18+yolov8", "resnet18", "torchvision", 4),
        ("mobilenet_v3_small+yolo", "mobilenet_v3_small", "timm", 7),
        ("inception_v3_aux+yolov8", "inception_v3_aux", "torchvision", 8),  # whose borders the detector keeps
        ("yolov8n", "yolov8n_cls", "ultralytics", 9),
        ("yolov8m", "yolov8m_cls", "ultralytics", 7),  # the rest is wider than the detector's
    ],
)
def test_stem_and_stages_come_from_the_classifier_and_the_rest_is_fresh(name, classifier, library, stages):
    whole = filled(with_library_eps(ss.load(classifier, classes=7), library))
    theirs = whole.state_dict()
    network = detector(name)
    before = as_it_was(network)
    assert (
        load_weights(
            network,
            theirs if library == "scalesearch" else peer_weights(whole.arch, theirs, library),
            replace_head=True,
        )
        == library
    )
    assert network.loaded_part == f"the backbone, {stages} stages of {classifier}"
    assert network.arch.norm_eps == whole.arch.norm_eps
    for key, value in network.state_dict().items():
        part, _, rest = key.partition(".")
        of_both = part == "stem" or (part == "stages" and int(rest.partition(".")[0]) < stages)
        assert of_both != (key in network.fresh)
        assert value.equal(theirs[key] if of_both else before[key])
    assert not network.fresh >= {key for key in before if key.startswith("stages.0.")}


@pytest.mark.parametrize(
    ("name", "classifier", "message"),
    [
        ("resnet18+yolov8", "resnet34", "has stages.0.2.conv1.conv.weight, which resnet18 has no place for"),
        ("resnet18+yolov8", "resnet50", "is not of resnet18: it has names such as"),
        ("yolov8s", "yolov8n_cls", "needs 32×3×3×3"),
        ("yolov3_tiny", "darknet53", "is not of yolov3_tiny"),
    ],
)
def test_another_classifiers_weights_are_refused_by_a_tensor(name, classifier, message):
    network = detector(name)
    before = as_it_was(network)
    with pytest.raises(InputError) as error:
        load_weights(network, ss.build(ss.load(classifier)).state_dict(), replace_head=True)
    assert message in str(error.value)
    assert all(value.equal(before[key]) for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["resnet18", "mine"])
@pytest.mark.parametrize("changed", [(), (0,), (2,), (3,)])
def test_a_classifier_of_which_a_detector_has_some_stages_is_no_start(name, changed, tmp_path):
    """Another block, by a name of the zoo or by what the file says that it is of."""
    classifier = ss.load("resnet18", classes=7).with_(name=name)
    made = detector("resnet18+yolov8").arch.with_(name=f"{name}+yolov8")
    stages = [replace(stage, depth=stage.depth + (i in changed)) for i, stage in enumerate(made.stages)]
    network = ss.build(made.with_(stages=tuple(stages)))
    file = tmp_path / "it.safetensors"
    save_tensors(filled(classifier).state_dict(), file, {"arch": json.dumps(classifier.to_dict())})
    if not changed:
        load_weights(network, file, replace_head=True)
        assert network.loaded_part == f"the backbone, 4 stages of {name}"
        return
    with pytest.raises(InputError, match=r"misses stages\.|is not of"):
        load_weights(network, file, replace_head=True)
    assert not network.loaded_part


def test_a_classifiers_weights_are_a_start_alone():
    with pytest.raises(InputError, match=r"misses stages\.4"):
        load_weights(detector("resnet18+yolov8"), ss.build(ss.load("resnet18")).state_dict())


def test_a_detectors_own_weights_go_before_its_backbones():
    whole = filled(ss.load("resnet18+yolov8", classes=3))
    network = detector("resnet18+yolov8")
    load_weights(network, whole.state_dict(), replace_head=True)
    assert not network.loaded_part
    assert not network.fresh
    assert all(value.equal(whole.state_dict()[key]) for key, value in network.state_dict().items())


def in_darknets_order(network, blocks):
    """The values in the order of Darknet's convolutions: bias, weight, mean, variance of the norm, then the kernel."""
    values, state = [], network.state_dict()
    for block, _ in blocks:
        for conv in [
            key.removesuffix("conv.weight")
            for key in state
            if key.startswith(block + ".") and key.endswith("conv.weight")
        ]:
            parts = ("norm.bias", "norm.weight", "norm.running_mean", "norm.running_var", "conv.weight")
            values += [state[conv + part].flatten() for part in parts]
    return torch.cat(values)


@pytest.mark.slow
def test_darknet_files_that_end_with_the_backbone(tmp_path):
    """`darknet53.conv.74`: the 52 convolutions before Darknet-53's classifier."""
    arch = ss.load("darknet53", resolution=64)
    whole = filled(arch)
    file = tmp_path / "darknet53.conv.74"
    file.write_bytes(darknet_bytes(in_darknets_order(whole, [b for b in blocks_in_file_order(arch) if b[0] != "head"])))
    network = detector("yolov3")
    assert load_weights(network, file, replace_head=True) == "darknet"
    assert network.loaded_part == "the first 52 of 75 layers, where the file ends"
    theirs = whole.state_dict()
    assert all(
        value.equal(theirs[key])
        for key, value in network.state_dict().items()
        if key in theirs and not key.startswith("head.") and not key.endswith("num_batches_tracked")
    )
    assert any(key.startswith("stages.11.") for key in network.fresh)
    with pytest.raises(InputError, match="cut short"):
        load_weights(detector("yolov3"), file)
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(InputError, match=r"ends inside stages\.10\.3"):
        load_weights(detector("yolov3"), file, replace_head=True)


@pytest.mark.slow
def test_what_a_classifiers_training_left_is_a_start(tmp_path, monkeypatch):
    monkeypatch.setenv("SCALESEARCH_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine.yaml").write_text("""\
name: mine
resolution: 32
classes: 10
stem: [{conv: {width: 8, stride: 2}}]
stages:
  - {conv: {width: 8}, stride: 2}
  - {conv: {width: 16}, stride: 2}
head: {classifier: {}}
""")
    quick = ("--set=epochs=1", "--set=batch_size=64", "--resolution")
    done = invoke(
        "train",
        str(tmp_path / "mine.yaml"),
        "--data",
        "digits",
        "--out",
        str(tmp_path / "it"),
        *quick,
        "32",
        "--set=data_share=0.2",
    )
    assert done.exit_code == 0, done.output
    data = str(rectangles(tmp_path / "data"))
    left = str(tmp_path / "it" / "weights.safetensors")
    made = invoke(
        "train",
        str(tmp_path / "it") + "+yolov8",
        "--data",
        data,
        "--weights",
        left,
        "--out",
        str(tmp_path / "out"),
        *quick,
        "64",
    )
    assert made.exit_code == 0, made.output
    assert "took the backbone, 2 stages of mine" in made.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert 0 < summary["inherited"] < 0.1

    def normal(folder):
        return json.loads(file_metadata(folder / "weights.safetensors")["preparation"])["mean"]

    assert normal(tmp_path / "out") == normal(tmp_path / "it")
    other = str(tmp_path / "out" / "weights.safetensors")
    assert "misses" in refused(
        "train", str(tmp_path / "mine.yaml"), "--data", "digits", "--weights", other, "--out", str(tmp_path / "no")
    )
