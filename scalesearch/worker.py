"""What happens in a worker process: one network trained, epoch by epoch, its scores and weights handed over at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from scalesearch.export import save_weights
from scalesearch.recipe import Recipe
from scalesearch.schema import arch_from_dict
from scalesearch.train import Trainer, TrainingFailed


class Session:
    """The training of one job; `config` is plain data, as it came over the wire."""

    def __init__(self, config: dict[str, Any]):
        torch.set_num_threads(config["threads"])
        self.config, self.history = config, []
        device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
        self.trainer = Trainer(arch_from_dict(config["arch"]), config["data"], Recipe(**config["recipe"]), config["seed"], device)

    def step(self) -> dict[str, Any]:
        """One epoch: its numbers, and after the last one the outcome, as JSON since Tune takes mappings apart."""
        try:
            numbers = self.trainer.run_epoch()
        except TrainingFailed as failure:
            return {"done": True, "outcome": json.dumps({"reason": str(failure), "history": self.history, **self._time()})}
        self.history.append(numbers)
        if not self.trainer.done:
            return {**numbers, "done": False}
        return {**numbers, "done": True, "outcome": json.dumps(self._outcome())}

    def _outcome(self) -> dict[str, Any]:
        scores = self.trainer.scores("val")
        if self.config["final"]:
            scores |= self.trainer.scores("test")
        if self.config["weights"]:
            path = Path(self.config["weights"])
            path.parent.mkdir(parents=True, exist_ok=True)
            save_weights(self.trainer.weights(), path)
        return {"scores": scores, "history": self.history, **self._time()}

    def _time(self) -> dict[str, float]:
        return {"seconds": round(self.trainer.seconds, 3)}
