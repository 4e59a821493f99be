"""Budgets: hard bounds on what a network counts or takes, as a person writes them, checked before any training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scalesearch.arch import Arch, expand, sized
from scalesearch.counting import Cost, DeviceProfile, cost, peak_memory, possible_cost, profile_in
from scalesearch.errors import InputError, shown, unknown
from scalesearch.zoo import Networks

COUNTED = ("macs", "params", "acts", "size")  # sums over blocks; known in microseconds
QUANTITIES = (*COUNTED, "memory", "latency")
MOST = 1e30  # of any amount
FLOAT = 4  # bytes of a parameter; `size` is that of float32 weights
UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
BYTES = {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SECONDS = {"s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
NUMBER = r"(\d[\d_]*\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*"
AMOUNT = re.compile(NUMBER + r"([a-zA-Zµ]*)")
MULTIPLE = re.compile(NUMBER + r"[x×]\s*([A-Za-z_][\w.]*)")


@dataclass(frozen=True)
class Bound:
    """`low` ≤ quantity ≤ `high`."""

    low: float = 0.0
    high: float = math.inf

    def excess(self, value: float) -> float:
        """How many times outside: at most 1 where `value` is inside."""
        return max(value / self.high, self.low / max(value, 1e-30))

    def admits(self, value: float) -> bool:
        return self.low <= value <= self.high


Relative = Callable[[str, str], float]  # ("resnet18", "macs") → what that network counts


def bound(value: Any, quantity: str, relative: Relative | None = None) -> Bound:
    """The bound that `600M`, `≤ 600M`, `≥ 1M`, `570M..630M`, `600M ± 2%` or `2x resnet18 ± 2%` asks for.

    A lone amount is the most. Raises `InputError` for anything else.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < MOST and quantity != "latency":
        return Bound(high=value)
    if not isinstance(value, str):
        raise _unreadable(value, quantity)
    text = value.strip()

    def read(part):
        return _amount(part.strip(), quantity, relative, value)

    if match := re.fullmatch(r"(≤|<=|≥|>=)(.*)", text):
        return Bound(high=read(match[2])) if match[1] in ("≤", "<=") else Bound(low=read(match[2]))
    if ".." in text:
        low, high = map(read, text.split("..", 1))
        if low > high:
            raise InputError(f"the lower bound is above the upper, got {shown(value)}", quantity)
        return Bound(low, high)
    if match := re.fullmatch(r"(.*?)(?:±|\+-|\+/-)\s*(\d+\.?\d*|\.\d+)\s*%", text):
        middle, share = read(match[1]), min(1.0, float(match[2]) / 100)
        return Bound(middle * (1 - share), middle * (1 + share))
    return Bound(high=read(text))


def _amount(text: str, quantity: str, relative: Relative | None, whole: Any) -> float:
    if (match := MULTIPLE.fullmatch(text)) and relative is not None:
        times = float(match[1].replace("_", ""))
        if not 0 < times < MOST:
            raise _unreadable(whole, quantity)
        return times * relative(match[2], quantity)
    match = AMOUNT.fullmatch(text)
    units = {"memory": BYTES | UNITS, "size": BYTES | UNITS, "latency": SECONDS}.get(quantity, UNITS)
    if not match or match[2] not in units or (quantity == "latency" and not match[2]):
        raise _unreadable(whole, quantity)
    value = float(match[1].replace("_", "")) * units[match[2]]
    if not 0 < value < MOST:
        raise _unreadable(whole, quantity)
    return value


def _unreadable(value: Any, quantity: str) -> InputError:
    example = {"memory": "64MB", "size": "20MB", "latency": "5ms"}.get(quantity, "600M")
    return InputError(
        f"takes {example}, ≤ {example}, ≥ …, a range as 570M..630M, a band as 600M ± 2% or 2x NAME ± 2%"
        f"{'' if example == '600M' else f' (here with {example[-2:]})'}; got {shown(value)}",
        quantity,
    )


@dataclass(frozen=True)
class Budget:
    """Hard bounds by quantity: `macs`, `params`, `acts` (counted), `size` (bytes of float32 weights), `memory` (peak
    bytes of activations, one image) and `latency` (seconds, by the profile of a named device)."""

    bounds: Mapping[str, Bound] = field(default_factory=dict)
    profile: DeviceProfile | None = None

    @classmethod
    def at_most(cls, **amounts: float) -> Budget:
        return cls({key: Bound(high=amount) for key, amount in amounts.items()})

    @property
    def most_macs(self) -> float:
        return self.bounds["macs"].high if "macs" in self.bounds else math.inf

    def __and__(self, other: Budget) -> Budget:
        """Both. Raises `InputError` where no amount of a quantity is in both its bounds."""
        bounds = dict(self.bounds)
        for key, there in other.bounds.items():
            here = bounds.get(key, Bound())
            bounds[key] = Bound(max(here.low, there.low), min(here.high, there.high))
            if bounds[key].low > bounds[key].high:
                raise InputError(f"no amount is in both {_said(key, here)} and {_said(key, there)}", key)
        return Budget(bounds, self.profile or other.profile)

    def counted(self, cost: Cost) -> bool:
        """Whether the bounds on counted quantities hold."""
        return all(b.admits(quantity_of(cost, key)) for key, b in self.bounds.items() if key in COUNTED)

    def admits(self, arch: Arch) -> bool:
        """Whether `arch` is a network and inside every bound; the cheap bounds first."""
        cost = possible_cost(arch)
        if cost is None or not self.counted(cost):
            return False
        return all(b.admits(self.measure(arch, key)) for key, b in self.bounds.items() if key not in COUNTED)

    def measure(self, arch: Arch, key: str) -> float:
        """One quantity of a network that is one."""
        if key == "memory":
            return peak_memory(arch)
        if key == "latency":
            assert self.profile is not None, "checked when the budget was read"
            return self.profile.predict(expand(arch))
        return quantity_of(cost(arch), key)

    def excess(self, arch: Arch) -> float:
        """How many times outside the worst bound; at most 1 inside, infinite where it is no network."""
        if possible_cost(arch) is None:
            return math.inf
        return max((b.excess(self.measure(arch, key)) for key, b in self.bounds.items()), default=0.0)

    def check_measurable(self, keys: Sequence[str]) -> None:
        """Raises `InputError` for a key that is no quantity, and for latency where there is no profile to tell it."""
        for key in keys:
            if key not in QUANTITIES:
                raise InputError(unknown("quantity", key, QUANTITIES))
            if key == "latency" and self.profile is None:
                raise InputError('latency needs "device" in the budget, the profile of the device it is meant on')

    def penalty(self, arch: Arch) -> float:
        """How far outside all bounds together, in logarithms; 0 inside, infinite where it is no network."""
        if possible_cost(arch) is None:
            return math.inf
        return sum(math.log(max(1.0, b.excess(self.measure(arch, key)))) for key, b in self.bounds.items())

    def __str__(self) -> str:
        return ", ".join(_said(key, b) for key, b in self.bounds.items())


def quantity_of(counted: Cost, key: str) -> float:
    return counted.params * FLOAT if key == "size" else getattr(counted, key)


def _said(key: str, b: Bound) -> str:
    if b.low <= 0:
        return f"{key} ≤ {amount_of(key, b.high)}"
    return (
        f"{key} ≥ {amount_of(key, b.low)}"
        if b.high == math.inf
        else (f"{amount_of(key, b.low)} ≤ {key} ≤ {amount_of(key, b.high)}")
    )


def amount_of(key: str, value: float) -> str:
    """A quantity as people read it, with its unit."""
    if key == "latency":
        return f"{value * 1000:.4g} ms"
    return f"{value:,.0f}" + (" B" if key in ("memory", "size") else "")


def relative_to(networks: Mapping[str, Arch], base: Arch | None = None) -> Relative:
    """What a bound as `2x NAME` is relative to: the quantity of the network `NAME`, or of `base` where there is one."""
    known = {"base": base} if base else {}

    def quantity(name: str, key: str) -> float:
        if name not in networks and name not in known:
            raise InputError(unknown("network", name, [*known, *networks]), key)
        if key == "latency":
            raise InputError(f"takes 5ms; multiples of {name} are of what is counted", key)
        arch = known.get(name) or networks[name]
        if possible_cost(arch) is None:
            raise InputError(f"{name} is no network at {sized(arch.resolution)} pixels, too few for its strides", key)
        return Budget().measure(arch, key)

    return quantity


def budget_of(data: Mapping[str, Any], relative: Relative | None = None) -> Budget:
    """The budget of a mapping as a study has it; `device` is the profile that `latency` is told by, or its file.

    Bounds as `2x NAME` are relative to the zoo's networks as they were published, or to what `relative` says. Raises
    `InputError` placed at the quantity.
    """
    relative = relative or relative_to(Networks())
    for key in data:
        if key not in (*QUANTITIES, "device"):
            raise InputError(unknown("quantity", key, (*QUANTITIES, "device")), str(key))
    bounds = {key: bound(value, key, relative) for key, value in data.items() if key != "device" and value is not None}
    if "latency" in bounds and not data.get("device"):
        raise InputError(
            'needs "device", the profile of the device it is meant on; `scalesearch profile` makes one', "latency"
        )
    profile = profile_in(data["device"]) if data.get("device") else None
    return Budget(bounds, profile)
