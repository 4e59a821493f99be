"""One job of training, epoch by epoch: its scores and weights are handed over at the end."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from scalesearch.arch import expand
from scalesearch.files import save_tensors
from scalesearch.network import measure
from scalesearch.training.recipe import Place
from scalesearch.training.trainer import Trainer, TrainingFailed
from scalesearch.training.zero_cost import proxies


class Session:
    """The training of one job: from epoch `start`, which a checkpoint holds, `until` another."""

    def __init__(self, job: Any, place: Place, data: str, task: str, timed: bool):
        torch.set_num_threads(place.threads)
        self.job, self.place, self.timed = job, place, timed and not place.gpu
        self.history: list[dict[str, float]] = []
        self.ended = not job.until
        device = "cuda" if place.gpu and torch.cuda.is_available() else "cpu"
        self.trainer = Trainer(job.arch, data, job.recipe, job.seed, device, task)
        wanted = job.proxies if not job.start else ()
        self.proxies = proxies(self.trainer.model, *self.trainer.splits["train"], self.trainer.plain_loss, wanted)
        self.trainer.inherit(self._parent())
        self._go_on()

    @cached_property
    def _checkpoint(self) -> Path | None:
        return self.place.folder / self.job.checkpoint if self.job.checkpoint else None

    def _parent(self) -> Mapping[str, torch.Tensor]:
        path = self.place.folder / "weights" / f"{self.job.parent}.safetensors"
        return load_file(path) if self.job.parent and path.exists() else {}

    def _go_on(self) -> None:
        """From the checkpoint of the rung before; without it, from the beginning, which comes to the same."""
        if self._checkpoint is None or not self.job.start or not self._checkpoint.exists():
            return
        state = torch.load(self._checkpoint, map_location=self.trainer.device, weights_only=True)
        if state["epoch"] == self.job.start:
            self.trainer.go_on_from(state)

    def screened(self) -> dict[str, Any]:
        return {"scores": self.proxies, **self._facts()}

    def epoch(self) -> dict[str, Any]:
        """One epoch's numbers, and after the last one the outcome."""
        try:
            numbers = self.trainer.run_epoch()
        except TrainingFailed as failure:
            self.ended = True
            return {"outcome": {"reason": str(failure), "history": self.history, **self._facts()}}
        self.history.append(numbers)
        self.ended = self.trainer.epoch >= self.job.until
        return {**numbers, "outcome": self._outcome()} if self.ended else numbers

    def _outcome(self) -> dict[str, Any]:
        scores = self.trainer.scores("val") | self.proxies
        if self.job.final:
            scores |= self.trainer.scores("test")
            if self.timed:
                timed = measure(self.trainer.model, self.trainer.example, threads=self.place.threads)
                scores["latency"] = timed.seconds
        if self.job.weights:
            path = self.place.folder / self.job.weights
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(self.trainer.weights(), path)
        if self._checkpoint is not None and not self.trainer.done:
            self.trainer.save(self._checkpoint)
        return {"scores": scores, "history": self.history, **self._facts()}

    def _facts(self) -> dict[str, Any]:
        """What was really built and used, told by the things themselves."""
        trainer = self.trainer
        return {"network": expand(trainer.model.arch).digest, "built": trainer.built, "recipe": trainer.recipe.digest,
                "inherited": round(trainer.inherited, 6), "images": len(trainer.splits["train"][1]),
                "seconds": round(trainer.seconds, 3)}
