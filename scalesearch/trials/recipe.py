"""Recipes: how a network is trained, as data; networks that are compared share one."""

from __future__ import annotations

import hashlib
import json
from dataclasses import Field, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from scalesearch import yamlfile
from scalesearch.errors import InputError
from scalesearch.signature import Count, Natural, Rate, Ratio, Rule, Share

# What `proxies` computes of a network that has not been trained, beside the counted params and MACs.
PROXIES = ("synflow", "naswot", "grad_norm", "jacov", "zen")
Positive = Annotated[float, Rule(low=1e-12, high=1e30)]
MAX_DROP_RATE = 0.8  # of a residual branch or of features, however large φ


def since(version: int, default: object) -> Any:
    """Declares a field of `Recipe` that was added in a later `version`, with its default.

    It takes part in a digest only where it differs from its default, so that earlier runs keep their digests.
    """
    return field(default=default, metadata={"since": version})


@dataclass(frozen=True)
class Recipe:
    """The hyperparameters of a training, with the reason for each.

    Lengths of the schedule are shares of the whole, so that the recipe means the same at 4 epochs and at 100. A
    field added after version 0.2 is declared by `since`.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Images of a step.
        micro_batch: So many images at a time, their gradients added up to a batch; as many as memory holds by default.
            Statistics of batch norms are then of the smaller number.
        optimizer: `adamw` (Loshchilov & Hutter 2019) has one learning rate for networks with and without norms;
            `muon` (Jordan et al. 2024), for filters and matrices beside AdamW for the rest, learns faster in few
            epochs; `sgd` has Nesterov's momentum.
        learning_rate: The largest learning rate.
        rate_without_norms: Networks without any norm learn at this share of the rate: nothing in them takes a step's
            length back, and at the rate of the others they end at chance.
        momentum: Of SGD and Muon.
        weight_decay: On weights alone: decaying norms and biases only shifts what the next layer sees.
        warmup: Share of the steps over which the rate rises from zero: norms' statistics are noise in the first ones.
        schedule: After the warm-up a cosine to zero (Loshchilov & Hutter 2017), or a straight line.
        label_smoothing: Share of the target that is spread over all classes.
        clip_norm: Gradients longer than this are shortened to it: networks without norm survive the warm-up's end. 0:
            none are.
        ema_span: Weights and statistics are averaged exponentially over this share of the steps; the average is what is
            scored.
        norm_images: Statistics of batch norms are measured again on so many training images before the network is
            scored: the averages that training keeps lag behind the weights, the more so the shorter it is. 0: those
            averages are used.
        shift: Images are moved at random by up to this share of their side.
        rotate: Images are turned at random by up to so many degrees.
        zoom: Images are enlarged or reduced at random by up to this share of their size.
        crop: A random part of the image, of this share of its area at least, fills the whole (Szegedy et al. 2015). 1:
            none.
        flip: Images are mirrored with even odds, where the data says that a mirrored image still shows its class.
        colour: Brightness, contrast and saturation change by up to this share.
        hue: Hues change by up to this share of their circle.
        trivial: One of TrivialAugment's fourteen changes at random strength, for every image (Müller & Hutter 2021).
        erase: With these odds a rectangle of up to a third of the area is noise (Zhong et al. 2020, DeVries & Taylor
            2017).
        mixup: Pairs of images are blended (Zhang et al. 2018) by shares drawn from a Beta distribution of this
            parameter. 0: none are. With `cutmix` too, each batch has one of the two.
        cutmix: One image of a pair gets a rectangle of the other (Yun et al. 2019), of a share drawn likewise.
        mosaic: With these odds a batch's images are each a window on four of them (Bochkovskiy et al. 2020).
        plain_end: In the last epochs, this share of them, there are no mosaics: what is trained for looks otherwise.
        dropout: Rate of the dropouts that the head has; the network's own by default.
        drop_path: Rate of stochastic depth (Huang et al. 2016); the network's own by default.
        dropout_growth: By how much the dropout grows with the member's φ: larger ones overfit sooner.
        drop_path_growth: By how much stochastic depth grows with the member's φ.
        phi: The φ at which the two are taken; a run sets it for every member.
        progressive: Training starts at this share of the resolution and reaches the whole after two thirds of the
            epochs.
        balance: Rare classes weigh more in the loss, or are drawn more often, so that all count alike.
        precision: Arithmetic of the network: 16 bits where the device computes this one faster with them (`auto`), or
            one kind always.
        patience: Training ends when the validation score has not risen for so many epochs. 0: never before its end.
        layer_decay: Fine-tuning: each stage from the head down learns at this share of the rate of the one above it.
        freeze_until: Fine-tuning: the stages up to and including this one (stem, stages.2) do not learn.
        thaw: Fine-tuning: the other stages join from the head down during this share of the steps.
        data_share: Only this share of the training split is used.
    """

    epochs: Annotated[int, Rule(low=1, high=100_000)] = 12
    batch_size: Annotated[int, Rule(low=1, high=65_536)] = 64
    micro_batch: Count | None = None
    optimizer: Literal["adamw", "sgd", "muon"] = "adamw"
    learning_rate: Positive = 3e-3
    rate_without_norms: Share = since(3, 1.0)
    momentum: Rate = 0.9
    weight_decay: Ratio = 0.05
    warmup: Share = 0.15
    schedule: Literal["cosine", "linear"] = since(3, "cosine")
    label_smoothing: Share = 0.1
    clip_norm: Ratio = 1.0
    ema_span: Share = 0.05
    norm_images: Natural = since(3, 0)
    shift: Share = 0.1
    rotate: Annotated[float, Rule(low=0, high=180)] = 10.0
    zoom: Rate = 0.1
    crop: Annotated[float, Rule(low=0.01, high=1)] = 1.0
    flip: bool = True
    colour: Share = 0.0
    hue: Share = 0.0
    trivial: bool = False
    erase: Share = 0.0
    mixup: Ratio = 0.0
    cutmix: Ratio = 0.0
    mosaic: Share = 0.0
    plain_end: Share = 0.1
    dropout: Rate | None = None
    drop_path: Rate | None = None
    dropout_growth: Rate = 0.0
    drop_path_growth: Rate = 0.0
    phi: Ratio = 0.0
    progressive: Annotated[float, Rule(low=0.25, high=1)] = 1.0
    balance: Literal["none", "weights", "sampling"] = "none"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "fp32"
    patience: Natural = 0
    layer_decay: Annotated[float, Rule(low=0.01, high=1)] = 1.0
    freeze_until: str = ""
    thaw: Share = 0.0
    data_share: Annotated[float, Rule(low=0.001, high=1)] = 1.0

    @property
    def digest(self) -> str:
        """Returns 16 hex digits that identify the recipe; fields added by `since` don't change older ones."""
        return hashlib.sha256(json.dumps(self.options, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def options(self) -> dict[str, Any]:
        """Returns the fields by name, without those added by `since` that have their default."""

        def takes_part(option: Field[Any]) -> bool:
            return "since" not in option.metadata or getattr(self, option.name) != option.default

        return {option.name: getattr(self, option.name) for option in fields(self) if takes_part(option)}

    @property
    def first_plain_epoch(self) -> int:
        """Returns the first epoch without mosaics."""
        return self.epochs - round(self.plain_end * self.epochs)

    def at_phi(self, phi: float) -> Recipe:
        """Returns the recipe for the family's member at φ."""
        return replace(self, phi=phi) if self.dropout_growth or self.drop_path_growth else self

    def frozen_levels(self, stages: int) -> int:
        """Returns how many of a network's levels, from the stem up, are frozen.

        Args:
            stages: The number of the network's stages.

        Raises:
            InputError: If `freeze_until` names none of the levels.
        """
        order = levels(stages)
        if self.freeze_until not in ("", *order[:-1]):
            raise InputError(f"takes {', '.join(order[:-1])}; got {self.freeze_until!r}", "freeze_until")
        return order.index(self.freeze_until) + 1 if self.freeze_until else 0


def levels(stages: int) -> list[str]:
    """Returns the names of a network's levels from the stem up: the units of freezing, thawing and layer decay."""
    return ["stem", *(f"stages.{i}" for i in range(stages)), "head"]


def grown_rate(rate: float, growth: float) -> float:
    """Returns a dropout rate plus its growth, at most `MAX_DROP_RATE`; without growth the rate itself."""
    return min(MAX_DROP_RATE, rate + growth) if growth else rate


_PRESETS: dict[str, dict[str, Any]] = yamlfile.read(Path(__file__).with_name("recipes.yaml")).data
RECIPES = {name: Recipe(**changes) for name, changes in _PRESETS.items()}
