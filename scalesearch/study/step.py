"""A step of a study: what the study's file tells it, what it tries and concludes, and its piece of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from scalesearch.errors import InputError, shown
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.signature import section
from scalesearch.trials import Jobs

if TYPE_CHECKING:
    from scalesearch.arch import Arch
    from scalesearch.searchers import Problem
    from scalesearch.study.driver import Driver
    from scalesearch.study.page import Figure, Fragment, Info
    from scalesearch.study.study import Study


class Step:
    """The contract of a step, with the defaults of one that neither searches nor reports. A subclass in a file of
    `steps/` is a step, and a row of the table there.

    Attributes:
        name: By which trials, other steps and the log know it.
        title: As progress shows it.
        needs: Steps all of whose results must be known before its jobs are handed out.
        key: The section of a study's file that has its options.
        options: The dataclass of that section; other steps may read it too.
        listed: The field of `options` that a section is, where it is a list.
        trains: Whether its trials are trainings of networks, which take time by epochs.
        tested: Whether its trials are scored on the test split too.
        may_end_early: Whether it may try fewer networks than planned; the steps after it then tell that it has ended.
        decided: Names of what is decided of its every trial, each a number, where it is no search.
        printed: Columns of its rows that a terminal shows.
        search_title: As the report calls its search; empty where it is none.
        epochs_key: Under which key of the summary its epochs stand, of a search that trains.
        decides_base: Whether its trials decide which network is scaled.
        by_class: What its finished networks are in the report's results class by class.
        planned_from: Steps whose trials the hours are planned from before it begins; empty where nothing is planned.
        open_searches: The searches whose trials and epochs are then still free.
        fragments: Its pieces of the report's page.
    """

    name: str
    title: str
    needs: tuple[str, ...] = ()
    key: str = ""
    options: type | None = None
    listed: str = ""
    trains: bool = True
    tested: bool = False
    may_end_early: bool = False
    decided: tuple[str, ...] = ()
    printed: tuple[str, ...] = ()
    search_title: str = ""
    epochs_key: str = ""
    decides_base: bool = False
    by_class: Literal["", "finalists", "members", "baselines"] = ""
    planned_from: tuple[str, ...] = ()
    open_searches: tuple[str, ...] = ()
    fragments: tuple[Fragment, ...] = ()

    # What it tries.

    def jobs(self, run: Driver) -> Jobs:
        """Yields what is to be tried, and `WAIT` while results are missing that the next job depends on."""
        raise NotImplementedError

    def macs(self, study: Study, base_macs: float) -> list[float]:
        """Returns what each network that it tries at most may count, given what the base may."""
        raise NotImplementedError

    def what(self, study: Study) -> str:
        """Returns what is tried, in a few words."""
        raise NotImplementedError

    def check(self, study: Study) -> None:
        """Raises `InputError` for what is wrong in its options."""

    def trials(self, study: Study) -> int:
        """Returns how many trials it has at most."""
        return len(self.macs(study, 1.0))

    def networks(self, study: Study) -> int:
        """Returns how many networks it tries at most; fewer than trials where each is tried several times."""
        return self.trials(study)

    def epochs(self, study: Study) -> int | str | None:
        """Returns the epochs of its trainings where they are not the recipe's; `auto` for as few as the fidelity step
        finds enough."""
        return None

    def costs(self, study: Study) -> list[tuple[float, float]] | None:
        """Returns MACs and activations of all that it trains, where they are known beforehand."""
        return None

    # What comes of it.

    def ended(self, run: Driver) -> bool:
        """Returns whether all is known that it tries."""
        return self.may_end_early or len(run.log.of(self.name)) == self.trials(run.study)

    def settle(self, run: Driver) -> None:
        """Raises `WorkFailed` for a search that has found nothing."""

    def enough_epochs(self, run: Driver) -> int | None:
        """Returns how many epochs `auto` is, where this step finds that out."""
        return None

    def problem(self, run: Driver) -> Problem | None:
        """Returns what a search tries, whose trials Optuna's dashboard may show."""
        return None

    # Its piece of the report.

    def conclusions(self, run: Driver) -> PlainDict:
        """Returns what it concludes: keys of `summary.json`, and the data of its page."""
        return {}

    def headline(self, run: Driver) -> str:
        """Returns the report's first sentence, if this step has it."""
        return ""

    def notes(self, run: Driver) -> list[str]:
        """Returns further sentences of the report."""
        return []

    def log_lines(self, run: Driver) -> list[str]:
        """Returns lines for whoever watches, when it has ended."""
        return []

    def figures(self, info: Info) -> dict[str, Figure]:
        """Returns its figures by name, as far as the run has data for them."""
        return {}

    def searcher(self, study: Study) -> str:
        """Returns the name of the searcher of a search."""
        return ""

    def drawn_network(self, run: Driver) -> Arch | None:
        """Returns the network that the report draws layer by layer, if this step decides on it."""
        return None

    def class_results(self, run: Driver) -> list[str]:
        """Returns the names of the networks whose results class by class the report has, best known last."""
        return []

    # What is checked of a stranger's log and of a study's file.

    def check_decisions(self, decisions: PlainMapping) -> None:
        """Raises `InputError` where what is `decided` is missing or no number."""
        for name in self.decided:
            if not isinstance(value := decisions.get(name), (int, float)):
                raise InputError(f"takes a number, got {shown(value)}", name)

    def read(self, value: Any) -> Any:
        """Returns the options in a section. Raises `InputError`, placed in it."""
        assert self.options is not None
        as_list = self.listed and not isinstance(value, Mapping)
        return section(self.options, {self.listed: value or ()} if as_list else value, "" if as_list else self.key)
