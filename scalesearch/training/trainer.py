"""Training and scoring of one network under a recipe."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from scalesearch.arch import Arch, named_structure
from scalesearch.data import load, source
from scalesearch.files import whole
from scalesearch.network import build
from scalesearch.training.recipe import Recipe
from scalesearch.training.tasks import TASKS


def inherit(model: nn.Module, parent: Mapping[str, torch.Tensor]) -> float:
    """Take over the tensors of `parent` that have a name and shape of the model's; the share of parameters they are."""
    own = model.state_dict()
    shared = {name: tensor for name, tensor in parent.items() if name in own and own[name].shape == tensor.shape}
    model.load_state_dict(shared, strict=False)
    count = lambda names: sum(own[name].numel() for name in names)
    return count(shared) / max(1, count(own))


class TrainingFailed(RuntimeError):
    """Training cannot go on; the message says why and where."""


class Trainer:
    """One network, trained epoch by epoch; the exponential average of its weights is what is scored.

    Equal arch, data, recipe, seed and device give equal numbers, also where a training goes on from what it saved.
    """

    def __init__(self, arch: Arch, data: str, recipe: Recipe, seed: int, device: str = "cpu",
                 task: str = "classification"):
        random.seed(seed)
        torch.manual_seed(seed)
        if device.startswith("cuda"):
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        self.recipe, self.device, self.task = recipe, torch.device(device), TASKS[task].behaviour
        self.mirror = source(data).mirror
        self.splits = {name: self._to_tensors(split, arch.resolution) for name, split in load(data).items()}
        self._keep_share(seed)
        self.model = build(arch).to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.inherited = 0.0
        batches = len(self.splits["train"][1]) / recipe.batch_size
        self.steps_per_epoch = max(1, int(batches))  # a last batch that isn't full is left for the next epoch's shuffle
        self.steps = recipe.epochs * self.steps_per_epoch
        self.optimizer = torch.optim.AdamW(self._parameter_groups(), lr=recipe.learning_rate)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self._learning_rate)
        decay = max(0.0, 1 - 1 / max(1.0, recipe.ema_span * self.steps))
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.epoch = 0
        self.started = time.perf_counter()

    def inherit(self, parent: Mapping[str, torch.Tensor]) -> None:
        """Start from the weights of `parent` wherever name and shape are the network's own."""
        self.inherited = inherit(self.model, parent)
        self.average.module.load_state_dict(self.model.state_dict())

    def _to_tensors(self, split: Any, resolution: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Images as floats around 0 at the network's resolution, and labels."""
        images, labels = torch.from_numpy(split[0]), self.task.labels(split[1])
        images = images.float().div_(127.5).sub_(1)
        if images.shape[-1] != resolution:
            images = F.interpolate(images, (resolution, resolution), mode="bilinear", antialias=True)
        return images.contiguous(memory_format=torch.channels_last).to(self.device), labels.to(self.device)

    def _keep_share(self, seed: int) -> None:
        images, labels = self.splits["train"]
        keep = round(len(labels) * self.recipe.data_share)
        if keep < len(labels):
            chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))[:keep].to(self.device)
            self.splits["train"] = images[chosen], labels[chosen]

    def _parameter_groups(self) -> list[dict[str, Any]]:
        is_vector = lambda p: p.numel() == max(p.shape)  # biases, norms, factors per channel
        weights = [p for p in self.model.parameters() if not is_vector(p)]
        others = [p for p in self.model.parameters() if is_vector(p)]
        return [{"params": weights, "weight_decay": self.recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]

    def _learning_rate(self, step: int) -> float:
        warm = self.recipe.warmup * self.steps
        if step < warm:
            return (step + 1) / (warm + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1.0, self.steps - warm)))

    def _augmented(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Each image moved, turned, zoomed and (where its class allows) mirrored at random, in one resampling; and how:
        from places in the new image to those in the old one, as 2×3 matrices on coordinates from -1 to 1."""
        n, r = len(images), self.recipe
        draw = lambda bound: (torch.rand(n) * 2 - 1) * bound
        angle, scale = draw(math.radians(r.rotate)), 1 + draw(r.zoom)
        flip = torch.where(torch.rand(n) < 0.5, -1.0, 1.0) if self.mirror else torch.ones(n)
        cos, sin = angle.cos() * scale, angle.sin() * scale
        rows = [cos * flip, -sin, draw(2 * r.shift), sin * flip, cos, draw(2 * r.shift)]
        moves = torch.stack(rows, 1).view(n, 2, 3).to(self.device)
        grid = F.affine_grid(moves, list(images.shape), align_corners=False)
        return F.grid_sample(images, grid, padding_mode="border", align_corners=False), moves

    def plain_loss(self, out: torch.Tensor, labels: Any) -> torch.Tensor:
        """The task's loss of one output, its labels not smoothed."""
        return self.task.loss(self.model.arch, out, labels, replace(self.recipe, label_smoothing=0.0))

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    def run_epoch(self) -> dict[str, float]:
        """One pass over the training images; mean loss and the average's validation scores.

        Raises `TrainingFailed` on a loss that is not finite.
        """
        self.model.train()
        images, labels = self.splits["train"]
        order = torch.randperm(len(labels)).to(self.device)
        total = torch.zeros((), device=self.device)
        for batch in order[: self.steps_per_epoch * self.recipe.batch_size].split(self.recipe.batch_size):
            with self._autocast():
                shown, moves = self._augmented(images[batch])
                wanted = self.task.moved(labels[batch], moves)
                loss = self.task.loss(self.model.arch, self.model(shown), wanted, self.recipe)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm, foreach=True)
            self.optimizer.step()
            self.schedule.step()
            self.average.update_parameters(self.model)
            total += loss.detach()
        self.epoch += 1
        mean = total.item() / self.steps_per_epoch
        if not math.isfinite(mean):
            raise TrainingFailed(f"the loss became {mean} in epoch {self.epoch} of {self.recipe.epochs}")
        return {"epoch": self.epoch, "train_loss": mean, **self.scores("val")}

    @property
    def done(self) -> bool:
        return self.epoch >= self.recipe.epochs

    @torch.no_grad()
    def scores(self, split: str) -> dict[str, float]:
        """`{"val_loss": …}` and the task's score, of the averaged weights on a split."""
        self.average.eval()
        images, labels = self.splits[split]
        with self._autocast():
            outs = [self.average(part) for part in images.split(1024)]
        return {f"{split}_{name}": value for name, value in self.task.metrics(outs, labels).items()}

    def save(self, path: Path) -> None:
        """Write all that going on needs, as tensors and plain data, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as temporary:
            torch.save(self._state(), temporary)

    def _state(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "recipe": self.recipe.digest, "model": self.model.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(), "schedule": self.schedule.state_dict(),
                "random": torch.get_rng_state()}

    def go_on_from(self, state: Mapping[str, Any]) -> None:
        """Take what `save` wrote of the same training. Raises `TrainingFailed` where it is of another recipe."""
        if state["recipe"] != self.recipe.digest:
            raise TrainingFailed("the checkpoint is of another recipe")
        self.model.load_state_dict(state["model"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        torch.set_rng_state(state["random"].cpu())
        self.epoch = state["epoch"]

    @property
    def example(self) -> torch.Tensor:
        """One image."""
        return self.splits["val"][0][:1]

    @property
    def built(self) -> str:
        """16 hex digits that name the tensors of the module that is really trained, and the images it is trained on."""
        tensors = [(name, tuple(tensor.shape)) for name, tensor in self.model.state_dict().items()]
        return named_structure(tensors, tuple(self.splits["train"][0].shape[1:]))[:16]

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started

    def weights(self) -> dict[str, torch.Tensor]:
        """The averaged weights under the network's own names, on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.average.module.state_dict().items()}
