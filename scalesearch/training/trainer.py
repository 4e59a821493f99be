"""Training of one network under a recipe, epoch by epoch."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping
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
from scalesearch.training.norms import batch_norms, measure_norms
from scalesearch.training.optimizing import build_optimizer, build_schedule
from scalesearch.training.pictures import Normalisation, Pictures
from scalesearch.training.precision import autocast, choose_precision
from scalesearch.training.progressive import resolutions
from scalesearch.training.scoring import Scorer
from scalesearch.training.team import SINGLE_PROCESS, Team
from scalesearch.trials import TASKS, Recipe, Task, grown_rate, levels

NORMAL = Normalisation()
# Largest share of a training's time that validation takes; a training step costs three forward passes.
VALIDATION_SHARE = 0.05
# Of a saved state: attributes that are plain data, and those that have a state of their own.
NORM_BATCH = 256  # images at a time on which the statistics of norms are measured
PLAIN_STATE = ("epoch", "position", "best", "best_epoch", "micro_batch")
OWN_STATE = ("model", "average", "optimizer", "schedule", "scaler")


def inherit(model: nn.Module, parent: Mapping[str, torch.Tensor]) -> float:
    """Copies the tensors of `parent` whose name and shape are the model's; returns their share of its
    parameters, in [0, 1].
    """
    state = model.state_dict()
    shared = {name: tensor for name, tensor in parent.items() if name in state and state[name].shape == tensor.shape}
    model.load_state_dict(shared, strict=False)

    shared_size, size = (sum(tensor.numel() for tensor in tensors.values()) for tensors in (shared, state))
    return shared_size / max(1, size)


class TrainingFailed(RuntimeError):
    """Says that a training cannot go on; the message says why and where."""


class Trainer:
    """Trains one network epoch by epoch; what is scored is the exponential average of its weights.

    Equal arch, data, recipe, seed and device give equal numbers, also if a training goes on from a saved state.

    Args:
        arch: The network.
        data: The images and labels.
        recipe: How it is trained.
        seed: Of all random numbers.
        device: `cpu` or `cuda`.
        task: What the network is for.
        normal: How the network's input is normalised.
        teacher: The network that it learns from beside the labels, if any.
        share: The share of the free memory that may be used, in [0, 1].
        team: The processes that train together.
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
        team: Team = SINGLE_PROCESS,
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
        self.epoch = self.position = self.best_epoch = 0  # finished epochs, and finished steps of the current one
        self.order, self.total = torch.empty(0, dtype=torch.int64), torch.zeros((), device=self.device)
        self.started, self.inherited = time.perf_counter(), 0.0

    def _set_up(self, arch: Arch) -> None:
        recipe = self.recipe
        self.learner.check(arch)
        self.train_labels = self.split("train").labels
        arch = self.learner.fit_head(arch, self.train_labels)
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
        self.sampling_weights = weights.cpu() if weights is not None and recipe.balance == "sampling" else None
        # An incomplete last batch is left out; every epoch is shuffled anew.
        self.steps_per_epoch = max(1, int(len(self.train_labels) / recipe.batch_size))
        self.steps = recipe.epochs * self.steps_per_epoch
        free = round(self.share * free_bytes(self.device))
        self.micro_batch = self.team.min_over_processes(largest_batch(self.arch, recipe, free))
        self.precision = choose_precision(self.device, recipe.precision, self.arch)
        half_precision = self.precision == "fp16" and self.device.type != "cpu"
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=half_precision)
        self.resolutions = resolutions(self.arch, recipe)
        self.optimizer = build_optimizer(self.model, recipe)
        self.schedule = build_schedule(self.optimizer, recipe, self.steps, len(levels(len(self.model.stages))))
        decay = max(0.0, 1 - 1 / max(1.0, recipe.ema_span * self.steps))
        self.average = AveragedModel(self.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
        self.parallel_model = self.team.wrap_model(self.model, self.device)
        self.augmentation = Augmentation(recipe, self.data.mirror, self.task.letterbox)
        self.scorer = Scorer(self.average, self.arch, self.learner, recipe, self.normal, self.split, self.device)

    def split(self, name: str) -> Pictures:
        """Returns a split's images with their labels; of the training split only the recipe's `data_share`."""
        if name not in self._splits:
            pixels, labels = load(self.data)[name]
            labels = self.learner.labels(labels)
            count = round(len(labels) * self.recipe.data_share)
            if name == "train" and count < len(labels):
                indices = torch.randperm(len(labels), generator=torch.Generator().manual_seed(self.seed))[:count]
                pixels, labels = pixels.select(indices.numpy()), labels[indices]
            self._splits[name] = Pictures(pixels, labels, self.device)
        return self._splits[name]

    def inherit(self, parent: Mapping[str, torch.Tensor]) -> None:
        """Starts from the weights of `parent` wherever name and shape are the network's own."""
        self.inherited = inherit(self.model, parent)
        self.average.module.load_state_dict(self.model.state_dict())

    def plain_loss(self, out: torch.Tensor, labels: object) -> torch.Tensor:
        """Returns the task's loss of one output, without label smoothing."""
        return self.learner.loss(self.arch, out, labels, replace(self.recipe, label_smoothing=0.0))

    def run_epoch(self, after_step: Callable[[], None] = lambda: None) -> dict[str, float]:
        """Trains to the end of the epoch and returns its numbers: the mean loss and, if it was validated, the
        validation scores.

        Args:
            after_step: Called after every step but the last.

        Raises:
            TrainingFailed: If the loss is not finite.
        """
        self.model.train()
        self._freeze_norms()
        if self.position == 0:
            self.order = self.team.from_leader(self._shuffled_indices())
            self.total = torch.zeros((), device=self.device)
        batches = self.order[: self.steps_per_epoch * self.recipe.batch_size].split(self.recipe.batch_size)
        for batch in batches[self.position :]:
            self.total += self._step(batch)
            self.position += 1
            if self.position < len(batches):
                after_step()
        self.position, self.epoch = 0, self.epoch + 1
        mean_loss = self.team.sum_over_processes(self.total).item() / len(batches)
        if not math.isfinite(mean_loss):
            raise TrainingFailed(f"the loss became {mean_loss} in epoch {self.epoch} of {self.recipe.epochs}")
        validates = not self.team.rank and (self.done or self.epoch % self.validation_interval == 0)
        scores = self.scores("val") if validates else {}
        self.require_finite(scores)
        value = self.score.of(scores)
        if value is not None and value > self.best:
            self.best, self.best_epoch = value, self.epoch
        return {"epoch": self.epoch, "train_loss": mean_loss, **scores}

    def _shuffled_indices(self) -> torch.Tensor:
        if self.sampling_weights is not None:
            return torch.multinomial(self.sampling_weights, len(self.sampling_weights), replacement=True)
        return torch.randperm(len(self.train_labels))

    def _freeze_norms(self) -> None:
        """Puts the stages that never learn into eval mode, so that the statistics of their norms stay as they
        are.
        """
        for level in self._frozen_levels:
            self.model.get_submodule(level).eval()

    @property
    def _frozen_levels(self) -> list[str]:
        stages = len(self.model.stages)
        return levels(stages)[: self.recipe.frozen_levels(stages)]

    @property
    def validation_interval(self) -> int:
        """Returns after how many epochs the network is validated, so that it takes a small share of the
        training.
        """
        if self.recipe.patience:
            return 1
        affordable_images = 3 * VALIDATION_SHARE * self.steps_per_epoch * self.recipe.batch_size  # in an epoch
        return math.ceil((len(self.split("val")) + self._norm_images) / affordable_images)

    @property
    def _norm_images(self) -> int:
        return min(self.recipe.norm_images, len(self.train_labels))

    def _measure_norms(self) -> None:
        """Measures the statistics of the averaged network's norms again, on images that only the seed decides."""
        network, count = self.average.module, self._norm_images
        norms = batch_norms(network, self._frozen_levels)
        if not count or not norms:
            return
        order = torch.randperm(len(self.train_labels), generator=torch.Generator().manual_seed(self.seed))[:count]
        size = min(NORM_BATCH, self.scorer.max_batch)
        pictures = self.split("train")
        with autocast(self.device, self.precision):
            parts = order.tensor_split(math.ceil(count / size))
            measure_norms(network, norms, (self.scorer.network_input(pictures.images(part)) for part in parts))

    def _step(self, batch: torch.Tensor) -> torch.Tensor:
        """Trains one step on a batch and returns its loss.

        The batch is split so that its parts fit into memory; if one doesn't, parts are halved from then on.
        """
        self.team.seed_followers(self.seed, self.epoch, self.position)
        while True:
            self.optimizer.zero_grad(set_to_none=True)
            try:
                parts = self.team.parts(batch, self.micro_batch)
                loss = sum(self._backward(part, len(part) / len(batch)) for part in parts)
                break
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error) or self.team.size > 1:  # the other processes would wait forever
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
        is_late, resolution = self.epoch >= self.recipe.first_plain_epoch, self.resolutions[self.epoch]
        images, moves = self.augmentation(pictures.images(part), resolution, is_late)
        targets = self.learner.move_labels(pictures.labels[which], moves)
        if blended := self.augmentation.mixed(images):
            images, targets = blended[0], self.learner.mix_labels(targets, *blended[1:])
        weights = None if self.importance is None else self.importance[which]
        with autocast(self.device, self.precision):
            out = self.parallel_model(self.normal.of(images))
        loss = self.learner.loss(self.arch.with_(resolution=resolution), out, targets, self.recipe, weights)
        if self.teacher is not None:
            loss = loss / 2 + self.learner.distillation_loss(out, self._teacher_outputs(images)) / 2
        loss = loss * share
        self.scaler.scale(loss * self.team.size).backward()  # the team averages gradients
        return loss.detach()

    @torch.no_grad()
    def _teacher_outputs(self, images: torch.Tensor) -> Outputs:
        """Returns the teacher's outputs for the same images, resized to its own resolution."""
        assert self.teacher is not None
        sides = self.teacher.arch.sides
        has_same_size = images.shape[-2:] == sides
        resized = images if has_same_size else F.interpolate(images, sides, mode="bilinear", antialias=True)
        with autocast(self.device, self.precision):
            return cast(Outputs, self.teacher(self.normal.of(resized)))

    @property
    def done(self) -> bool:
        """Returns whether the schedule has ended, or the score has not risen for as many epochs as the
        recipe's patience.
        """
        waited = self.epoch - self.best_epoch
        return self.epoch >= self.recipe.epochs or 0 < self.recipe.patience <= waited

    def require_finite(self, scores: PlainMapping) -> None:
        """Raises `TrainingFailed` for a score that is not finite, named as people say it."""
        for name, value in scores.items():
            if not math.isfinite(value):
                split, _, measure = name.partition("_")
                title = f"{ {'val': 'validation'}.get(split, split) } {measure.replace('_', ' ')}"
                raise TrainingFailed(f"the {title} became {value} in epoch {self.epoch} of {self.recipe.epochs}")

    def require_finite_weights(self) -> None:
        """Raises `TrainingFailed` if an averaged weight is not finite."""
        for name, tensor in self.average.module.state_dict().items():
            if tensor.is_floating_point() and not torch.isfinite(tensor).all():
                raise TrainingFailed(f"{name} is not finite any more in epoch {self.epoch} of {self.recipe.epochs}")

    def scores(self, split: str) -> dict[str, float]:
        """Returns the scores of the averaged weights on a split: `{"val_loss": …}` and the task's score.

        The statistics of their norms are measured again before, where the recipe says so.
        """
        self._measure_norms()
        return self.scorer.scores(split, self.precision)

    def state(self) -> PlainDict:
        """Returns all that the training needs to go on, as tensors and plain data; on a CPU it goes on exactly
        to the bit.
        """
        generators = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            generators["cuda"] = torch.cuda.get_rng_state(self.device)
        return {
            **{name: getattr(self, name) for name in (*PLAIN_STATE, "order", "total", "seconds")},
            **{name: getattr(self, name).state_dict() for name in OWN_STATE},
            "recipe": self.recipe.digest,
            "random": generators,
        }

    def load_state(self, state: PlainMapping) -> None:
        """Restores the `state` of the same training.

        Raises:
            TrainingFailed: If the state is of another recipe.
        """
        if state["recipe"] != self.recipe.digest:
            raise TrainingFailed("the checkpoint is of another recipe")
        for part in OWN_STATE:
            getattr(self, part).load_state_dict(state[part])
        torch.set_rng_state(state["random"]["cpu"].cpu())
        if "cuda" in state["random"] and self.device.type == "cuda":
            torch.cuda.set_rng_state(state["random"]["cuda"].cpu(), self.device)
        for part in PLAIN_STATE:
            setattr(self, part, state[part])
        self.order, self.total = state["order"].cpu(), state["total"].to(self.device)

    def sample(self, count: int) -> tuple[torch.Tensor, Any]:
        """Returns the first training images as the network takes them, `(N, C, H, W)`, and their labels."""
        pictures, which = self.split("train"), torch.arange(min(count, len(self.train_labels)))
        return self.scorer.network_input(pictures.images(which)), pictures.labels[which.to(self.device)]

    @property
    def module_digest(self) -> str:
        """Returns 16 hex digits that identify the names and shapes of the module's tensors and the shape of
        its images.
        """
        tensors = [(name, tuple(tensor.shape)) for name, tensor in self.model.state_dict().items()]
        return structure_digest(tensors, (self.data.channels, *self.arch.sides))[:16]

    @property
    def seconds(self) -> float:
        """Returns the seconds of training so far, including those before a resume."""
        return time.perf_counter() - self.started

    def weights(self) -> dict[str, torch.Tensor]:
        """Returns the averaged weights under the network's own names, on the CPU."""
        return {name: tensor.detach().cpu().contiguous() for name, tensor in self.average.module.state_dict().items()}
