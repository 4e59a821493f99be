"""Training and scoring of one network under a recipe."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from scalesearch.arch import Arch, structure_digest
from scalesearch.data import Source, load
from scalesearch.network import Network, Outputs, build
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.training.augmenting import Augmentation
from scalesearch.training.learners import learner_of
from scalesearch.training.memory import free_bytes, is_out_of_memory, largest_batch
from scalesearch.training.optimizing import build_optimizer, build_schedule
from scalesearch.training.pictures import Normalisation, Pictures
from scalesearch.training.precision import autocast, choose_precision
from scalesearch.training.progressive import resolutions
from scalesearch.training.scoring import Scorer
from scalesearch.training.team import ALONE, Team
from scalesearch.trials import TASKS, Recipe, Task, grown_rate, levels

NORMAL = Normalisation()
VALIDATING = 0.05  # share of an epoch's work that validation may take; a training step costs three forward passes


def inherit(model: nn.Module, parent: Mapping[str, torch.Tensor]) -> float:
    """Copies the tensors of `parent` whose name and shape are the model's; returns their share of its parameters."""
    own = model.state_dict()
    shared = {name: tensor for name, tensor in parent.items() if name in own and own[name].shape == tensor.shape}
    model.load_state_dict(shared, strict=False)

    def count(names: Iterable[str]) -> int:
        return sum(own[name].numel() for name in names)

    return count(shared) / max(1, count(own))


class TrainingFailed(RuntimeError):
    """Training cannot go on; the message says why and where."""


class Trainer:
    """One network, trained epoch by epoch; the exponential average of its weights is what is scored.

    Equal arch, data, recipe, seed and device give equal numbers, also where a training goes on from what it saved.
    """

    def __init__(
        self,
        arch: Arch,
        data: Source,
        recipe: Recipe,
        seed: int,
        device: str = "cpu",
        task: Task = TASKS["classification"],
        normal: Normalisation = NORMAL,
        teacher: Network | None = None,
        share: float = 1.0,
        team: Team = ALONE,
    ):
        random.seed(seed)
        torch.manual_seed(seed)
        self.recipe, self.device, self.data, self.seed = recipe, team.device(device), data, seed
        self.normal, self.share, self.team = normal, share, team
        self.task, self.learner, self.score = task, learner_of(task), task.searched
        if self.device.type == "cuda":
            torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False
        self._splits: dict[str, Pictures] = {}
        self.teacher = None if teacher is None else teacher.to(self.device).eval()
        self.best = -math.inf
        self._set_up(arch)
        self.epoch = self.position = 0  # whole epochs, and steps of the one under way
        self.order, self.total = torch.empty(0, dtype=torch.int64), torch.zeros((), device=self.device)
        self.best_epoch = 0
        self.started, self.inherited = time.perf_counter(), 0.0

    def _set_up(self, arch: Arch) -> None:
        recipe = self.recipe
        self.learner.check(arch)
        self.train_labels = self.split("train").labels
        arch = self.learner.fitted(arch, self.train_labels)
        rate = arch.drop_path if recipe.drop_path is None else recipe.drop_path
        self.arch = arch.with_(drop_path=grown_rate(rate, recipe.drop_path_growth * recipe.phi))
        self.model = build(self.arch).to(self.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        for module in self.model.head.modules():
            if isinstance(module, nn.Dropout):
                rate = module.p if recipe.dropout is None else recipe.dropout
                module.p = grown_rate(rate, recipe.dropout_growth * recipe.phi)
        self.learner.initialise(self.model)
        self.model = self.team.with_shared_norms(self.model, self.device)
        weights = self.learner.importance(self.train_labels) if recipe.balance != "none" else None
        self.importance = weights if recipe.balance == "weights" else None
        self.odds = weights.cpu() if weights is not None and recipe.balance == "sampling" else None
        batches = len(self.train_labels) / recipe.batch_size
        self.steps_per_epoch = max(1, int(batches))  # a last batch that isn't full is left for the next epoch's shuffle
        self.steps = recipe.epochs * self.steps_per_epoch
        free = round(self.share * free_bytes(self.device))
        self.micro_batch = self.team.least(largest_batch(self.arch, recipe, free))
        self.precision = choose_precision(self.device, recipe.precision, self.arch)
        halves = self.precision == "fp16" and self.device.type != "cpu"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=halves)
        self.resolutions = resolutions(self.arch, recipe)
        self.optimizer = build_optimizer(self.model, recipe)
        self.schedule = build_schedule(self.optimizer, recipe, self.steps, len(levels(len(self.model.stages))))
        decay = max(0.0, 1 - 1 / max(1.0, recipe.ema_span * self.steps))
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.trained = self.team.wrapped(self.model, self.device)
        self.augmentation = Augmentation(recipe, self.data.mirror, self.task.letterbox)
        self.scorer = Scorer(self.average, self.arch, self.learner, recipe, self.normal, self.split, self.device)

    def split(self, name: str) -> Pictures:
        """Returns a split's images with their labels; of the training split those that the recipe uses."""
        if name not in self._splits:
            pixels, labels = load(self.data)[name]
            labels = self.learner.labels(labels)
            keep = round(len(labels) * self.recipe.data_share)
            if name == "train" and keep < len(labels):
                chosen = torch.randperm(len(labels), generator=torch.Generator().manual_seed(self.seed))[:keep]
                pixels, labels = pixels.select(chosen.numpy()), labels[chosen]
            self._splits[name] = Pictures(pixels, labels, self.device)
        return self._splits[name]

    def inherit(self, parent: Mapping[str, torch.Tensor]) -> None:
        """Starts from the weights of `parent` wherever name and shape are the network's own."""
        self.inherited = inherit(self.model, parent)
        self.average.module.load_state_dict(self.model.state_dict())

    def plain_loss(self, out: torch.Tensor, labels: Any) -> torch.Tensor:
        """Returns the task's loss of one output, its labels not smoothed."""
        return self.learner.loss(self.arch, out, labels, replace(self.recipe, label_smoothing=0.0))

    def run_epoch(self, after_step: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Trains to the end of the epoch and returns its numbers: the mean loss and, where taken, the validation score.

        Args:
            after_step: Called after every step but the last.

        Raises:
            TrainingFailed: If the loss is not finite.
        """
        self.model.train()
        self._stay_frozen()
        if self.position == 0:
            self.order, self.total = self.team.leaders(self._shuffled()), torch.zeros((), device=self.device)
        batches = self.order[: self.steps_per_epoch * self.recipe.batch_size].split(self.recipe.batch_size)
        for batch in batches[self.position :]:
            self.total += self._step(batch)
            self.position += 1
            if self.position < len(batches):
                after_step()
        self.position, self.epoch = 0, self.epoch + 1
        mean = self.team.summed(self.total).item() / len(batches)
        if not math.isfinite(mean):
            raise TrainingFailed(f"the loss became {mean} in epoch {self.epoch} of {self.recipe.epochs}")
        validated = not self.team.rank and (self.done or self.epoch % self._validated_every == 0)
        scores = self.scores("val") if validated else {}
        self._note(scores)
        return {"epoch": self.epoch, "train_loss": mean, **scores}

    def _shuffled(self) -> torch.Tensor:
        if self.odds is not None:
            return torch.multinomial(self.odds, len(self.odds), replacement=True)
        return torch.randperm(len(self.train_labels))

    def _stay_frozen(self) -> None:
        """The statistics of stages that never learn stay as they are, too."""
        stages = len(self.model.stages)
        for level in levels(stages)[: self.recipe.frozen_levels(stages)]:
            self.model.get_submodule(level).eval()

    @property
    def _validated_every(self) -> int:
        """Epochs; so few that it takes little of a training."""
        if self.recipe.patience:
            return 1
        return math.ceil(len(self.split("val")) / (3 * VALIDATING * self.steps_per_epoch * self.recipe.batch_size))

    def _note(self, scores: Mapping[str, float]) -> None:
        value = self.score.of(scores)
        if value is not None and value > self.best:
            self.best, self.best_epoch = value, self.epoch

    def _step(self, batch: torch.Tensor) -> torch.Tensor:
        """One step over a batch, as many images at a time as memory holds: fewer from then on where it does not."""
        self.team.seed_followers(self.seed, self.epoch, self.position)
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                loss = sum(
                    self._backward(part, len(part) / len(batch)) for part in self.team.parts(batch, self.micro_batch)
                )
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.team.size > 1:  # the others would wait for what never comes
                    raise
                if self.micro_batch == 1:
                    raise TrainingFailed(f"one image alone needs more memory than there is: {error}"[:300]) from None
            self.micro_batch = (min(self.micro_batch, len(batch)) + 1) // 2
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        self.scaler.unscale_(self.optimizer)
        if self.recipe.clip_norm:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_norm, foreach=True)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.schedule.step()
        self.average.update_parameters(self.model)
        assert isinstance(loss, torch.Tensor)
        return loss

    def _backward(self, part: torch.Tensor, share: float) -> torch.Tensor:
        pictures, which = self.split("train"), part.to(self.device)
        late = self.epoch >= self.recipe.first_plain_epoch
        shown, moves = self.augmentation(pictures.images(part), self.resolutions[self.epoch], late)
        targets = self.learner.moved(pictures.labels[which], moves)
        if blended := self.augmentation.mixed(shown):
            shown, targets = blended[0], self.learner.mixed(targets, *blended[1:])
        weights = None if self.importance is None else self.importance[which]
        with autocast(self.device, self.precision):
            out = self.trained(self.normal.of(shown))
        loss = self.learner.loss(
            self.arch.with_(resolution=self.resolutions[self.epoch]), out, targets, self.recipe, weights
        )
        if self.teacher is not None:
            loss = loss / 2 + self.learner.distillation_loss(out, self._teacher_outputs(shown)) / 2
        loss = loss * share
        self.scaler.scale(loss * self.team.size).backward()  # of gradients, the team takes the mean
        return loss.detach()

    @torch.no_grad()
    def _teacher_outputs(self, shown: torch.Tensor) -> Outputs:
        """Returns the teacher's outputs for the same images, at its own resolution."""
        assert self.teacher is not None
        sides = self.teacher.arch.sides
        same = shown.shape[-2:] == sides
        larger = shown if same else F.interpolate(shown, sides, mode="bilinear", antialias=True)
        with autocast(self.device, self.precision):
            return cast(Outputs, self.teacher(self.normal.of(larger)))

    @property
    def done(self) -> bool:
        """Whether the schedule has ended, or the score has not risen for as many epochs as the recipe's patience."""
        waited = self.epoch - self.best_epoch
        return self.epoch >= self.recipe.epochs or 0 < self.recipe.patience <= waited

    def scores(self, split: str) -> dict[str, float]:
        """Returns `{"val_loss": …}` and the task's score, of the averaged weights on a split."""
        return self.scorer.scores(split, self.precision)

    def state(self) -> PlainDict:
        """Returns all that the training needs to go on, as tensors and plain data; exact to the bit on a CPU."""
        generators = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self.device)
        return {
            "epoch": self.epoch,
            "position": self.position,
            "order": self.order,
            "total": self.total,
            "best": self.best,
            "best_epoch": self.best_epoch,
            "micro_batch": self.micro_batch,
            "recipe": self.recipe.digest,
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": generators,
            "seconds": self.seconds,
        }

    def go_on_from(self, state: PlainMapping) -> None:
        """Takes up the `state` of the same training. Raises `TrainingFailed` if it is of another recipe."""
        if state["recipe"] != self.recipe.digest:
            raise TrainingFailed("the checkpoint is of another recipe")
        for part in ("model", "average", "optimizer", "schedule", "scaler"):
            getattr(self, part).load_state_dict(state[part])
        torch.set_rng_state(state["random"]["cpu"].cpu())
        if "cuda" in state["random"] and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random"]["cuda"].cpu(), self.device)
        for part in ("epoch", "position", "best", "best_epoch", "micro_batch"):
            setattr(self, part, state[part])
        self.order, self.total = state["order"].cpu(), state["total"].to(self.device)

    def sample(self, count: int) -> tuple[torch.Tensor, Any]:
        """Returns the first images for training as the network takes them, `(N, C, H, W)`, and their labels."""
        pictures, which = self.split("train"), torch.arange(min(count, len(self.train_labels)))
        return self.scorer.network_input(pictures.images(which)), pictures.labels[which.to(self.device)]

    @property
    def built(self) -> str:
        """16 hex digits that name the tensors of the trained module and the shape of its images."""
        tensors = [(name, tuple(tensor.shape)) for name, tensor in self.model.state_dict().items()]
        return structure_digest(tensors, (self.data.channels, *self.arch.sides))[:16]

    @property
    def seconds(self) -> float:
        """Seconds of training so far, those before a resume included."""
        return time.perf_counter() - self.started

    def weights(self) -> dict[str, torch.Tensor]:
        """Returns the averaged weights under the network's own names, on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.average.module.state_dict().items()}
