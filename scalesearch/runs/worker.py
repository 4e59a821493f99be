"""What happens in a worker process: one network trained, epoch by epoch, its scores and weights handed over at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from scalesearch.arch import expand
from scalesearch.files import save_tensors
from scalesearch.network import measure
from scalesearch.training import proxies
from scalesearch.training import Recipe
from scalesearch.space import arch_from_dict
from scalesearch.training import Trainer, TrainingFailed


class Session:
    """The training of one job; `config` is plain data, as it came over the wire."""

    def __init__(self, config: dict[str, Any]):
        torch.set_num_threads(config["threads"])
        self.config, self.history = config, []
        device = "cuda" if config["gpu"] and torch.cuda.is_available() else "cpu"
        self.recipe = Recipe(**config["recipe"])
        arch = arch_from_dict(config["arch"])
        self.trainer = Trainer(arch, config["data"], self.recipe, config["seed"], device)
        self.proxies = proxies(self.trainer.model, *self.trainer.splits["train"], config["proxies"]) if config["proxies"] else {}
        self.trainer.inherit(_tensors(config["parent"]))
        self.checkpoint = Path(config["checkpoint"]) if config["checkpoint"] else None
        self._go_on()

    def _go_on(self) -> None:
        """From the checkpoint of the rung before; without it, from the beginning, which comes to the same."""
        if self.checkpoint is None or not self.config["from"] or not self.checkpoint.exists():
            return
        state = torch.load(self.checkpoint, map_location=self.trainer.device, weights_only=True)
        if state["epoch"] == self.config["from"]:
            self.trainer.go_on_from(state)

    def step(self) -> dict[str, Any]:
        """One epoch: its numbers, and after the last one the outcome, as JSON since Tune takes mappings apart."""
        if not self.config["until"]:
            return {"done": True, "outcome": json.dumps({"scores": self.proxies, **self._facts()})}
        try:
            numbers = self.trainer.run_epoch()
        except TrainingFailed as failure:
            return {"done": True, "outcome": json.dumps({"reason": str(failure), "history": self.history, **self._facts()})}
        self.history.append(numbers)
        if self.trainer.epoch < self.config["until"]:
            return {**numbers, "done": False}
        return {**numbers, "done": True, "outcome": json.dumps(self._outcome())}

    def _outcome(self) -> dict[str, Any]:
        scores = self.trainer.scores("val") | self.proxies
        if self.config["final"]:
            scores |= self.trainer.scores("test")
        if self.config["latency"]:
            scores["latency"] = measure(self.trainer.model, self.trainer.example, threads=self.config["threads"]).seconds
        if self.config["weights"]:
            path = Path(self.config["weights"])
            path.parent.mkdir(parents=True, exist_ok=True)
            save_tensors(self.trainer.weights(), path)
        if self.checkpoint is not None and not self.trainer.done:
            self._keep_checkpoint(self.checkpoint)
        return {"scores": scores, "history": self.history, **self._facts()}

    def _keep_checkpoint(self, path: Path) -> None:
        """Whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        torch.save(self.trainer.checkpoint(), temporary)
        temporary.replace(path)

    def _facts(self) -> dict[str, Any]:
        """What was really built and used, told by the things themselves."""
        return {"network": expand(self.trainer.model.arch).digest, "built": self.trainer.built, "recipe": self.trainer.recipe.digest,
                "inherited": round(self.trainer.inherited, 6), "images": len(self.trainer.splits["train"][1]),
                "seconds": round(self.trainer.seconds, 3)}


def _tensors(path: str | None) -> dict[str, torch.Tensor]:
    if not path or not Path(path).exists():
        return {}
    from safetensors.torch import load_file

    return load_file(path)
