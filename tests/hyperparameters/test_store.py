"""The table of trials: each call is one transaction, and the lease decides who may write."""

import math
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from lmcraft.errors import UserError
from lmcraft.hyperparameters import store as store_module
from lmcraft.hyperparameters.scheduling import Decision, Done, NewTrial, Promote, Rerun, Wait
from lmcraft.hyperparameters.store import MAX_ATTEMPTS, LeaseLostError, StoreError, TrialStore
from lmcraft.hyperparameters.trial import CurvePoint, State, Totals, Trial, TrialResult

NUM_TRIALS, RUNG, LAST = 6, 4, 9


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def open_store(url: str, clock: Clock | None = None) -> TrialStore:
    """A new search; SQLite gets the clock."""
    store = TrialStore.open(url, uuid4().hex)
    store = replace(store, clock=clock) if clock else store
    store.create({"trials": NUM_TRIALS})
    return store


def decide(trials: Sequence[Trial], totals: Totals) -> Decision:
    """Six trials; every second one is promoted from step 4 to the end."""
    waiting = [trial for trial in trials if trial.state is State.WAITING]
    if waiting:
        return Rerun(waiting[0].number)
    if paused := [trial for trial in trials if trial.state is State.PAUSED and trial.number % 2 == 0]:
        return Promote(paused[0].number, 0)
    if len(trials) < NUM_TRIALS:
        return NewTrial(point={"pretrain.depth": len(trials)}, target_step=RUNG)
    return Wait() if any(trial.state is State.RUNNING for trial in trials) else Done()


def lease(store: TrialStore, worker: str) -> Trial:
    trial = store.lease(worker, decide)
    assert isinstance(trial, Trial)
    return trial


def test_a_trial_from_its_lease_to_its_end(storage: str) -> None:
    store = open_store(storage)
    trial = lease(store, "a")
    assert (trial.number, trial.state, trial.worker, trial.target_step) == (0, State.RUNNING, "a", RUNG)
    assert trial.point == {"pretrain.depth": 0} and trial.lease_expires > store.now()
    curve = (CurvePoint(2, {"validation_loss": 0.1 + 0.2}),)
    store.beat(trial, TrialResult(step=2, curve=curve, tokens=10, seconds=1.5, energy_kwh=0.25))
    store.finish(trial, State.PAUSED, TrialResult(step=4, curve=curve, tokens=20, seconds=3.0, energy_kwh=0.5))
    paused = store.trials()[0]
    assert (paused.state, paused.step, paused.curve, paused.worker) == (State.PAUSED, 4, curve, "")
    promoted = lease(store, "b")
    assert (promoted.number, promoted.target_step, promoted.tokens) == (0, 0, 20)
    result = TrialResult(step=9, values={"loss": 1 / 3, "broken": math.nan}, tokens=30, seconds=1.0, energy_kwh=0.5)
    store.finish(promoted, State.COMPLETE, result)
    done = store.trials()[0]
    assert (done.state, done.values, done.tokens, done.seconds) == (State.COMPLETE, {"loss": 1 / 3}, 50, 4.0)
    assert done.finished >= done.created > 0 and store.totals().tokens == 50 and store.totals().energy_kwh == 1.0


def test_a_second_report_of_the_same_result_counts_it_once(storage: str) -> None:
    store = open_store(storage)
    trial = lease(store, "a")
    for _ in range(3):
        store.beat(trial, TrialResult(step=1, tokens=10))
    store.finish(trial, State.WAITING, TrialResult(step=1, tokens=10))
    again = lease(store, "b")
    store.beat(again, TrialResult(step=2, tokens=5))
    assert store.trials()[0].tokens == 15


def test_a_lost_lease_refuses_every_write(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(f"sqlite:///{tmp_path / 'trials.sqlite'}", clock)
    late = lease(store, "a")
    clock.now += store.lease_seconds + 1
    store.beat(late, None)  # nobody has taken it: it goes on
    clock.now += store.lease_seconds + 1
    taken = lease(store, "b")
    assert taken.number == late.number and taken.lease != late.lease
    for write in (
        lambda: store.beat(late, TrialResult(step=3)),
        lambda: store.finish(late, State.COMPLETE, TrialResult(step=9)),
        lambda: store.postpone(late),
    ):
        with pytest.raises(LeaseLostError, match="trial 0 was given to another worker"):
            write()
    assert store.trials()[0] == taken


def test_the_trial_of_a_dead_process_is_free_at_once(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(storage)
    first = lease(store, "dead")
    assert lease(store, "b").number == 1
    monkeypatch.setattr(store_module, "has_ended", lambda name: name == "dead")
    assert lease(store, "c").number == first.number


def test_a_worker_that_asks_again_holds_nothing(storage: str) -> None:
    store = open_store(storage)
    first = lease(store, "a")  # the answer is lost, such as with the connection
    second = lease(store, "a")
    assert second.number == first.number and second.lease != first.lease


def test_a_trial_whose_process_always_dies_fails(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'trials.sqlite'}")
    for attempt in range(MAX_ATTEMPTS):
        trial = lease(store, "a")
        assert (trial.number, trial.attempts) == (0, attempt + 1)
    assert lease(store, "a").number == 1
    failed = store.trials()[0]
    assert failed.state is State.FAILED and failed.error == "its process ended 5 times in a row before it saved a step"


def test_a_trial_is_not_blamed_for_the_end_of_a_whole_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'trials.sqlite'}")
    monkeypatch.setattr(store_module, "parent_has_ended", lambda name: True)
    for _ in range(3 * MAX_ATTEMPTS):
        trial = lease(store, "a")
        assert (trial.number, trial.attempts) == (0, 1)


def test_progress_forgives_the_attempts_before_it(tmp_path: Path) -> None:
    store = open_store(f"sqlite:///{tmp_path / 'trials.sqlite'}")
    for step in range(3 * MAX_ATTEMPTS):
        trial = lease(store, "a")
        assert trial.number == 0
        if step % 2:
            store.beat(trial, TrialResult(step=step))
    assert lease(store, "a").number == 0


def test_a_postponed_trial_rests_for_a_lease_without_an_attempt(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(f"sqlite:///{tmp_path / 'trials.sqlite'}", clock)
    trial = lease(store, "a")
    store.postpone(trial)
    assert lease(store, "a").number == 1
    clock.now += store.lease_seconds + 1
    again = lease(store, "b")
    assert (again.number, again.attempts) == (0, 1)


def test_a_trial_that_a_person_asked_for_waits_for_the_answer(storage: str) -> None:
    store = open_store(storage)
    trial = store.lease("asked", decide, seconds=math.inf, change="wider\0")
    assert isinstance(trial, Trial) and trial.change == "wider\ufffd"
    assert lease(store, "asked").number == 1  # another one, in the same name
    store.finish(trial, State.FAILED, error="out of \ud800 memory")
    assert store.trials()[0].error == "out of \ufffd memory"


def test_time_counts_once_for_all_workers_and_not_while_none_lives(tmp_path: Path) -> None:
    clock = Clock()
    store = open_store(f"sqlite:///{tmp_path / 'trials.sqlite'}", clock)
    for _ in range(6):
        clock.now += 5
        for _worker in range(3):
            store.beat(None, None)
    assert store.totals().seconds == 30
    clock.now += 10_000  # all are killed, and started again
    store.beat(None, None)
    assert store.totals().seconds == 40
    clock.now -= 500  # a clock that is set back
    store.beat(None, None)
    assert store.totals().seconds == 40


def test_a_decision_that_fails_changes_nothing(storage: str) -> None:
    store = open_store(storage)
    lease(store, "a")
    before = store.trials()

    def refuse(trials: Sequence[Trial], totals: Totals) -> Decision:
        raise UserError("the space is empty")

    with pytest.raises(UserError, match="the space is empty"):
        store.lease("a", refuse)
    assert store.trials() == before


def test_searches_share_a_database(storage: str) -> None:
    first = open_store(storage)
    second = TrialStore.open(storage, uuid4().hex)
    assert second.settings() is None
    second.create({"sampler": "grid"})
    lease(first, "a")
    assert second.trials() == [] and second.settings() == {"sampler": "grid"}
    with pytest.raises(UserError, match=r"search '\w+' exists: add --resume"):
        second.create({})
    second.change_settings({"sampler": "random"})
    assert second.settings() == {"sampler": "random"} and first.settings() == {"trials": NUM_TRIALS}


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "storage is not a valid URL"),
        ("mysql://me@host/d", "storage has the unknown database type 'mysql'"),
        (
            "postgresql://me:secret@127.0.0.1:1/d",
            r"storage 'postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/d' cannot be opened",
        ),
        ("sqlite:////nowhere/at/all.sqlite", "cannot be created, because there is no folder"),
    ],
)
def test_storage_that_cannot_be_opened(url: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        TrialStore.open(url, "search")


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "trials.sqlite").write_text("not a database " * 100, encoding="utf-8")
    with pytest.raises(UserError, match="file is not a database"):
        TrialStore.open(f"sqlite:///{tmp_path / 'trials.sqlite'}", "search")


def test_a_transaction_that_the_database_refuses_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "RETRY_SECONDS", (0.0, 0.0))
    store = open_store(f"sqlite:///{tmp_path / 'trials.sqlite'}")
    refusals = [3]

    def refuse(*_: object) -> None:
        refusals[0] -= 1
        if refusals[0] >= 0:
            raise sa.exc.OperationalError("BEGIN", {}, Exception("database is locked"))

    sa.event.listen(store.engine, "begin", refuse)
    with pytest.raises(StoreError, match=r"the table of trials cannot be used \(database is locked\); nothing is lost"):
        lease(store, "a")
    refusals[0] = 2
    assert lease(store, "a").number == 0


@dataclass
class Worker:
    """A worker that may be killed or put to sleep between any two calls."""

    name: str
    trial: Trial | None = None
    result: TrialResult = field(default_factory=TrialResult)


class Interleaving:
    """Random calls of workers on one store, with a model of what each trial has reached."""

    def __init__(self, store: TrialStore, clock: Clock, seed: int) -> None:
        self.store, self.clock, self.random = store, clock, random.Random(seed)
        self.dead: set[str] = set()
        self.workers = [self.spawn() for _ in range(3)]
        self.holder: dict[int, str] = {}  # the token of each trial
        self.finished: Counter[int] = Counter()
        self.tokens: Counter[int] = Counter()

    def spawn(self) -> Worker:
        return Worker(f"worker {self.random.random()}")

    def act(self, kill: bool = True) -> bool:
        """One call of one worker; returns whether the search is over."""
        index = self.random.randrange(len(self.workers))
        worker = self.workers[index]
        if kill and self.random.random() < 0.15:
            if self.random.random() < 0.5:  # killed; half of the time on another machine
                self.dead.add(worker.name)
            self.workers[index] = self.spawn()
        elif kill and self.random.random() < 0.1:  # everything sleeps
            self.clock.now += self.random.choice((1, 30, 61, 500))
        elif worker.trial is None:
            return self.take(worker)
        else:
            self.train(worker, worker.trial)
        return False

    def take(self, worker: Worker) -> bool:
        trial = self.store.lease(worker.name, decide)
        self.holder = {row.number: row.lease for row in self.store.trials()}  # without those that are free now
        if isinstance(trial, Trial):
            worker.trial, worker.result = trial, TrialResult(step=trial.step)
            self.tokens[trial.number] = trial.tokens
        elif isinstance(trial, Wait):
            self.clock.now += 1
        return isinstance(trial, Done)

    def train(self, worker: Worker, trial: Trial) -> None:
        """Train a step and report it, or give the trial back; a worker that has lost it must notice."""
        is_holder = self.holder[trial.number] == trial.lease
        target = trial.target_step or LAST
        step = min(target, worker.result.step + 1)
        worker.result = TrialResult(step=step, tokens=worker.result.tokens + 1)
        try:
            if step < target:
                self.store.beat(trial, worker.result)
            else:
                state = State.PAUSED if trial.target_step else State.COMPLETE
                self.store.finish(trial, state, worker.result)
                self.finished[trial.number] += state.is_final
                worker.trial = None
                self.holder[trial.number] = ""
            self.tokens[trial.number] += 1
        except LeaseLostError:
            assert not is_holder
            worker.trial = None
            return
        assert is_holder


@pytest.mark.parametrize("seed", range(15))
def test_random_interleavings_lose_double_and_strand_nothing(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    play = Interleaving(open_store(f"sqlite:///{tmp_path / 'trials.sqlite'}", clock), clock, seed)
    monkeypatch.setattr(store_module, "has_ended", lambda name: name in play.dead)
    monkeypatch.setattr(store_module, "MAX_ATTEMPTS", 1000)
    for _ in range(150):
        play.act()
    for _ in range(1000):
        if play.act(kill=False):
            break
        play.clock.now += 1
    trials = play.store.trials()
    assert [trial.number for trial in trials] == list(range(NUM_TRIALS))
    assert [trial.state for trial in trials] == [State.COMPLETE, State.PAUSED] * (NUM_TRIALS // 2)
    assert [trial.step for trial in trials] == [LAST, RUNG] * (NUM_TRIALS // 2)
    assert +play.finished == dict.fromkeys(range(0, NUM_TRIALS, 2), 1)
    assert [trial.tokens for trial in trials] == [play.tokens[number] for number in range(NUM_TRIALS)]
    assert all(trial.worker == trial.lease == "" for trial in trials)
