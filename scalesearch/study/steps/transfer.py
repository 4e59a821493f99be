"""Some of the scalings that were tried, trained at larger φ: whether the better one stays the better one."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from scalesearch.arch import expand
from scalesearch.counting import cost
from scalesearch.plain_data import PlainDict
from scalesearch.scaling import ScalingSpace, Shares, scale_to
from scalesearch.statistics import Correlation, correlation
from scalesearch.study.driver import Driver
from scalesearch.study.page import COLOURS, Figure, Info, figure, fragment, scatter
from scalesearch.study.step import Step
from scalesearch.study.steps import scale
from scalesearch.study.steps.network_jobs import evenly_spaced, job_of
from scalesearch.study.study import Study
from scalesearch.trials import Jobs, Trial

NAME = "transfer"


@dataclass(frozen=True)
class RankTransfer:
    """Holds how scalings rank at φ = 1 and at a larger φ.

    Attributes:
        phi: The larger φ.
        ranks: The rank correlation of the scores at both.
        pairs: Name, score at φ = 1 and score at the larger φ of each scaling.
    """

    phi: float
    ranks: Correlation
    pairs: tuple[tuple[str, float, float], ...]


def _larger_phis(study: Study) -> list[float]:
    return [phi for phi in study.options(scale.Options).phi if phi != 1]


def transfers(run: Driver) -> list[RankTransfer]:
    """Returns the comparison with φ = 1 for each larger φ that was tried."""

    def raw(trial: Trial) -> float:
        return run.study.evaluator.score.orient(run.score(trial))

    scores_at_1 = {t.candidate: raw(t) for t in run.log.of(scale.NAME) if t.done}
    by_phi: dict[float, list[tuple[str, float, float]]] = defaultdict(list)
    for trial in run.log.of(NAME):
        if trial.done and trial.candidate in scores_at_1:
            by_phi[trial.decisions["phi"]].append((trial.name, scores_at_1[trial.candidate], raw(trial)))
    return [
        RankTransfer(phi, correlation([a for _, a, _ in pairs], [b for _, _, b in pairs]), tuple(pairs))
        for phi, pairs in by_phi.items()
    ]


def transfer_figure(info: Info) -> Figure:
    """Returns the score of each scaling at φ = 1 against its score at larger φ."""
    axis, traces = info.axis, []
    digits = f".2{axis.format}"
    hover = f"%{{text}}<br>φ = 1: %{{x:{digits}}}, there: %{{y:{digits}}}<extra></extra>"
    for t, colour in zip(info.conclusions["transfers"], COLOURS, strict=False):
        names, small, large = zip(*t.pairs, strict=True)
        marker = {"color": colour, "size": 10}
        traces.append(
            scatter(small, large, "markers", name=f"φ = {t.phi:g}", marker=marker, text=names, hovertemplate=hover)
        )
    xaxis = {"title": f"{axis.name} at φ = 1", "tickformat": f".1{axis.format}"}
    yaxis = {"title": f"{axis.name} at larger φ", "tickformat": f".1{axis.format}"}
    return figure(traces, 400, showlegend=True, xaxis=xaxis, yaxis=yaxis)


class Transfer(Step):
    """Trains some of the scalings that were tried again at larger φ, to see whether the choice carries over."""

    name = NAME
    title = "testing the choice at larger φ"
    needs = (scale.NAME,)
    may_end_early = True
    decision_names = ("phi",)
    fragments = (fragment(80, __file__),)

    def jobs(self, run: Driver) -> Jobs:
        options, space = run.study.options(scale.Options), scale.space_of(run)
        trials_by_shares: dict[Shares, Trial] = {}
        for trial in sorted(run.log.of(scale.NAME), key=run.rank, reverse=True):
            if trial.done:
                trials_by_shares.setdefault(ScalingSpace.shares(trial.decisions), trial)
        number = 0
        for phi in _larger_phis(run.study):
            target, seen = round(cost(space.base).macs * options.factor**phi), set()
            for shares, trial in evenly_spaced(list(trials_by_shares.items()), options.transfer):
                arch = scale_to(space.base, target, shares, options.tolerance).arch
                if expand(arch).digest in seen:
                    continue
                seen.add(expand(arch).digest)
                name, decisions = f"phi{phi:g}-{trial.name}", {**trial.decisions, "phi": phi}
                recipe = run.recipe_of(NAME).at_phi(phi)
                yield job_of(run.study, NAME, number, name, arch, decisions, candidate=trial.candidate, recipe=recipe)
                number += 1

    def conclusions(self, run: Driver) -> PlainDict:
        return {"transfers": transfers(run)}

    def macs(self, study: Study, base_macs: float) -> list[float]:
        options = study.options(scale.Options)
        return [base_macs * options.factor**phi for phi in _larger_phis(study) for _ in range(options.transfer)]

    def description(self, study: Study) -> str:
        return f"choices at φ = {', '.join(f'{phi:g}' for phi in _larger_phis(study))}"

    def epochs(self, study: Study) -> int | str | None:
        return study.options(scale.Options).epochs

    def log_lines(self, run: Driver) -> list[str]:
        return [f"ways to scale, φ = {t.phi:g} against φ = 1: rank correlation {t.ranks}" for t in transfers(run)]

    def figures(self, info: Info) -> dict[str, Figure]:
        return {"transfer": transfer_figure(info)} if info.conclusions.get("transfers") else {}
