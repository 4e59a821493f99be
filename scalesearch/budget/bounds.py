"""Budgets: hard bounds on the counted and measured costs of a network, parsed and checked before any training."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from scalesearch.arch import Arch, expand, format_sides
from scalesearch.counting import Cost, DeviceProfile, cost, cost_or_none, peak_memory, read_profile
from scalesearch.errors import Faults, InputError, format_value, unknown_message
from scalesearch.plain_data import PlainMapping
from scalesearch.signature import is_number
from scalesearch.zoo import Networks

COUNTED_QUANTITIES = ("macs", "params", "acts", "size")  # sums over blocks; known in microseconds
QUANTITIES = (*COUNTED_QUANTITIES, "memory", "latency")
MAX_AMOUNT = 1e30  # of any amount
FLOAT_BYTES = 4  # bytes of a parameter; `size` is that of float32 weights
UNITS = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
BYTES = {"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
SECONDS = {"s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6}
NUMBER = r"(\d[\d_]*\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*"
AMOUNT = re.compile(NUMBER + r"([a-zA-Zµ]*)")
MULTIPLE = re.compile(NUMBER + r"[x×]\s*([A-Za-z_][\w.]*)")


@dataclass(frozen=True)
class Bound:
    """Holds one closed interval: `low` ≤ quantity ≤ `high`."""

    low: float = 0.0
    high: float = math.inf

    def excess(self, value: float) -> float:
        """Returns by what factor `value` lies outside the bound; at most 1 where it is inside."""
        return max(value / self.high, self.low / max(value, 1e-30))

    def admits(self, value: float) -> bool:
        """Returns whether `value` lies inside the bound, both ends included."""
        return self.low <= value <= self.high


ReferenceQuantity = Callable[[str, str], float]  # ("resnet18", "macs") → what that network counts


def parse_bound(value: object, quantity: str, reference: ReferenceQuantity | None = None) -> Bound:
    """Parses one bound as people write it.

    Args:
        value: A positive number, or text such as `600M`, `≤ 600M`, `≥ 1M`, `570M..630M`, `600M ± 2%` or `2x
            resnet18 ± 2%`. An amount alone is an upper bound. Latencies need a unit (`5ms`).
        quantity: One of `QUANTITIES`; it decides which units are accepted.
        reference: Looks up what the network in `2x NAME` costs; without it such bounds are refused.

    Raises:
        InputError: If `value` is anything else.
    """
    if is_number(value) and 0 < value < MAX_AMOUNT and quantity != "latency":
        return Bound(high=value)
    if not isinstance(value, str):
        raise _unreadable(value, quantity)
    text = value.strip()

    def read(part: str) -> float:
        return _amount(part.strip(), quantity, reference, value)

    if match := re.fullmatch(r"(≤|<=|≥|>=)(.*)", text):
        return Bound(high=read(match[2])) if match[1] in ("≤", "<=") else Bound(low=read(match[2]))
    if ".." in text:
        low, high = map(read, text.split("..", 1))
        if low > high:
            raise InputError(f"the lower bound is above the upper, got {format_value(value)}", quantity)
        return Bound(low, high)
    if match := re.fullmatch(r"(.*?)(?:±|\+-|\+/-)\s*(\d+\.?\d*|\.\d+)\s*%", text):
        centre, share = read(match[1]), min(1.0, float(match[2]) / 100)
        return Bound(centre * (1 - share), centre * (1 + share))
    return Bound(high=read(text))


def _amount(text: str, quantity: str, reference: ReferenceQuantity | None, original: object) -> float:
    if (match := MULTIPLE.fullmatch(text)) and reference is not None:
        factor = float(match[1].replace("_", ""))
        if not 0 < factor < MAX_AMOUNT:
            raise _unreadable(original, quantity)
        return factor * reference(match[2], quantity)
    match = AMOUNT.fullmatch(text)
    units = {"memory": BYTES | UNITS, "size": BYTES | UNITS, "latency": SECONDS}.get(quantity, UNITS)
    if not match or match[2] not in units:
        raise _unreadable(original, quantity)
    value = float(match[1].replace("_", "")) * units[match[2]]
    if not 0 < value < MAX_AMOUNT:
        raise _unreadable(original, quantity)
    return value


def _unreadable(value: object, quantity: str) -> InputError:
    example = {"memory": "64MB", "size": "20MB", "latency": "5ms"}.get(quantity, "600M")
    return InputError(
        f"takes {example}, ≤ {example}, ≥ …, a range as 570M..630M, a band as 600M ± 2% or 2x NAME ± 2%"
        f"{'' if example == '600M' else f' (here with {example[-2:]})'}; got {format_value(value)}",
        quantity,
    )


@dataclass(frozen=True)
class Budget:
    """Holds hard bounds by quantity.

    Quantities are `macs`, `params` and `acts` (counted), `size` (bytes of float32 weights), `memory` (peak bytes
    of activations for one image) and `latency` (seconds, predicted by `profile`).
    """

    bounds: Mapping[str, Bound] = field(default_factory=dict)
    profile: DeviceProfile | None = None

    @classmethod
    def at_most(cls, **amounts: float) -> Budget:
        """Builds a budget of upper bounds alone: `Budget.at_most(macs=600e6)`."""
        return cls({key: Bound(high=amount) for key, amount in amounts.items()})

    @property
    def max_macs(self) -> float:
        """Returns the upper bound on MACs; infinite where there is none."""
        return self.bounds["macs"].high if "macs" in self.bounds else math.inf

    def __and__(self, other: Budget) -> Budget:
        """Returns the intersection of two budgets.

        Raises:
            InputError: If no amount of some quantity satisfies both bounds.
        """
        bounds = dict(self.bounds)
        for key, second in other.bounds.items():
            first = bounds.get(key, Bound())
            bounds[key] = Bound(max(first.low, second.low), min(first.high, second.high))
            if bounds[key].low > bounds[key].high:
                raise InputError(
                    f"no amount is in both {_format_bound(key, first)} and {_format_bound(key, second)}", key
                )
        return Budget(bounds, self.profile or other.profile)

    def admits_cost(self, cost: Cost) -> bool:
        """Returns whether `cost` meets the bounds on counted quantities; other bounds are not checked."""
        return all(b.admits(quantity_of(cost, key)) for key, b in self.bounds.items() if key in COUNTED_QUANTITIES)

    def admits(self, arch: Arch) -> bool:
        """Returns whether `arch` is a valid network inside every bound; cheap bounds are checked first."""
        cost = cost_or_none(arch)
        if cost is None or not self.admits_cost(cost):
            return False
        return all(b.admits(self.measure(arch, key)) for key, b in self.bounds.items() if key not in COUNTED_QUANTITIES)

    def measure(self, arch: Arch, key: str) -> float:
        """Returns the quantity `key` of a valid network: a count, bytes (`size`, `memory`) or seconds (`latency`)."""
        if key == "memory":
            return peak_memory(arch)
        if key == "latency":
            assert self.profile is not None, "checked when the budget was read"
            return self.profile.predict(expand(arch))
        return quantity_of(cost(arch), key)

    def excess(self, arch: Arch) -> float:
        """Returns by what factor `arch` lies outside its worst bound.

        It is at most 1 inside the budget and infinite if `arch` is no valid network.
        """
        if cost_or_none(arch) is None:
            return math.inf
        return max((b.excess(self.measure(arch, key)) for key, b in self.bounds.items()), default=0.0)

    def check_measurable(self, keys: Sequence[str]) -> None:
        """Checks that every key is a quantity this budget can measure.

        Raises:
            InputError: If a key is no quantity, or is latency and the budget has no device profile.
        """
        for key in keys:
            if key not in QUANTITIES:
                raise InputError(unknown_message("quantity", key, QUANTITIES))
            if key == "latency" and self.profile is None:
                raise InputError('latency needs "device" in the budget, the profile of the device it is meant on')

    def penalty(self, arch: Arch) -> float:
        """Returns the sum over all bounds of the log of the factor by which `arch` exceeds them.

        It is 0 inside the budget and infinite if `arch` is no valid network.
        """
        if cost_or_none(arch) is None:
            return math.inf
        return sum(math.log(max(1.0, b.excess(self.measure(arch, key)))) for key, b in self.bounds.items())

    def __str__(self) -> str:
        return ", ".join(_format_bound(key, b) for key, b in self.bounds.items())


def quantity_of(cost: Cost, key: str) -> float:
    """Returns the counted quantity `key` of a cost; `size` is in bytes of float32 weights."""
    return cost.params * FLOAT_BYTES if key == "size" else getattr(cost, key)


def _format_bound(key: str, b: Bound) -> str:
    low, high = format_amount(key, b.low), format_amount(key, b.high)
    if b.low <= 0:
        return f"{key} ≤ {high}"
    return f"{key} ≥ {low}" if b.high == math.inf else f"{low} ≤ {key} ≤ {high}"


def format_amount(key: str, value: float) -> str:
    """Returns an amount as text with its unit: `12.5 ms`, `1,024 B`, `600,000,000`."""
    if key == "latency":
        return f"{value * 1000:.4g} ms"
    return f"{value:,.0f}" + (" B" if key in ("memory", "size") else "")


def reference_quantities(networks: Mapping[str, Arch], base: Arch | None = None) -> ReferenceQuantity:
    """Returns the lookup that resolves bounds such as `2x NAME`: name and quantity to an amount.

    Args:
        networks: Networks by name.
        base: The network that the name `base` stands for, if any.

    Returns:
        A function of name and quantity. It raises `InputError` for unknown names, for latency, and for networks
        whose resolution is too small for their strides.
    """
    aliases = {"base": base} if base else {}

    def quantity(name: str, key: str) -> float:
        if name not in networks and name not in aliases:
            raise InputError(unknown_message("network", name, [*aliases, *networks]), key)
        if key == "latency":
            raise InputError(f"takes 5ms; it cannot be a multiple of {name}", key)
        arch = aliases.get(name) or networks[name]
        if cost_or_none(arch) is None:
            raise InputError(
                f"{name} is no valid network at {format_sides(arch.resolution)} pixels, too few for its strides", key
            )
        return Budget().measure(arch, key)

    return quantity


def budget_from_dict(data: PlainMapping, reference: ReferenceQuantity | None = None) -> Budget:
    """Builds a budget from a mapping of quantities to bounds, as a study writes it.

    Args:
        data: Bounds by quantity; `device` is a device profile or the name of its file, which `latency` needs.
        reference: Resolves bounds such as `2x NAME`; by default the zoo's networks as published.

    Raises:
        InputError: Located at the quantity that is wrong.
    """
    reference = reference or reference_quantities(Networks())
    if not isinstance(data, Mapping):
        raise InputError(f'takes bounds by quantity, such as {{"macs": "600M"}}, got {format_value(data)}', "budget")
    faults, bounds = Faults(), {}
    for key, value in data.items():
        with faults.part():
            if key not in (*QUANTITIES, "device"):
                raise InputError(unknown_message("quantity", key, (*QUANTITIES, "device")), str(key))
            if key != "device" and value is not None:
                bounds[key] = parse_bound(value, key, reference)
    faults.check()
    if "latency" in bounds and not data.get("device"):
        raise InputError(
            'needs "device", the profile of the device it is meant on; `scalesearch profile` makes one', "latency"
        )
    profile = read_profile(data["device"]) if data.get("device") else None
    return Budget(bounds, profile)
