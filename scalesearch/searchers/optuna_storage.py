"""Trials as Optuna studies in a journal file or a database, for `optuna-dashboard`.

The only importer of sqlalchemy. Trials are written as they end, in a separate thread, so that a slow or
failing storage never holds up the run.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from scalesearch.errors import InputError
from scalesearch.searchers.bayes import frozen_trial, quiet_optuna
from scalesearch.searchers.problem import Problem, objective_values
from scalesearch.trials import Score, Trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage
    from optuna.trial import FrozenTrial

JOURNAL = "journal:"
NAME_ATTRIBUTE = "name"  # the user attribute that identifies a trial
LOCK_TIMEOUT = 60.0  # seconds that SQLite waits for a file that another process has locked
RETRY = 0.5  # seconds between two attempts to write
# The drivers that the extra `storage` installs, for addresses that name none.
DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}


def open_storage(address: str) -> BaseStorage:
    """Returns Optuna's storage at `sqlite:///FILE`, `postgresql://…`, `mysql://…` or `journal:FILE`.

    Raises:
        InputError: For another kind of address, a missing driver, and a database that doesn't answer.
    """
    optuna = quiet_optuna()
    if address.startswith(JOURNAL):
        backend = optuna.storages.journal.JournalFileBackend(address.removeprefix(JOURNAL))
        journal: BaseStorage = optuna.storages.JournalStorage(backend)
        return journal
    if "://" not in address:
        raise InputError(
            f"takes sqlite:///FILE, postgresql://…, mysql://… or journal:FILE, got {address!r}", "--storage"
        )
    with database_errors(address):
        engine_options = {"connect_args": {"timeout": LOCK_TIMEOUT}} if address.startswith("sqlite") else {}
        storage: BaseStorage = optuna.storages.RDBStorage(with_driver(address), engine_kwargs=engine_options)
        return storage


def with_driver(address: str) -> str:
    """Returns a database address with the driver of the extra `storage`, if it names none."""
    scheme, separator, location = address.partition("://")
    return DRIVERS.get(scheme, scheme) + separator + location if separator else address


@contextmanager
def database_errors(address: str) -> Iterator[None]:
    """Raises whatever goes wrong with a database inside the block as an `InputError` of one line."""
    import sqlalchemy

    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"needs the package {error.name}: pip install 'scalesearch[storage]'", "--storage") from None
    except (sqlalchemy.exc.SQLAlchemyError, ValueError) as error:
        display_address = sqlalchemy.engine.make_url(address).render_as_string() if "://" in address else address
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise InputError(f"{display_address} is no database that answers ({reason})", "--storage") from None


@dataclass(frozen=True)
class _Entry:
    """A trial to write, the name of its Optuna study, and the names of the study's objectives."""

    study: str
    trial: FrozenTrial
    objectives: list[str]


def _innermost(error: BaseException) -> str:
    """Returns one line about the first cause of an error: sqlalchemy's and Optuna's own messages bury it."""
    while (cause := getattr(error, "orig", None) or error.__cause__) is not None:
        error = cause
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


class StudyWriter:
    """Writes trials to one storage in a thread of its own; a write that fails is tried again.

    Attributes:
        address: The address of the storage.
        last_error: One line about the last write that failed; empty if none did.

    Raises:
        InputError: As `open_storage` does.
    """

    def __init__(self, address: str):
        self.address, self.storage = address, open_storage(address)
        self.last_error = ""
        self._queue: SimpleQueue[_Entry] = SimpleQueue()
        self._studies: dict[str, tuple[Study, set[str]]] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="optuna-storage")
        self._thread.start()

    def add(self, study: str, problem: Problem, trial: Trial, score: Score, started: datetime) -> None:
        """Queues a finished trial for the Optuna study named `study`; a trial that the study already has is skipped.

        Args:
            study: The name of the Optuna study.
            problem: The problem that the trial's decisions belong to.
            trial: The trial, done or failed.
            score: The score that trials are compared by.
            started: When the trial began.
        """
        result = score.of(trial.scores)
        objectives = None if result is None else objective_values(problem, trial.decisions, result)
        attributes = {NAME_ATTRIBUTE: trial.name, "network": trial.network, **trial.cost}
        attributes |= {"reason": trial.reason} if trial.reason else {}
        state = "FAIL" if objectives is None else "COMPLETE"
        frozen = frozen_trial(problem, trial.decisions, objectives, state, user_attrs=attributes)
        frozen.datetime_start = started
        frozen.datetime_complete = started + timedelta(seconds=trial.seconds)
        self._queue.put(_Entry(study, frozen, [score.key, *problem.objectives]))

    def close(self, patience: float) -> int:
        """Waits up to `patience` seconds for the queue to empty, and returns how many trials were not written."""
        self._closing.set()
        self._thread.join(patience)
        return self._queue.qsize() + self._thread.is_alive()

    def _work(self) -> None:
        while True:
            try:
                entry = self._queue.get(timeout=RETRY)
            except Empty:
                if self._closing.is_set():
                    return
                continue
            while not self._write(entry):
                time.sleep(RETRY)

    def _write(self, entry: _Entry) -> bool:
        try:
            study, names = self._study(entry)
            if entry.trial.user_attrs[NAME_ATTRIBUTE] not in names:
                study.add_trial(entry.trial)
                names.add(entry.trial.user_attrs[NAME_ATTRIBUTE])
        except Exception as error:  # locked, away for a while, full: whatever it is, it is no reason to stop a search
            self.last_error = _innermost(error)
            return False
        return True

    def _study(self, entry: _Entry) -> tuple[Study, set[str]]:
        if entry.study not in self._studies:
            optuna = quiet_optuna()
            study = optuna.create_study(
                storage=self.storage,
                study_name=entry.study,
                directions=["maximize"] * len(entry.objectives),
                load_if_exists=True,
            )
            study.set_metric_names(entry.objectives)
            self._studies[entry.study] = study, {trial.user_attrs.get(NAME_ATTRIBUTE, "") for trial in study.trials}
        return self._studies[entry.study]
