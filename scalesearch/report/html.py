"""Info and figures → one HTML page that needs no network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from scalesearch.report import figures
from scalesearch.report.info import Info, Scaling
from scalesearch.searchers import DEFAULT
from scalesearch.yamlfile import dump

HERE = Path(__file__).parent
DASH = "–"


def page(info: Info) -> str:
    """The report's HTML."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {
        "percent": lambda v: DASH if v is None else f"{v:.2%}",
        "signed": lambda v: DASH if v is None else f"{v:+.2%}",
        "thousands": lambda v: f"{v:,}",
        "plain": lambda v: DASH if v is None else f"{v:g}",
        "whole": lambda v: DASH if v is None else f"{v:.0%}",
        "points": lambda v: DASH if v is None else f"{v * 100:+.2f}",
    }
    template = environment.from_string((HERE / "page.html.j2").read_text(encoding="utf-8"))
    return template.render(
        info=info, figures=figures.figures(info), css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup(figures.script()), sentence=sentence(info), misses=[*short(info), *misses(info.scaling), *(f"{r.name}: {r.miss}." for r in info.rows if r.miss)],
        provenance=provenance(info),
        study=dump(_readable(info.document)))


def sentence(info: Info) -> str:
    """What was found, in words."""
    if info.scaling is None:
        return f"A family of networks for {info.data['name']} with {info.budget} at its base."
    s = info.scaling
    ea, eb, ec = s.errors
    found = (f"α = {s.alpha:.3f} ± {ea:.3f} (depth), β = {s.beta:.3f} ± {eb:.3f} (width), γ = {s.gamma:.3f} ± {ec:.3f} (resolution), found "
             f"in {s.trials} trials of {info.recipe['scaling epochs']} epochs: {s.accuracy:.2%} validation accuracy")
    reference = next((p for p in s.points if "efficientnet" in p.presets and p.accuracy is not None), None)
    if reference is None:
        return found + "."
    return f"{found}, against {reference.accuracy:.2%} for EfficientNet's coefficients at the same MACs."


def _readable(document: Any) -> Any:
    """A study without the measurements of the device profiles in it."""
    if isinstance(document, dict):
        return {k: f"{v['device']} (a profile of {len(v['blocks']):,} blocks)" if k == "device" and isinstance(v, dict) else _readable(v)
                for k, v in document.items()}
    return document


def short(info: Info) -> list[str]:
    """A sentence for every search that ended before its time."""
    done = {step: len({t["candidate"] for t in info.trials if t["step"] == step}) for step in info.wanted}
    return [f"The {step} search ended after {done[step]} of {wanted} trials: it found no further distinct network inside the budget."
            for step, wanted in info.wanted.items() if info.finished and done[step] < wanted]


def misses(scaling: Scaling | None) -> list[str]:
    """A sentence for every scaling whose axes are too coarse for its budget."""
    if scaling is None:
        return []
    return [f"{' and '.join(p.presets) or p.name} alone cannot reach {scaling.target:,} MACs within {scaling.tolerance:.0%}: "
            f"the nearest network has {p.macs:,} ({p.deviation:+.2%})." for p in scaling.misses]


def provenance(info: Info) -> list[tuple[str, Any]]:
    study = info.document
    counts = info.summary()
    recipe = {k: v for k, v in info.recipe["final"].items()}
    return [
        ("data", f"{info.data['name']}: {info.data['origin']}; {info.data['classes']} classes; searches are scored on a "
                 "validation split, the comparison on a test split that no search sees"),
        ("budget of the base", info.budget),
        ("trials", ", ".join(f"{n} {step}" for step, n in counts["trials"].items() if n)
         + (f"; {info.early} of them stopped early, in no front" if info.early else "")
         + f"; {counts['rejected']:,} proposals were over budget or known already and were never trained"),
        ("searchers", f"base: {study.get('search', {}).get('with', DEFAULT)}; scaling: {study.get('scale', {}).get('with', DEFAULT)}"),
        ("seeds", ", ".join(map(str, study.get("seeds", [0])))),
        ("recipe", ", ".join(f"{k} {v:g}" for k, v in recipe.items())),
        ("epochs in the searches", f"{info.recipe['search epochs']} (base), {info.recipe['scaling epochs']} (scaling)"),
        ("time", f"{info.seconds:,.0f} s, {sum(t['seconds'] for t in info.trials):,.0f} s of them in training, over all workers"),
        ("versions", ", ".join(f"{k} {v}" for k, v in info.environment["versions"].items())),
        ("machine", ", ".join(f"{k} {v}" for k, v in info.environment["machine"].items())),
    ]
