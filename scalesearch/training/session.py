"""The training of one job, epoch by epoch: it is saved on the way, so that a kill costs seconds."""

from __future__ import annotations

import gc
import json
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from safetensors import safe_open
from safetensors.torch import load_file

from scalesearch.arch import expand
from scalesearch.data import Mark, drawing_uri
from scalesearch.files import atomic_write, save_tensors, save_text, stamp
from scalesearch.network import Network, build, measure
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.training.pictures import Normalisation
from scalesearch.training.team import SINGLE_PROCESS, Team
from scalesearch.training.trainer import Trainer, TrainingFailed
from scalesearch.training.untrained import untrained_reason
from scalesearch.training.zero_cost import BATCH, proxies
from scalesearch.trials import ExecutionInfo, FileStamp, Job, Outcome, Place, Progress

if TYPE_CHECKING:
    from scalesearch.training.training import Training

INIT = "init"  # the file of `weights/` that trainings start from
POLL_SECONDS = 0.5  # seconds between two checks of whether to stop


class Stopped(Exception):
    """Says that the training was asked to stop, and has been saved."""


class Session:
    """The training of one job, from epoch `job.start`, which a checkpoint holds, to epoch `job.until`.

    On the way it is saved in a file of its own, from which the same job goes on after a kill; whoever logs
    the outcome removes that file. If the training has `init`, a job without a parent starts from
    `weights/init.safetensors`, as far as names and shapes fit.

    Args:
        job: What is trained.
        place: The run's folder and this worker's resources.
        training: The evaluator that the job is of.
        team: The processes that train together.
    """

    def __init__(self, job: Job, place: Place, training: Training, team: Team = SINGLE_PROCESS):
        torch.set_num_threads(max(1, place.threads // team.size))
        gc.collect()  # frees what this process's previous training has held
        device = "cuda" if place.gpu and torch.cuda.is_available() else "cpu"
        if device == "cuda":
            torch.cuda.empty_cache()
        self.job, self.place, self.init = job, place, training.init
        self.timed = training.timed and not place.gpu
        self.history: list[dict[str, float]] = []
        self.weights_stamp: ExecutionInfo = {}
        self.ended = not job.until
        arch, recipe = job.arch_and_recipe
        normal, teacher = self._normalisation(), self._teacher()
        self.trainer = Trainer(
            arch, training.data, recipe, job.seed, device, training.task, normal, teacher, place.memory_share, team
        )
        names = job.proxies if not job.start else ()
        self.proxies = proxies(self.trainer.model, *self.trainer.sample(BATCH), self.trainer.plain_loss, names)
        self.trainer.inherit(self._parent())
        self._resume()
        self.saved_at = self.polled_at = time.monotonic()

    @cached_property
    def _checkpoint(self) -> Path | None:
        return self.place.folder / self.job.checkpoint if self.job.checkpoint else None

    def _weights(self, name: str) -> Path:
        return self.place.folder / "weights" / f"{name}.safetensors"

    def _parent(self) -> Mapping[str, torch.Tensor]:
        name = self.job.parent or (INIT if self.init else "")
        return load_file(self._weights(name)) if name and self._weights(name).exists() else {}

    def _teacher(self) -> Network | None:
        if self.job.teacher is None:
            return None
        teacher = build(self.job.teacher)
        teacher.load_state_dict(load_file(self.place.folder / self.job.teacher_weights))
        return teacher

    def _normalisation(self) -> Normalisation:
        """Returns the normalisation of images that the weights in `init` were trained with."""
        if not self.init or not self._weights(INIT).exists():
            return Normalisation()
        with safe_open(self._weights(INIT), "pt") as file:
            preparation = json.loads((file.metadata() or {}).get("preparation", "{}"))
        return Normalisation(tuple(preparation["mean"]), tuple(preparation["std"])) if preparation else Normalisation()

    def _resume(self) -> None:
        """Restores the state that a killed process has saved, else the checkpoint of the rung before.

        Without either the training starts at the beginning, and comes to the same result.
        """
        if not self.job.until:
            return
        state = self._read(self.place.unfinished_file(self.job.key))
        if state and state["network"] == self.job.network and state["recipe"] == self.trainer.recipe.digest:
            self.trainer.load_state(state)
            self.history, self.proxies = state["history"], state["proxies"]
            self.trainer.started -= state["seconds"]
            return
        state = self._read(self._checkpoint) if self._checkpoint is not None and self.job.start else None
        if state and state["epoch"] == self.job.start:
            self.trainer.load_state(state)

    def _read(self, path: Path) -> PlainDict | None:
        if not path.exists():
            return None
        try:
            return cast(PlainDict, torch.load(path, map_location="cpu", weights_only=True))
        except Exception:  # a truncated file counts as missing
            path.replace(path.with_suffix(".broken"))
            return None

    def _save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        job_state = {"history": self.history, "proxies": self.proxies, "network": self.job.network}
        with atomic_write(path) as temporary:
            torch.save(self.trainer.state() | job_state, temporary)

    def _save_in_time(self) -> None:
        """Saves after a step if it is time. Raises `Stopped` if the run is to stop."""
        now, stopped = time.monotonic(), False
        if now - self.polled_at >= POLL_SECONDS:
            self.polled_at, stopped = now, self.place.stop.exists()
        if stopped or now - self.saved_at >= self.place.save_every:
            self._save(self.place.unfinished_file(self.job.key))
            self.saved_at = time.monotonic()
        if stopped:
            raise Stopped

    def screen(self) -> Progress:
        """Returns the report of a job that trains nothing: its outcome has the proxies' scores."""
        return Progress(outcome={"scores": self.proxies, **self._facts()})

    def epoch(self) -> Progress:
        """Trains one epoch and returns its report, after the last one with the outcome, which has `stopped` if
        the run is to stop.
        """
        numbers: dict[str, float] = {}
        try:
            if not self.trainer.done:  # else the score stopped rising before this rung
                numbers = self.trainer.run_epoch(self._save_in_time)
                self.history.append(numbers)
            self.ended = self.trainer.epoch >= self.job.until or self.trainer.done
            if self.ended:
                return Progress(numbers, self._outcome())
            self._save_in_time()
            return Progress(numbers)
        except Stopped:
            outcome: Outcome = {"stopped": True}
        except TrainingFailed as failure:
            outcome = {"reason": str(failure), "history": self.history, **self._facts()}
        self.ended = True
        return Progress(outcome=outcome)

    def follow(self) -> None:
        """Trains in step with the leader of a team, which ends this process when it is done."""
        while True:
            self.trainer.run_epoch()

    def _outcome(self) -> Outcome:
        val_scores = self.trainer.scorer.final_scores("val")[0] if self.job.final else self.trainer.scores("val")
        self.trainer.require_finite(val_scores)
        self.trainer.require_finite_weights()
        scores = val_scores | self.proxies
        if self.job.final:
            test_scores, details = self.trainer.scorer.final_scores("test")
            self.trainer.require_finite(test_scores)
            scores |= test_scores
            self._write_details(details)
            if self.timed:
                latency = measure(self.trainer.model, self.trainer.sample(1)[0], threads=self.place.threads)
                scores["latency"] = latency.seconds
        if self.job.weights:
            path = self.place.folder / self.job.weights
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(self.trainer.weights(), path, self._metadata())
            self.weights_stamp = {"weights": FileStamp(file=self.job.weights, **stamp(path))}
        if self._checkpoint is not None and self.trainer.epoch < self.trainer.recipe.epochs:
            self._save(self._checkpoint)
        facts = self._facts()
        untrained = self._untrained_reason(val_scores)
        used: ExecutionInfo = {**facts["used"], **self.weights_stamp}
        return {"scores": scores, "untrained": untrained, "history": self.history, **facts, "used": used}

    def _untrained_reason(self, scores: Mapping[str, float]) -> str:
        """Returns why the network counts as untrained; empty if it has learned."""
        trainer = self.trainer
        chance = trainer.learner.chance(trainer.split("val").labels)
        # a continued training has the history of its last epochs alone
        return untrained_reason(trainer.task, scores, self.history if not self.job.start else [], chance)

    def _metadata(self) -> dict[str, str]:
        """Returns the metadata of the weights' file: the network, how images are prepared, and the names of
        the classes.
        """
        trainer, side = self.trainer, self.trainer.arch.resolution
        preparation = {"crop": side, "resize": side, "interpolation": "bilinear", "stored": trainer.data.size or 0}
        names = {"classes": json.dumps(trainer.data.class_names)} if trainer.data.class_names else {}
        return {
            "arch": json.dumps(trainer.arch.to_dict()),
            "norm_eps": repr(trainer.arch.norm_eps),
            "preparation": json.dumps(preparation | trainer.normal._asdict()),
            **names,
        }

    def _write_details(self, details: PlainMapping) -> None:
        """Writes the test split's details by class, which are long, into a file of the run's folder."""
        path, names = self.place.by_class(self.job.step, self.job.name, self.job.seed), self.trainer.data.class_names
        for example in details.get("shown", ()):
            example["pictures"] = self._pictures(example)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_text(json.dumps({"classes": list(names), **details}) + "\n", path)

    def _pictures(self, example: PlainMapping) -> list[str]:
        """Returns a test image drawn twice, with its true and with its found boxes, a colour for each class,
        as data URIs.
        """
        pixels = self.trainer.split("test").images(torch.tensor([example["image"]]))[0].permute(1, 2, 0).cpu().numpy()
        height, width = pixels.shape[:2]
        pictures = []
        for boxes in (example["truth"], [(c, *box) for c, _, *box in example["found"]]):
            marks = [
                Mark((x1 * width, y1 * height, (x2 - x1) * width, (y2 - y1) * height), "", c)
                for c, x1, y1, x2, y2 in boxes
            ]
            pictures.append(drawing_uri(pixels, marks))
        return pictures

    def _facts(self) -> Outcome:
        """Returns what was really built and used, read from the trainer itself."""
        trainer = self.trainer
        return {
            "network": expand(trainer.model.arch).digest,
            "built": trainer.module_digest,
            "recipe": trainer.recipe.digest,
            "inherited": round(trainer.inherited, 6),
            "images": len(trainer.train_labels),
            "seconds": round(trainer.seconds, 3),
            "used": {
                "device": trainer.device.type,
                "precision": trainer.precision,
                "micro_batch": min(trainer.micro_batch, trainer.recipe.batch_size),
                "epochs": trainer.epoch,
                "inherited": round(trainer.inherited, 6),
            },
        }
