"""Neural architecture search and compound scaling of convolutional networks, inside hard compute budgets.

    import scalesearch as ss
    arch = ss.load("resnet50", resolution=160, classes=10)
    ss.cost(arch).macs, ss.build(arch), ss.scale(arch, depth=1.2, width=1.1, resolution=1.15)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scalesearch.arch import Arch as Arch
    from scalesearch.counting import Cost as Cost
    from scalesearch.counting import cost as cost
    from scalesearch.domains import choice as choice
    from scalesearch.domains import span as span
    from scalesearch.errors import InputError as InputError
    from scalesearch.expansion import expand as expand
    from scalesearch.feasibility import Feasible as Feasible
    from scalesearch.feasibility import certify as certify
    from scalesearch.loading import load as load
    from scalesearch.loop import run as run
    from scalesearch.memory import peak_memory as peak_memory
    from scalesearch.network import build as build
    from scalesearch.scaling import scale as scale
    from scalesearch.scaling import scale_to as scale_to
    from scalesearch.schema import load_space as load_space
    from scalesearch.schema import space_from_dict as space_from_dict
    from scalesearch.searching import search as search
    from scalesearch.space import Space as Space
    from scalesearch.study import Study as Study
    from scalesearch.study import load_study as load_study
    from scalesearch.weights import load_weights as load_weights

__version__ = "0.1.0"

# Where each name lives; imported when first asked for, so that counting costs no torch and training no Ray.
_HOMES = {
    "Arch": "arch", "Cost": "counting", "cost": "counting", "choice": "domains", "span": "domains", "InputError": "errors",
    "expand": "expansion", "load": "loading", "run": "loop", "peak_memory": "memory", "build": "network", "scale": "scaling",
    "scale_to": "scaling", "Feasible": "feasibility", "certify": "feasibility", "search": "searching", "load_space": "schema", "space_from_dict": "schema", "Space": "space", "Study": "study",
    "load_study": "study", "load_weights": "weights",
}  # fmt: skip
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'scalesearch' has no attribute '{name}'")
    return getattr(importlib.import_module(f"scalesearch.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
