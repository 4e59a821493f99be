"""Networks drawn and judged by zero-cost proxies alone: a first fidelity that costs no training."""

from __future__ import annotations

from random import Random

from scalesearch.searchers import Jobs, Past, ask
from scalesearch.study.driver import Driver
from scalesearch.study.step import Step, fewer_may_do
from scalesearch.study.steps import base
from scalesearch.study.steps.fixed import job_of
from scalesearch.study.study import Study

NAME = "screen"


def jobs(run: Driver) -> Jobs:
    study, seen = run.study, set()
    seed, options = study.seeds[0], study.options(base.Options)
    for number in range(options.screen):
        logged = run.log.trials.get((NAME, seed, number))
        if logged:
            with run.log.line(logged, "decisions"):
                study.problem.check(logged.decisions)
            seen.add(study.problem.identity(logged.decisions) or "")
            continue
        asked = ask(study.problem, "random", Past(), Random(f"{seed}-{NAME}-{number}"), seen)
        if asked is None:
            break
        seen.add(asked.identity)
        arch = study.problem.arch(asked.decisions)
        assert arch is not None
        yield job_of(
            study,
            NAME,
            number,
            f"{NAME}-{number:03d}",
            arch,
            asked.decisions,
            until=0,
            candidate=number,
            rejected=asked.rejected,
            proxies=options.proxies,
        )


def what(study: Study) -> str:
    assert study.space is not None
    return f"drawn from {study.space.name}, judged by {', '.join(study.options(base.Options).proxies)}"


STEP = Step(
    NAME,
    ended=fewer_may_do,
    title="screening by proxies",
    jobs=jobs,
    macs=lambda study, base_macs: [base_macs] * study.options(base.Options).screen,
    what=what,
    epochs=lambda study: study.options(base.Options).epochs,
    trains=False,
)
