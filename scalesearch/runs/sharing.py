"""Several drivers, one study: a database says who tries what, and what came of it. The only importer of sqlalchemy.

Every driver asks the study's searches for the same jobs, and tries those that it is the first to claim. A driver that
is heard of no more for a while loses its claims.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from scalesearch.errors import InputError
from scalesearch.searchers import WAIT, Job, Trial, TrialLog, Wait, trial_from
from scalesearch.study import Driver, Study

BEAT = 5.0  # seconds between two signs of life
DEAD = 60.0  # seconds without one, after which others take over
WAITS = 60.0  # seconds, for a file that somebody else has locked
TRIES = 5  # to make the tables
SHARED = "shared.id"
# Of an address without a driver: that of the extra `storage`.
DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
}


def is_database(storage: str) -> bool:
    """Whether several drivers can share a study there. Raises `InputError` for what is neither that nor a journal."""
    if not storage or storage.startswith("journal:"):
        return False
    if "://" not in storage:
        raise InputError(
            f"takes sqlite:///FILE, postgresql://…, mysql://… or journal:FILE, got {storage!r}", "--storage"
        )
    return True


def with_driver(storage: str) -> str:
    """The address of a database with the driver that goes there."""
    scheme, there, rest = storage.partition("://")
    return DRIVERS.get(scheme, scheme) + there + rest if there else storage


class Ledger:
    """Claims and results of the drivers of one run, in the database at `url`. Raises `InputError` where that is none,
    or can't be reached."""

    def __init__(self, url: str, run: str):
        import sqlalchemy
        from sqlalchemy import BigInteger, Column, Integer, MetaData, String, Table, Text, UniqueConstraint
        from sqlalchemy.dialects.mysql import LONGTEXT

        self.sql, self.run, self.me = sqlalchemy, run, uuid.uuid4().hex
        long = Text().with_variant(LONGTEXT(), "mysql")  # whose text ends at 64 KiB
        tables = MetaData()

        def key() -> list[Any]:
            return [
                Column("run", String(64)),
                Column("step", String(64)),
                Column("seed", BigInteger),
                Column("number", Integer),
            ]

        self.drivers = Table(
            "scalesearch_drivers", tables, Column("driver", String(32), primary_key=True), Column("beat", Integer)
        )
        self.claims = Table(
            "scalesearch_claims",
            tables,
            *key(),
            Column("driver", String(32)),
            UniqueConstraint("run", "step", "seed", "number"),
        )
        self.trials = Table(
            "scalesearch_trials",
            tables,
            Column("id", Integer, primary_key=True, autoincrement=True),
            *key(),
            Column("line", long),
            UniqueConstraint("run", "step", "seed", "number"),
        )
        with reached(url):
            waiting = {"connect_args": {"timeout": WAITS}} if url.startswith("sqlite") else {}
            self.engine = sqlalchemy.create_engine(url, **waiting)
            self.engine.connect().close()
            self._lay(tables)
            self._do(self.drivers.insert().values(driver=self.me, beat=0))
        self.last = 0
        self.heard: dict[str, tuple[int, float]] = {}  # drivers, how often they have been heard of, and when

    def _lay(self, tables: Any) -> None:
        """Make the tables that are missing; another driver may be at it too."""
        for left in range(TRIES, 0, -1):
            try:
                tables.create_all(self.engine)
                return
            except self.sql.exc.DBAPIError:
                if left == 1:
                    raise
                time.sleep(0.3)

    def _do(self, statement: Any) -> Any:
        with self.engine.begin() as connection:
            done = connection.execute(statement)
            return done.fetchall() if done.returns_rows else done.rowcount

    def _once(self, statement: Any) -> bool:
        """Whether a row could be added that there is only one of."""
        try:
            self._do(statement)
        except self.sql.exc.IntegrityError:
            return False
        return True

    def _of(self, key: tuple) -> dict[str, Any]:
        return {"run": self.run, "step": key[0], "seed": key[1], "number": key[2]}

    def claim(self, key: tuple) -> bool:
        """Whether a job is this driver's: nobody's until now, or one's that is dead."""
        told = self._of(key)
        if self._once(self.claims.insert().values(**told, driver=self.me)):
            return True
        mine = [self.claims.c[name] == value for name, value in told.items()]
        owner = self._do(self.sql.select(self.claims.c.driver).where(*mine))[0][0]
        if owner == self.me:
            return True
        mine.append(self.claims.c.driver == owner)
        return self._dead(owner) and self._do(self.claims.update().where(*mine).values(driver=self.me)) == 1

    def _dead(self, driver: str) -> bool:
        """By our own clock alone: machines' clocks differ."""
        told = self._do(self.sql.select(self.drivers.c.beat).where(self.drivers.c.driver == driver))
        beat, now = told[0][0] if told else -1, time.monotonic()
        before, since = self.heard.get(driver, (None, now))
        if beat != before:
            self.heard[driver] = beat, now
            return beat == -1  # it has left
        return now - since > DEAD

    def tell(self, trial: Trial) -> bool:
        """Whether the trial is the first with its key."""
        line = json.dumps(trial.to_dict(), ensure_ascii=False)
        return self._once(self.trials.insert().values(**self._of(trial.key), line=line))

    def news(self) -> list[Trial]:
        """Trials that were told since the last call, by whom ever. Ids of others may appear late, so that a few are
        looked at again."""
        mine = self.trials.c.run == self.run, self.trials.c.id > self.last - 100
        rows = self._do(self.sql.select(self.trials.c.id, self.trials.c.line).where(*mine).order_by(self.trials.c.id))
        self.last = max([self.last, *(row[0] for row in rows)])
        return [trial_from(row[1]) for row in rows]

    @contextmanager
    def alive(self) -> Iterator[None]:
        """While the block runs, the others hear of this driver; then its claims are free."""
        ended = threading.Event()

        def beat() -> None:
            while not ended.wait(BEAT):
                with suppress(self.sql.exc.SQLAlchemyError):  # the database may be away for a while
                    mine = self.drivers.c.driver == self.me
                    self._do(self.drivers.update().where(mine).values(beat=self.drivers.c.beat + 1))

        threading.Thread(target=beat, daemon=True).start()
        try:
            yield
        finally:
            ended.set()
            with suppress(self.sql.exc.SQLAlchemyError):
                self._do(self.drivers.delete().where(self.drivers.c.driver == self.me))


@contextmanager
def reached(url: str) -> Iterator[None]:
    """Whatever goes wrong with a database is told in a line."""
    import sqlalchemy

    try:
        yield
    except ModuleNotFoundError as error:
        raise InputError(f"needs the package {error.name}: pip install 'scalesearch[storage]'", "--storage") from None
    except (sqlalchemy.exc.SQLAlchemyError, ValueError) as error:
        shown = sqlalchemy.engine.make_url(url).render_as_string() if "://" in url else url
        said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise InputError(f"{shown} is no database that answers ({said})", "--storage") from None


def run_id(folder: Path, study: Study) -> str:
    """What names a run, for all drivers of its folder."""
    path = folder / SHARED
    with suppress(FileExistsError), open(path, "x") as file:
        file.write(uuid.uuid4().hex)
    return f"{study.digest}-{path.read_text()}"


class SharedDriver(Driver):
    """A driver beside others."""

    alone = False

    def __init__(
        self,
        study: Study,
        log: TrialLog,
        told: Callable[[Trial], None],
        ledger: Ledger,
        clock: Callable[[], float] = lambda: 0.0,
    ):
        super().__init__(study, log, told, clock)
        self.ledger = ledger
        self.theirs: list[Job] = []
        for trial in log:
            ledger.tell(trial)
        self._hear()

    def _hear(self) -> None:
        for trial in self.ledger.news():
            if trial.key not in self.log.trials:
                super().keep(trial)

    def next(self) -> Job | Wait | None:
        self._hear()
        self.theirs = [job for job in self.theirs if job.key not in self.log.trials]
        for left in self.theirs:
            if self.ledger.claim(left.key):
                self.theirs.remove(left)
                return left
        while isinstance(job := super().next(), Job):
            if self.ledger.claim(job.key):
                return job
            self.theirs.append(job)
        return WAIT if job is None and self.theirs else job

    def keep(self, trial: Trial) -> Trial:
        """Unless another driver that took the job over was faster: then what that has found."""
        if self.ledger.tell(trial):
            return super().keep(trial)
        self._hear()
        return self.log.trials[trial.key]
