"""A row of the comparison: one network over its seeds."""

from __future__ import annotations

from dataclasses import dataclass

from scalesearch.arch import Resolution


@dataclass(frozen=True)
class ComparedRow:
    """Holds a network of the comparison: its costs and, over its seeds, its scores on both splits."""

    name: str
    kind: str  # "family", "hand-built" or "scaled": a hand-built network scaled to a member's MACs
    resolution: Resolution
    params: int
    macs: int
    acts: int
    state: str
    seeds: int
    val: float | None
    test: float | None
    test_interval: float | None  # half the 95 % interval of the mean over seeds
    test_error: float | None  # standard error: of the seeds and of the finite test split
    seconds: float
    phi: float | None = None
    target: int | None = None
    deviation: float | None = None
    depth: float | None = None
    width: float | None = None
    on_front_macs: bool = False
    on_front_params: bool = False
    front_probability: float | None = None  # of being on the front of MACs, given the errors
    miss: str = ""  # why the MACs miss the target
    recipe: str = ""  # the best one of a hand-built network, if several
    untrained: str = ""  # why it did not train, in one seed or more
    network: str = ""  # the hand-built network that was scaled
    axis: str = ""  # by which it was scaled

    @property
    def ranked(self) -> bool:
        """Returns whether it may be a point of a front: it has a test score, and it learned."""
        return self.test is not None and not self.untrained
