"""Networks drawn at random and judged by zero-cost proxies alone, without training."""

from __future__ import annotations

from dataclasses import replace

from scalesearch.study.driver import Driver
from scalesearch.study.step import Step
from scalesearch.study.steps import base
from scalesearch.study.steps.network_jobs import job_of, random_networks
from scalesearch.study.study import Study
from scalesearch.trials import Jobs

NAME = "screen"


class Screening(Step):
    """Judges networks by zero-cost proxies alone, before any is trained."""

    name = NAME
    title = "screening by proxies"
    trains = False
    may_end_early = True

    def jobs(self, run: Driver) -> Jobs:
        study, options = run.study, run.study.options(base.Options)
        for number, proposal, arch in random_networks(run, NAME, options.screen):
            name = f"{NAME}-{number:03d}"
            job = job_of(study, NAME, number, name, arch, proposal.decisions, until=0, candidate=number)
            yield replace(job, rejected=proposal.rejected, proxies=options.proxies)

    def description(self, study: Study) -> str:
        assert study.space is not None
        return f"drawn from {study.space.name}, judged by {', '.join(study.options(base.Options).proxies)}"

    def macs(self, study: Study, base_macs: float) -> list[float]:
        return [base_macs] * study.options(base.Options).screen

    def epochs(self, study: Study) -> int | str | None:
        return study.options(base.Options).epochs
