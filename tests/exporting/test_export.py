"""Models out: every form is the same network by output when it comes back; files are whole or absent."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest
import torch
from helpers import liven
from peers import timm_model, torchvision_model
from safetensors.torch import load_file, save_file

import scalesearch as ss
from scalesearch import zoo
from scalesearch.errors import InputError
from scalesearch.exporting.files import write
from scalesearch.exporting.python import to_python
from scalesearch.weights.loading import load_weights

SMALL = {
    "resnet20_cifar": 32,
    "mobilenet_v4_hybrid_medium": 64,
    "shufflenet_v2_x0_5": 64,
    "yolov8n": 64,
    "inception_v3": 96,
    "densenet_bc100_12": 32,
    "convnext_tiny": 64,
}


def network(name, resolution=None):
    torch.manual_seed(0)
    return liven(ss.build(ss.load(name, resolution=resolution or SMALL[name]))).eval()


def outputs(model, x) -> tuple:
    with torch.no_grad():
        out = model(x)
    return out if isinstance(out, tuple) else (out,)


def images(model, batch=3):
    return torch.randn(
        batch, 3, model.arch.resolution, model.arch.resolution, generator=torch.Generator().manual_seed(9)
    )


def close(a, b, tolerance=1e-4) -> bool:
    return all((x - y).abs().max() <= tolerance * x.abs().max() for x, y in zip(a, b, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_onnx_and_pt2_come_back_as_the_same_network_for_any_batch(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model = network(name)
    write(model, "onnx", tmp_path / "m.onnx")
    write(model, "pt2", tmp_path / "m.pt2")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    loaded = torch.export.load(tmp_path / "m.pt2").module()
    for batch in (1, 3):
        x = images(model, batch)
        expected = outputs(model, x)
        assert close(expected, [torch.from_numpy(y) for y in session.run(None, {"image": x.numpy()})])
        assert close(expected, outputs(loaded, x), 1e-5)
    assert {p.name for p in tmp_path.iterdir()} == {"m.onnx", "m.pt2"}


@pytest.mark.slow
def test_onnx_takes_another_opset_and_refuses_an_unknown_one(tmp_path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    model = network("resnet20_cifar")
    write(model, "onnx", tmp_path / "m.onnx", opset=21)
    assert onnx.load(tmp_path / "m.onnx").opset_import[0].version == 21
    for opset in (7, 99):
        with pytest.raises(InputError, match=f"--opset: takes 18 to 23, got {opset}"):
            write(model, "onnx", tmp_path / "other.onnx", opset=opset)
    assert not (tmp_path / "other.onnx").exists()
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("name", "library"), [("resnet18", "timm"), ("mobilenet_v3_small", "torchvision"), ("mobilenet_v3_small", "timm")]
)
def test_a_peers_file_loads_into_the_peer(name, library, tmp_path, torchvision_models):
    model = network(name, 64)
    if library == "timm":
        load_weights(model, timm_model(name)().state_dict())  # takes on timm's eps
        liven(model)
    write(model, library, tmp_path / "w.safetensors")
    peer = (timm_model(name) if library == "timm" else torchvision_model(torchvision_models, name))().eval()
    peer.load_state_dict(load_file(tmp_path / "w.safetensors"))
    x = images(model)
    assert close(outputs(model, x), outputs(peer, x))
    again = ss.build(ss.load(name, resolution=64)).eval()
    load_weights(again, tmp_path / "w.safetensors")


def standalone(source, path):
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.build()


FAMILY_MEMBERS = [
    "vgg11_bn",
    "resnet18",
    "inception_v1_aux",
    "inception_v3",
    "inception_resnet_v2",
    "densenet121",
    "mobilenet_v2",
    "mobilenet_v4_conv_small",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "mnasnet0_5",
    "regnet_y_400mf",
    "shufflenet_v2_x0_5",
    "squeezenet1_1",
    "convnext_tiny",
    "darknet53",
    "yolov3_tiny",
    "yolov8n",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAMILY_MEMBERS)
def test_the_python_file_is_the_network(name, tmp_path):
    """Equal outputs, keys, params, MACs; imports torch alone; nothing for a linter to say."""
    from torch.utils.flop_counter import FlopCounterMode

    model = network(name, 128 if "inception" in name else 96)
    alone = standalone(to_python(model.arch), tmp_path / "model.py").eval()
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    alone.load_state_dict(load_file(tmp_path / "w.safetensors"))
    x = images(model, 2)
    assert all(map(torch.equal, outputs(model, x), outputs(alone, x)))
    assert sum(p.numel() for p in alone.parameters()) == ss.cost(model.arch).params
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        alone(x[:1])
    assert counter.get_total_flops() == 2 * ss.cost(model.arch).macs
    code = (
        "import sys, ast; "
        "print({(n.names[0].name if isinstance(n, ast.Import) else n.module).split('.')[0] "
        "for n in ast.walk(ast.parse(open('model.py').read())) if isinstance(n, (ast.Import, ast.ImportFrom))})"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout
    assert eval(found) <= {"torch", "collections", "math", "__future__"}
    ruff = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E4,E7,E9,F,I,UP,C4", "model.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ruff.returncode == 0, ruff.stdout


def test_the_python_file_of_a_module_with_identities(tmp_path):
    arch = ss.space_from_dict(
        {
            "name": "mixed",
            "resolution": 8,
            "classes": 3,
            "stages": [
                {"conv": {"width": 8}},
                {
                    "inception": {
                        "branches": [
                            [{"identity": {}}],
                            [{"identity": {}}, {"conv": {"width": 8}}],
                            [{"se": {"reduction": 4}}],
                        ]
                    }
                },
                {"inception_residual": {"branches": [[{"identity": {}}, {"conv": {"width": 8, "kernel": 1}}]]}},
            ],
            "head": {"classifier": {}},
        }
    ).at({})
    torch.manual_seed(0)
    model = liven(ss.build(arch)).eval()
    alone = standalone(to_python(arch), tmp_path / "model.py").eval()
    alone.load_state_dict(model.state_dict())
    x = images(model)
    assert torch.equal(outputs(model, x)[0], outputs(alone, x)[0])


def test_the_python_file_of_every_network_compiles_and_is_short():
    for name in zoo.MODELS:
        source = to_python(ss.load(name))
        compile(source, name, "exec")
        assert len(source.splitlines()) < 560, name
    assert len(to_python(ss.load("efficientnet_b0")).splitlines()) < 250


def test_the_command_offers_what_can_be_written():
    from scalesearch.cli.weights import FORMATS
    from scalesearch.exporting import files

    assert set(FORMATS) == {"py", *files.WRITERS}
    assert files.DEFAULT_OPSET in files.OPSETS


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    model = network("resnet20_cifar")

    def full(*_, **__):
        return (_ for _ in ()).throw(OSError(28, "No space left on device"))

    monkeypatch.setattr(torch.export, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write(model, "pt2", tmp_path / "m.pt2")
    assert not list(tmp_path.iterdir())
