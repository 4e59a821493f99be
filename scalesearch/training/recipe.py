"""How a network is trained, one recipe for all that are compared, and where: as data."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from scalesearch.signature import Rate, Ratio, Rule, Share

# What `proxies` computes of a network that has not been trained, beside the counted params and MACs.
PROXIES = ("synflow", "naswot", "grad_norm", "jacov", "zen")
Positive = Annotated[float, Rule(low=1e-12, high=1e30)]


@dataclass(frozen=True)
class Recipe:
    """Hyperparameters of a training, the reason beside each.

    The schedule's lengths are shares of the whole, so that the recipe means the same at 4 epochs and at 100.
    """

    epochs: Annotated[int, Rule(low=1, high=100_000)] = 12
    batch_size: Annotated[int, Rule(low=1, high=65_536)] = 64
    # AdamW (Loshchilov & Hutter 2019): one learning rate serves networks with and without batch norm alike, which SGD's
    # does not, and a comparison under one recipe needs that.
    learning_rate: Positive = 3e-3
    # On weights alone: decaying norms and biases only shifts what the next layer sees.
    weight_decay: Ratio = 0.05
    # Linear from zero, over this share of the steps: batch-norm statistics are still noise in the first ones.
    warmup: Share = 0.15
    # After it a cosine to zero (Loshchilov & Hutter 2017).
    label_smoothing: Share = 0.1
    # Gradients longer than this are shortened to it: networks without norm survive the warm-up's end.
    clip_norm: Positive = 1.0
    # Weights and statistics are averaged exponentially over this share of the steps; the average is what is scored.
    ema_span: Share = 0.05
    # Images are moved, turned and zoomed at random: by this share of their side, degrees, and this share of their size.
    shift: Share = 0.1
    rotate: Annotated[float, Rule(low=0, high=180)] = 10.0
    zoom: Rate = 0.1
    # Only this share of the training split is used.
    data_share: Annotated[float, Rule(low=0.001, high=1)] = 1.0

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


RECIPES = {
    # For small images on a CPU, in seconds a network.
    "quick": Recipe(),
    # For tens of thousands of images on a GPU.
    "standard": Recipe(epochs=60, batch_size=256, learning_rate=2e-3, warmup=0.08, ema_span=0.02),
}


@dataclass(frozen=True)
class Place:
    """Where a job is done: the run's folder, threads, and whether on a GPU."""

    folder: Path = Path()
    threads: int = 1
    gpu: bool = False
