"""A step of a study: its options in the file, what it tries and concludes, and its pieces of the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from scalesearch.errors import InputError, format_value
from scalesearch.plain_data import PlainDict, PlainMapping
from scalesearch.signature import parse_section
from scalesearch.trials import Jobs

if TYPE_CHECKING:
    from scalesearch.arch import Arch
    from scalesearch.searchers import Problem
    from scalesearch.study.driver import Driver
    from scalesearch.study.page import Figure, Fragment, Info
    from scalesearch.study.study import Study


class Step:
    """The contract of a step, with the defaults of one that neither searches nor reports.

    A subclass in a file of `steps/`, with a row in the table there, is a step.

    Attributes:
        name: The name that trials, other steps and the log use.
        title: The title in progress output.
        needs: Steps whose results must all be in before its jobs are handed out.
        key: The section of a study's file that holds its options.
        options: The dataclass of that section; other steps may read it too.
        list_field: The field of `options` that the section may be given as, where it is a list.
        trains: Whether its trials train networks, so that they take time by epochs.
        tested: Whether its trials are also scored on the test split.
        may_end_early: Whether it may try fewer networks than planned; it then counts as ended at any number.
        decision_names: The decisions that each of its trials has, all numbers; empty for a search.
        printed_columns: The columns of its rows that a terminal shows.
        search_title: What the report calls its search; empty if it is none.
        epochs_key: The key of the summary that holds its epochs, for a search that trains.
        decides_base: Whether its trials decide which network is scaled.
        by_class: Which part its networks have in the report's results class by class; empty for none.
        planned_from: The steps from whose trials the hours are planned before it begins; empty if nothing is planned.
        open_searches: The searches whose trials and epochs can still be changed at that time.
        fragments: Its pieces of the report's page.
    """

    name: str
    title: str
    needs: tuple[str, ...] = ()
    key: str = ""
    options: type | None = None
    list_field: str = ""
    trains: bool = True
    tested: bool = False
    may_end_early: bool = False
    decision_names: tuple[str, ...] = ()
    printed_columns: tuple[str, ...] = ()
    search_title: str = ""
    epochs_key: str = ""
    decides_base: bool = False
    by_class: Literal["", "finalists", "members", "baselines"] = ""
    planned_from: tuple[str, ...] = ()
    open_searches: tuple[str, ...] = ()
    fragments: tuple[Fragment, ...] = ()

    # What it tries.

    def jobs(self, run: Driver) -> Jobs:
        """Yields its jobs, and `WAIT` while results are missing that the next job depends on.

        Jobs whose results are in the log are not run again; it may yield them or not.
        """
        raise NotImplementedError

    def macs(self, study: Study, base_macs: float) -> list[float]:
        """Returns the MACs of every trial that it has at most.

        Args:
            study: The study.
            base_macs: The MACs of the base network.
        """
        raise NotImplementedError

    def description(self, study: Study) -> str:
        """Returns in a few words what is tried."""
        raise NotImplementedError

    def check(self, study: Study) -> None:
        """Raises `InputError` for faults in its options."""

    def trials(self, study: Study) -> int:
        """Returns the largest number of trials that it has."""
        return len(self.macs(study, 1.0))

    def networks(self, study: Study) -> int:
        """Returns the largest number of networks that it tries; fewer than trials where each is tried several times."""
        return self.trials(study)

    def epochs(self, study: Study) -> int | str | None:
        """Returns the epochs of its trainings; None for the recipe's, `auto` for those the fidelity step chooses."""
        return None

    def costs(self, study: Study) -> list[tuple[float, float]] | None:
        """Returns MACs and activations of every training if they are known beforehand, else None."""
        return None

    # What results from it.

    def ended(self, run: Driver) -> bool:
        """Returns whether all of its results are in."""
        return self.may_end_early or len(run.log.of(self.name)) == self.trials(run.study)

    def require_result(self, run: Driver) -> None:
        """Raises `WorkFailed` for a search that has found no network."""

    def enough_epochs(self, run: Driver) -> int | None:
        """Returns the epochs that `auto` stands for if this step measures them, else None."""
        return None

    def problem(self, run: Driver) -> Problem | None:
        """Returns the problem of a search, whose trials Optuna's dashboard may show, else None."""
        return None

    # Its piece of the report.

    def conclusions(self, run: Driver) -> PlainDict:
        """Returns its results: keys of `summary.json`, and the data of its templates."""
        return {}

    def headline(self, run: Driver) -> str:
        """Returns the first sentence of the report if this step provides it, else an empty string."""
        return ""

    def notes(self, run: Driver) -> list[str]:
        """Returns sentences for the top of the report."""
        return []

    def log_lines(self, run: Driver) -> list[str]:
        """Returns the lines that are logged when it has ended."""
        return []

    def figures(self, info: Info) -> dict[str, Figure]:
        """Returns its figures by name, those that the run has data for."""
        return {}

    def searcher(self, study: Study) -> str:
        """Returns the name of its searcher; empty if it is no search."""
        return ""

    def drawn_network(self, run: Driver) -> Arch | None:
        """Returns the network whose layers the report lists if this step decides on it, else None."""
        return None

    def class_results(self, run: Driver) -> list[str]:
        """Returns the names of the networks whose results class by class the report has, the largest last."""
        return []

    # Checks of a log that may come from a stranger, and of a study's file.

    def check_decisions(self, decisions: PlainMapping) -> None:
        """Raises `InputError` if one of `decision_names` is missing or not a number."""
        for name in self.decision_names:
            if not isinstance(value := decisions.get(name), (int, float)):
                raise InputError(f"takes a number, got {format_value(value)}", name)

    def read(self, value: Any) -> Any:
        """Returns the options in a section of a study's file. Raises `InputError`, with its place in the section."""
        assert self.options is not None
        if self.list_field and not isinstance(value, Mapping):
            return parse_section(self.options, {self.list_field: value or ()}, "")
        return parse_section(self.options, value, self.key)
