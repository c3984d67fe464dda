"""The table of trials: what is true about a search, in SQLite or PostgreSQL.

Every call is one transaction, so a kill between any two statements leaves the table as it was before the call or after it.
Transactions that write exclude each other: SQLite has one writer, PostgreSQL an advisory lock for each search.

A worker holds a running trial by a lease: a random token and the time of its end, which the worker moves on. When a worker
or its lease has ended, the next call of `lease` frees the trial, and the old token is refused from then on. So a worker that
slept too long cannot write over the results of another.
"""

import hashlib
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import sqlalchemy as sa

from lmcraft.database import error_text, read_clock, replace_invalid
from lmcraft.errors import RunError, UserError
from lmcraft.hyperparameters.holder import has_ended, parent_has_ended
from lmcraft.hyperparameters.scheduling import Decision, Done, NewTrial, Promote, Wait
from lmcraft.hyperparameters.tables import open_trials, result_columns, searches, trial_of, trials
from lmcraft.hyperparameters.trial import State, Totals, Trial, TrialResult

T = TypeVar("T")
Decide = Callable[[Sequence[Trial], Totals], Decision]

LEASE_SECONDS = 60.0
MAX_BEAT_SECONDS = 10.0  # between two beats; a longer pause is one in which no worker lived
MAX_ATTEMPTS = 5
RETRY_SECONDS = (0.1, 0.5, 2.0, 10.0, 30.0)  # after which a transaction that the database refused is tried again


class LeaseLostError(RunError):
    """Another worker may hold the trial."""


class StoreError(RunError):
    """The database failed."""


@dataclass(frozen=True)
class TrialStore:
    """The trials of one search; open it with `TrialStore.open`. Any thread may call."""

    engine: sa.Engine
    name: str
    """Of the search: several may share a database."""
    lease_seconds: float = LEASE_SECONDS
    clock: Callable[[], float] = time.time
    """Unix time, for SQLite; PostgreSQL has its own."""

    @classmethod
    def open(cls, url: str, name: str, lease_seconds: float = LEASE_SECONDS) -> "TrialStore":
        """Open the table at a URL of SQLite or PostgreSQL; creates what is missing.

        Raises:
            UserError: the database cannot be opened.
        """
        return cls(open_trials(url), name, lease_seconds)

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    def settings(self) -> dict[str, Any] | None:
        """The settings of the search; None if it does not exist."""
        query = sa.select(searches.c.settings).where(searches.c.name == self.name)
        return self._read(lambda connection: connection.execute(query).scalar())

    def create(self, settings: dict[str, Any]) -> None:
        """Create the search.

        Raises:
            UserError: it exists.
        """

        def insert(connection: sa.Connection, now: float) -> None:
            query = sa.select(searches.c.name).where(searches.c.name == self.name)
            if connection.execute(query).first():
                raise UserError(f"search '{self.name}' exists: add --resume to continue it, or choose another --out")
            row = {"name": self.name, "settings": settings, "created": now, "seconds": 0.0, "last_beat": now}
            connection.execute(searches.insert().values(row))

        self._write(insert)

    def change_settings(self, settings: dict[str, Any]) -> None:
        """Replace the settings of the search."""
        statement = searches.update().where(searches.c.name == self.name).values(settings=settings)
        self._write(lambda connection, now: connection.execute(statement))

    def trials(self) -> list[Trial]:
        """All trials, by number."""
        return self._read(self._trials)

    def totals(self) -> Totals:
        """What the search has used."""
        return self._read(self._totals)

    def now(self) -> float:
        """The time by the clock of the store."""
        return self._read(self._now)

    def lease(self, worker: str, decide: Decide, *, seconds: float | None = None, change: str = "") -> Trial | Wait | Done:
        """Free the trials of workers that have ended, decide what is next, and hold that trial.

        Args:
            worker: the name of the process (`process_name`), which holds no trial now; or who asks, with `seconds`.
            decide: the next piece of work, from all trials and what they used.
            seconds: until the lease ends unless it is renewed; infinite: never.
            change: what is tried, in words.
        """
        seconds = self.lease_seconds if seconds is None else seconds

        def take(connection: sa.Connection, now: float) -> Trial | Wait | Done:
            rows = self._free(connection, worker, now)
            decision = decide(rows, self._totals(connection))
            if isinstance(decision, Wait | Done):
                return decision
            held = {"worker": worker, "lease": secrets.token_hex(16), "lease_expires": now + seconds}
            if isinstance(decision, NewTrial):
                self._insert(connection, len(rows), decision, {"created": now, "change": replace_invalid(change)})
                number = len(rows)
            else:
                number = decision.number
            allowed = State.PAUSED if isinstance(decision, Promote) else State.WAITING
            target = {"target_step": decision.target_step} if isinstance(decision, Promote) else {}
            c = trials.c
            statement = trials.update().where(c.search == self.name, c.number == number, c.state == allowed.value)
            attempts = {"attempts": c.attempts + 1}
            done = connection.execute(statement.values(state=State.RUNNING.value, **held, **target, **attempts))
            assert done.rowcount == 1, decision
            return self._trial(connection, number)

        return self._write(take)

    def beat(self, trial: Trial | None, result: TrialResult | None) -> Totals:
        """Report that a worker lives, renew the lease of its trial, and write what that has reached.

        Args:
            trial: as `lease` returned it; None: the worker waits.
            result: of the trial so far; None: nothing new.

        Raises:
            LeaseLostError: the trial was freed.
        """

        def renew(connection: sa.Connection, now: float) -> Totals:
            c = searches.c
            last = connection.execute(sa.select(c.last_beat).where(c.name == self.name)).scalar_one()
            added = min(max(now - last, 0.0), MAX_BEAT_SECONDS)
            changes = {"last_beat": now, "seconds": c.seconds + added}
            connection.execute(searches.update().where(c.name == self.name).values(changes))
            if trial is not None:
                progress = result_columns(trial, result) if result else {}
                progress |= {"attempts": 0} if result and result.step > trial.step else {}
                self._change_held(connection, trial, {"lease_expires": now + self.lease_seconds, **progress})
            return self._totals(connection)

        return self._write(renew)

    def finish(self, trial: Trial, state: State, result: TrialResult | None = None, *, error: str = "") -> None:
        """Give a trial back: paused, waiting for another worker, or final.

        Args:
            trial: as `lease` returned it.
            state: its new state.
            result: what it has reached; None: as it was reported last.
            error: why it has failed.

        Raises:
            LeaseLostError: the trial was freed.
        """

        def end(connection: sa.Connection, now: float) -> None:
            changes = result_columns(trial, result) if result else {}
            free = {"state": state.value, "worker": "", "lease": "", "lease_expires": 0.0, "attempts": 0}
            free |= {"error": replace_invalid(error), "finished": now if state.is_final else 0.0}
            self._change_held(connection, trial, {**changes, **free})

        self._write(end)

    def postpone(self, trial: Trial) -> None:
        """Let a trial rest for the length of a lease, since the worker that lost it has not yet left its folder.

        Raises:
            LeaseLostError: the trial was freed.
        """

        def rest(connection: sa.Connection, now: float) -> None:
            changes = {"worker": "", "lease": secrets.token_hex(16), "lease_expires": now + self.lease_seconds}
            self._change_held(connection, trial, {**changes, "attempts": trial.attempts - 1})

        self._write(rest)

    # Inside a transaction

    def _free(self, connection: sa.Connection, worker: str, now: float) -> list[Trial]:
        """Let other workers have the running trials of those that have ended; returns all trials.

        The worker itself holds none: a kill or a lost connection may have come between its lease and this call.
        """
        rows = self._trials(connection)
        for index, trial in enumerate(rows):
            is_held = trial.state is State.RUNNING and math.isfinite(trial.lease_expires)
            if not is_held or not (trial.lease_expires < now or trial.worker == worker or has_ended(trial.worker)):
                continue
            changes: dict[str, Any] = {"state": State.WAITING, "worker": "", "lease": "", "lease_expires": 0.0}
            if parent_has_ended(trial.worker):  # the whole command was killed: this is not the trial's fault
                changes["attempts"] = trial.attempts - 1
            elif trial.attempts >= MAX_ATTEMPTS:
                error = f"its process ended {trial.attempts} times in a row before it saved a step"
                changes |= {"state": State.FAILED, "error": error, "finished": now}
            rows[index] = replace(trial, **changes)
            self._change_held(connection, trial, changes)
        return rows

    def _insert(self, connection: sa.Connection, number: int, new: NewTrial, columns: dict[str, Any]) -> None:
        trial = Trial(
            number=number,
            point=dict(new.point),
            kind=new.kind,
            source=new.source,
            seed=new.seed,
            bracket=new.bracket,
            target_step=new.target_step,
        )
        row = {
            **vars(trial),
            "kind": new.kind.value,
            "state": State.WAITING.value,
            "curve": [],
            "search": self.name,
            **columns,
        }
        connection.execute(trials.insert().values(row))

    def _change_held(self, connection: sa.Connection, trial: Trial, changes: dict[str, Any]) -> None:
        """Change the row of a trial whose lease holds.

        Raises:
            LeaseLostError: it does not.
        """
        c = trials.c
        held = (c.search == self.name) & (c.number == trial.number)
        held &= (c.state == State.RUNNING.value) & (c.lease == trial.lease)
        if connection.execute(trials.update().where(held).values(changes)).rowcount != 1:
            raise LeaseLostError(f"trial {trial.number} was given to another worker, since its lease had ended")

    def _trials(self, connection: sa.Connection) -> list[Trial]:
        query = sa.select(trials).where(trials.c.search == self.name).order_by(trials.c.number)
        return [trial_of(row._asdict()) for row in connection.execute(query)]

    def _trial(self, connection: sa.Connection, number: int) -> Trial:
        query = sa.select(trials).where(trials.c.search == self.name, trials.c.number == number)
        return trial_of(connection.execute(query).one()._asdict())

    def _totals(self, connection: sa.Connection) -> Totals:
        c = trials.c
        seconds = connection.execute(sa.select(searches.c.seconds).where(searches.c.name == self.name)).scalar_one()
        sums = sa.select(sa.func.sum(c.energy_kwh), sa.func.sum(c.tokens)).where(c.search == self.name)
        energy, tokens = connection.execute(sums).one()
        return Totals(seconds, float(energy or 0), int(tokens or 0))

    def _now(self, connection: sa.Connection) -> float:
        return self.clock() if connection.dialect.name == "sqlite" else read_clock(connection)

    # Transactions

    def _read(self, function: Callable[[sa.Connection], T]) -> T:
        return self._transact(self.engine, function)

    def _write(self, function: Callable[[sa.Connection, float], T]) -> T:
        def locked(connection: sa.Connection) -> T:
            if connection.dialect.name == "postgresql":
                key = int.from_bytes(hashlib.blake2b(self.name.encode(), digest_size=8).digest(), signed=True)
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(key)))
            return function(connection, self._now(connection))

        return self._transact(self.engine.execution_options(immediate=True), locked)

    def _transact(self, engine: sa.Engine, function: Callable[[sa.Connection], T]) -> T:
        """One transaction, tried again if the database refuses it, such as while a server restarts.

        Raises:
            StoreError: the database still refuses it.
        """
        for delay in (*RETRY_SECONDS, None):
            try:
                with engine.begin() as connection:
                    return function(connection)
            except (sa.exc.DBAPIError, sa.exc.TimeoutError) as error:
                if delay is None or not isinstance(error, sa.exc.OperationalError):
                    raise StoreError(f"the table of trials cannot be used ({error_text(error)}); nothing is lost") from error
                time.sleep(delay)
        raise AssertionError
