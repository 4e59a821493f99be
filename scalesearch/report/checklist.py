"""The checklist for research on architecture search, answered from a run's own data.

Source: Lindauer & Hutter, Best Practices for Scientific Research on Neural Architecture Search (JMLR 21:243, 2020);
its questions are put in our own words.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from scalesearch.errors import format_count
from scalesearch.study import Info

Verdict = Literal["yes", "partly", "no"]
ROWS = 10  # steps of which the hours are listed


@dataclass(frozen=True)
class Answer:
    """Holds one question of the checklist and its answer.

    Attributes:
        part: The part of the checklist: what is released, how methods are compared, what is reported.
        question: The question in a few words.
        verdict: Whether the run does it.
        text: How, or what would do it.
    """

    part: str
    question: str
    verdict: Verdict
    text: str


def checklist(info: Info) -> list[Answer]:
    """Returns the answers for a study that trains; none for a study of a table."""
    if info.recipe is None or info.data is None:
        return []
    return [*_released(info), *_compared(info), *_reported(info)]


def _released(info: Info) -> Iterator[Answer]:
    part, version = "what is released", info.environment["versions"].get("scalesearch", "")
    seeds = ", ".join(map(str, info.document.get("seeds", [0])))
    searchers = "; ".join(f"{title}: {name}" for title, name in info.searchers.items())
    yield Answer(part, "the code that trains the final networks", "yes", f"scalesearch {version}, open source")
    yield Answer(part, "the search space", "yes", "it stands in the study below")
    yield Answer(part, "hyperparameters and seeds of the final trainings", "yes", f"the recipe below; seeds {seeds}")
    yield Answer(part, "the code of the search", "yes", f"scalesearch {version} ({searchers})")
    yield Answer(part, "hyperparameters and seeds of the search", "yes", "the study below; `verify` derives it again")


def _compared(info: Info) -> Iterator[Answer]:
    part, found, document = "how it is compared", info.conclusions, info.document
    comparison = document.get("compare")
    recipes = comparison.get("recipes", []) if isinstance(comparison, dict) else []
    several = f", the hand-built ones also under {', '.join(recipes)} (the better is shown)" if recipes else ""
    yield Answer(
        part, "all methods on the same data, splits, space and training", "yes", f"one data set and recipe{several}"
    )
    yield Answer(
        part,
        "nothing else differs: hardware, versions, time",
        "yes",
        "all trainings belong to this run; its versions and machine stand below",
    )
    ablated = list(dict.fromkeys(a.part for a in found.get("ablations", [])))
    yield Answer(
        part,
        "ablations",
        "yes" if len(ablated) > 1 else "partly" if ablated else "no",
        f"the family without {', without '.join(ablated)}" if ablated else "add `ablate: [search, finalists, scale]`",
    )
    yield Answer(
        part, "one protocol of evaluation", "yes", "the test split is used once, for networks chosen by validation"
    )
    yield Answer(
        part,
        "performance over time",
        "yes" if found.get("searches_progress") else "partly",
        "the front over the minutes of training"
        if found.get("searches_progress")
        else "scores over trials; `search_seeds` adds fronts over minutes",
    )
    random = found.get("random")
    yield Answer(
        part,
        "against random search",
        "yes" if random else "no",
        f"{random.drawn} random networks, trained as the search trains" if random else "add `control: {}`",
    )
    searches, seeds = found.get("searches_by_seed"), len(document.get("seeds", [0]))
    final = f"final networks are trained with {format_count(seeds, 'seed')}"
    more = f"{len(searches.searches)} whole searches" if searches else "one search: add `search_seeds: [0, 1, 2]`"
    verdict: Verdict = "yes" if searches else "partly" if seeds > 1 else "no"
    yield Answer(part, "several runs, with their seeds", verdict, f"{final}; {more}")
    scaled = bool(found.get("equal_macs"))
    yield Answer(
        part,
        "known networks at the same cost (ours; the paper does not ask)",
        "yes" if scaled else "no",
        "each scaled to every member's MACs" if scaled else "add `compare: {networks: […], scaled: true}`",
    )
    yield Answer(
        part,
        "in depth on tables of trained networks",
        "no",
        "not part of a run; the project's benchmarks have the searcher's results on NAS-Bench-201 and NAS-Bench-Macro",
    )


def _reported(info: Info) -> Iterator[Answer]:
    part, seconds = "what is reported", dict.fromkeys(info.counts, 0.0)
    for trial in info.trials:
        seconds[trial["step"]] += trial["seconds"]
    largest = sorted(((value, step) for step, value in seconds.items() if value), reverse=True)[:ROWS]
    hours = ", ".join(f"{step} {value / 3600:.2f} h" for value, step in largest)
    yield Answer(
        part,
        "how hyperparameters were tuned, at what price",
        "partly",
        "the presets of recipes were chosen on CIFAR-10 (the project's benchmarks); changes stand in the study; "
        "what was tried before this run is not known to it",
    )
    yield Answer(
        part, "the time of everything", "yes", f"{info.seconds / 3600:.2f} h in all; trainings, added up: {hours}"
    )
    yield Answer(part, "the whole setup", "yes", "study, recipe, data, versions and machine stand below")
