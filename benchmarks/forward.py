"""Our built networks against the peers' own implementations: same weights, same input, forward and forward with
backward.

    python benchmarks/forward.py [--device cuda] [--compiled] [--batch 8] [NAME …]

Prints a Markdown table of medians measured side by side, one pair after the other, and their ratio (ours / the peer's).
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

import scalesearch as ss
from scalesearch.weights.loading import load_weights

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from peers import timm_model, torchvision_model, ultralytics_model

FAMILIES = [
    "vgg11_bn",
    "resnet50",
    "resnext50_32x4d",
    "inception_v1",
    "inception_v3",
    "inception_v4",
    "inception_resnet_v2",
    "densenet121",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v3_large",
    "mobilenet_v4_conv_medium",
    "mobilenet_v4_hybrid_medium",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "mnasnet1_0",
    "regnet_y_400mf",
    "shufflenet_v2_x1_0",
    "squeezenet1_1",
    "convnext_tiny",
    "yolov8n_cls",
    "yolov8n",
]


def torchvision_models():
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name, schema in (
        ("nms", "(Tensor a, Tensor b, float c) -> Tensor"),
        ("qnms", "(Tensor a, Tensor b, float c) -> Tensor"),
    ):
        if not hasattr(torch.ops.torchvision, name):
            library.define(name + schema)
    import torchvision.models

    return torchvision.models, library


def peer_of(name: str, models) -> tuple[str, torch.nn.Module]:
    for library, make in (
        ("torchvision", torchvision_model(models, name)),
        ("timm", timm_model(name)),
        ("ultralytics", ultralytics_model(name)),
    ):
        if make is not None:
            return library, make()
    raise SystemExit(f"no peer has {name}")


def total(out) -> torch.Tensor:
    """A scalar that needs every output."""
    if isinstance(out, dict):
        out = list(out.values())
    if isinstance(out, (list, tuple)):
        return sum(total(part) for part in out)
    return out.float().mean()


def step(model, x, backward: bool, sync) -> float:
    start = time.perf_counter()
    if backward:
        total(model(x)).backward()
    else:
        with torch.no_grad():
            model(x)
    sync()
    return time.perf_counter() - start


def pair(ours, peer, x, backward: bool, sync, seconds: float) -> tuple[float, float, float]:
    """Medians of both in seconds, and the median of the ratios of neighbouring runs; which goes first alternates."""
    for model in (ours, peer) * 2:
        step(model, x, backward, sync)
    times: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or (time.perf_counter() < end and len(times) < 200):
        order = (ours, peer) if len(times) % 2 else (peer, ours)
        found = {model: step(model, x, backward, sync) for model in order}
        times.append((found[ours], found[peer]))
        for model in (ours, peer):
            model.zero_grad(set_to_none=True)
    mine, theirs = zip(*times)
    return statistics.median(mine), statistics.median(theirs), statistics.median(a / b for a, b in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=FAMILIES)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--compiled", action="store_true", help="torch.compile both")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--resolution", type=int, help="instead of the network's own, or 128 on a CPU")
    parser.add_argument("--seconds", type=float, default=4.0, help="per pair")
    arguments = parser.parse_args()
    sync = torch.cuda.synchronize if arguments.device.startswith("cuda") else lambda: None
    models, _library = torchvision_models()
    print(
        f"torch {torch.__version__}, {arguments.device}, batch {arguments.batch}, "
        f"{'compiled' if arguments.compiled else 'eager'}\n"
    )
    print("| network | peer | pixels | forward ours | peer | ratio | forward + backward ours | peer | ratio |")
    print("|---|---|---|---|---|---|---|---|---|", flush=True)
    for name in arguments.names:
        library, peer = peer_of(name, models)
        side = arguments.resolution or (ss.load(name).resolution if arguments.device != "cpu" else 128)
        ours = ss.build(ss.load(name))
        load_weights(ours, peer.state_dict())
        x = torch.randn(arguments.batch, 3, side, side, device=arguments.device)
        ours, peer = (m.to(arguments.device) for m in (ours, peer))
        if arguments.compiled:
            ours, peer = torch.compile(ours), torch.compile(peer)
        row = []
        for backward in (False, True):
            for model in (ours, peer):
                model.train(backward)
            mine, theirs, ratio = pair(ours, peer, x, backward, sync, arguments.seconds)
            row.append(f"{mine * 1e3:.1f} ms | {theirs * 1e3:.1f} ms | {ratio:.2f}")
        print(f"| {name} | {library} | {side} | {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
