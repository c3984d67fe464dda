"""Kill test of a search: SIGKILL to random workers and to their parent, then `--resume`, and a look at what is left.

With the sampler `random` and no promotion, the trials must equal those of a search that nobody killed, values bit for bit.
With `asha`, where they depend on which trial ends first, no trial may be lost, doubled or stranded, and each promoted one
must have continued from its rung. In both, no run may begin before the latest checkpoint that a kill left.

With --two-hosts, two network namespaces with names of their own share a folder and a PostgreSQL server in the first one. The
second host is killed once and cut off once, each time longer than its lease.

python benchmarks/search_kills.py --folder /tmp/kills --kills 20
python benchmarks/search_kills.py --folder /tmp/kills --kills 20 --storage postgresql --promotion asha
python benchmarks/search_kills.py --folder /tmp/hosts --two-hosts      (as root: network namespaces)
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

sys.path.insert(0, str(Path(__file__).parents[1]))
from lmcraft.hyperparameters.holder import has_ended
from lmcraft.hyperparameters.store import TrialStore
from lmcraft.hyperparameters.tables import sqlite_url
from lmcraft.hyperparameters.trial import State, Trial, trial_folder
from tests.hyperparameters.postgresql import USER, postgresql

T = TypeVar("T")

RUNG, STEPS, SAVE_EVERY = 10, 20, 5
SPACE = """[pretrain]
data = {data}
max_steps = {steps}
depth = 1
model.hidden_size = {{ choices = [32, 48], default = 32 }}
model.num_attention_heads = 2
sequence_length = 128
batch_size = 32
micro_batch_size = 32
precision = "fp32"
attention = "matmul"
compile = "off"
eval_every = 5
eval_tokens = 512
save_every = {save_every}
optimizer.learning_rate = {{ low = 1e-3, high = 1e-1, log = true, default = 1e-2 }}
optimizer.weight_decay = {{ low = 0.0, high = 0.2, default = 0.1 }}
"""
COMMON_FLAGS = ("--sampler", "random", "--confirm", "1", "--promotion")
FLAGS = {
    "none": (*COMMON_FLAGS, "none"),
    "asha": (*COMMON_FLAGS, "asha", "--min-steps", str(RUNG), "--reduction-factor", "2"),
}
LMCRAFT = [sys.executable, "-m", "lmcraft"]
PATIENCE_SECONDS = 60.0
TRAINING_SHARE = 0.75  # of the kills, while trials run; the others may also meet processes that start


def prepare(folder: Path) -> Path:
    """The space file, and the dataset that it names."""
    data, space = folder / "data", folder / "space.toml"
    if not space.exists():
        folder.mkdir(parents=True, exist_ok=True)
        text = folder / "text.txt"
        text.write_text("".join(f"Line {n}: {n * n} lazy dogs. 天地玄黄\n\n" for n in range(4000)), encoding="utf-8")
        subprocess.run([*LMCRAFT, "prepare", str(text), "--out", str(data), "--vocab-size", "300"], check=True)
        space.write_text(SPACE.format(data=json.dumps(str(data)), steps=STEPS, save_every=SAVE_EVERY), encoding="utf-8")
    return space


@dataclass
class Victim:
    """A search that is started, killed and started again."""

    space: Path
    out: Path
    storage: str
    """URL, or empty: SQLite in `out`."""
    flags: Sequence[str]
    prefix: Sequence[str] = ()
    """Of the command, such as to run it in a namespace."""
    address: str = ""
    """The URL for the command, where it is another than for this process."""
    parent: subprocess.Popen[bytes] | None = None
    left: list[tuple[int, int, int]] = field(default_factory=list)
    """Of each trial that ran during a kill: its number, the starts of its run so far, and the latest checkpoint."""

    @property
    def store(self) -> TrialStore:
        return TrialStore.open(self.storage or sqlite_url(self.out / "trials.sqlite"), self.out.name)

    def start(self) -> None:
        """Begin the search, or continue it."""
        exists = (self.out / "search.toml").exists() or (self.out / "trials.sqlite").exists()
        arguments = ["--resume"] if exists else [str(self.space), *self.flags]
        storage = ["--storage", self.address or self.storage] if self.storage else []
        command = [*self.prefix, *LMCRAFT, "search", *arguments, "--out", str(self.out), *storage]
        with (self.out.parent / f"{self.out.name}.log").open("a") as log:
            self.parent = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def finish(self) -> None:
        """Wait for the end of the search."""
        assert self.parent is not None
        if status := self.parent.wait():
            raise SystemExit(f"the search ended with status {status}: see {self.out}.log")

    def trials(self) -> list[Trial]:
        return self.store.trials()

    def running(self, workers: Sequence[int] = ()) -> set[int]:
        """The numbers of the trials that living workers hold, all or only these."""
        trials = self.trials() if self.storage or (self.out / "trials.sqlite").exists() else []
        held = [trial for trial in trials if trial.state is State.RUNNING and not has_ended(trial.worker)]
        return {trial.number for trial in held if not workers or int(trial.worker.split(":")[1]) in workers}

    def kill(self, draw: random.Random) -> str:
        """Kill the parent or one of its workers; returns which."""
        assert self.parent is not None
        workers = children(self.parent.pid)
        target = draw.choice([self.parent.pid, *workers])
        is_parent = target == self.parent.pid
        running = self.running(workers if is_parent else [target]) if workers else set()
        with suppress(ProcessLookupError):
            os.kill(target, signal.SIGKILL)
        if is_parent:
            self.parent.wait()
            wait_for_end(workers)
        self._note(running)
        if is_parent:
            self.start()
        return "parent" if is_parent else "worker"

    def _note(self, numbers: set[int]) -> None:
        for number in numbers:
            self.left.append((number, len(self.starts(number)), self.latest_checkpoint(number)))

    def starts(self, number: int) -> list[int]:
        """The step after which each start of a trial's run began."""
        file = trial_folder(self.out, number) / "pretrain" / "lmcraft" / "history.jsonl"
        return [json.loads(line)["step"] for line in file.read_text().splitlines()] if file.exists() else []

    def latest_checkpoint(self, number: int) -> int:
        folder = trial_folder(self.out, number) / "pretrain" / "lmcraft" / "checkpoints"
        names = (path.name.removeprefix("step-") for path in folder.glob("step-*"))
        return max((int(name) for name in names if name.isdigit()), default=0)


def children(process: int) -> list[int]:
    with suppress(FileNotFoundError):
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return []


def wait_for_end(processes: Sequence[int]) -> None:
    """Wait until processes that lost their parent have ended."""
    end = time.monotonic() + PATIENCE_SECONDS
    while any(Path(f"/proc/{process}").exists() for process in processes):
        if time.monotonic() > end:
            raise SystemExit(f"FAULT: the workers {processes} live on without their parent")
        time.sleep(0.05)


def check(victim: Victim, reference: Victim | None) -> list[str]:
    """The faults of a search that was killed; `reference` is the one that was not, if both must be equal."""
    trials, faults = victim.trials(), []
    if [trial.number for trial in trials] != list(range(len(trials))):
        faults.append("numbers have gaps")
    faults += [f"trial {t.number} is {t.state}: {t.error}" for t in trials if t.state not in (State.PAUSED, State.COMPLETE)]
    faults += [f"trial {t.number} has a worker" for t in trials if t.worker or t.lease]
    for trial in trials:
        starts = victim.starts(trial.number)
        steps = [row["step"] for row in metrics(victim, trial.number) if "loss" in row]
        if steps != list(range(1, trial.step + 1)):
            faults.append(f"trial {trial.number} at step {trial.step} has the steps {steps}")
        if is_promoted(trial, victim) and not any(step >= RUNG for step in starts):
            faults.append(f"trial {trial.number} was promoted, but began at the steps {starts}")
    for number, count, checkpoint in victim.left:
        starts = victim.starts(number)
        if count < len(starts) and starts[count] < checkpoint:
            faults.append(f"trial {number} began at step {starts[count]}, although step {checkpoint} was saved")
    if reference is not None:
        for killed, calm in zip(trials, reference.trials(), strict=False):
            for name in ("point", "kind", "seed", "source", "state", "step", "target_step", "values", "holdout", "curve"):
                if getattr(killed, name) != getattr(calm, name):
                    faults.append(f"trial {killed.number}: {name} {getattr(killed, name)} is not {getattr(calm, name)}")
        if len(trials) != len(reference.trials()):
            faults.append(f"{len(trials)} trials are not {len(reference.trials())}")
    return faults


def is_promoted(trial: Trial, victim: Victim) -> bool:
    return "asha" in victim.flags and trial.target_step == 0 and trial.source is None


def metrics(victim: Victim, number: int) -> list[dict[str, float]]:
    file = trial_folder(victim.out, number) / "pretrain" / "lmcraft" / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def kill_search(arguments: argparse.Namespace, storage: str) -> int:
    """Run the killed search, and compare it; returns the number of faults."""
    space = prepare(arguments.folder)
    flags = ["--trials", str(arguments.trials), "--workers", "2", *FLAGS[arguments.promotion]]
    reference = Victim(space, arguments.folder / "reference", "", flags)
    if arguments.promotion == "none" and not (arguments.folder / "reference.complete").exists():
        shutil.rmtree(reference.out, ignore_errors=True)
        begin = time.monotonic()
        reference.start()
        reference.finish()
        (arguments.folder / "reference.complete").touch()
        print(f"undisturbed: {len(reference.trials())} trials in {time.monotonic() - begin:.0f} s", flush=True)
    victim = Victim(space, arguments.folder / f"killed-{arguments.storage}-{arguments.promotion}", storage, flags)
    shutil.rmtree(victim.out, ignore_errors=True)
    draw, begin, killed = random.Random(arguments.seed), time.monotonic(), list[str]()
    victim.start()
    while len(killed) < arguments.kills:
        assert victim.parent is not None
        if draw.random() < TRAINING_SHARE:
            wait_until(lambda: victim.running() or victim.parent.poll() is not None)
        time.sleep(draw.uniform(0, 2 * arguments.seconds))
        if victim.parent.poll() is not None:
            break
        killed.append(victim.kill(draw))
    victim.finish()
    trials = victim.trials()
    counts = ", ".join(f"{killed.count(name)} of the {name}" for name in ("worker", "parent"))
    restarts = sum(max(0, len(victim.starts(trial.number)) - 1) for trial in trials)
    saved = sum(checkpoint > 0 for _, _, checkpoint in victim.left)
    print(f"{len(killed)} kills ({counts}) in {time.monotonic() - begin:.0f} s", flush=True)
    print(f"they met {len(victim.left)} running trials, {saved} with saved steps; runs were continued {restarts} times")
    states = ", ".join(f"{sum(t.state is state for t in trials)} {state}" for state in (State.PAUSED, State.COMPLETE))
    print(f"{len(trials)} trials: {states}; {victim.store.totals()}")
    faults = check(victim, reference if arguments.promotion == "none" else None)
    if len(killed) < arguments.kills:
        faults.append(f"the search ended after {len(killed)} kills: lower --seconds")
    print(*(f"FAULT: {fault}" for fault in faults), f"{len(faults)} faults", sep="\n")
    return len(faults)


# Two hosts

HOSTS = ("lmcraft-a", "lmcraft-b")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
CUT_SECONDS = 80.0  # longer than a lease
RENAME = ("unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"')


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


@contextmanager
def network() -> Iterator[None]:
    """Two namespaces, joined by a pair of virtual Ethernet devices."""
    try:
        for host in HOSTS:
            ip("netns", "add", host)
        ip("link", "add", HOSTS[0], "netns", HOSTS[0], "type", "veth", "peer", "name", HOSTS[1], "netns", HOSTS[1])
        for host, address in zip(HOSTS, ADDRESSES, strict=True):
            ip("-n", host, "address", "add", f"{address}/24", "dev", host)
            ip("-n", host, "link", "set", host, "up")
            ip("-n", host, "link", "set", "lo", "up")
        yield
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "delete", host], check=False)


def on(host: str) -> list[str]:
    """The beginning of a command that runs on a host."""
    return ["ip", "netns", "exec", host, *RENAME, host]


def search_on_two_hosts(arguments: argparse.Namespace) -> int:
    """One search on both hosts; returns the number of faults."""
    space, out = prepare(arguments.folder), arguments.folder / "two-hosts"
    shutil.rmtree(out, ignore_errors=True)
    flags = ["--trials", str(arguments.trials), *FLAGS["asha"]]
    address = f"postgresql+psycopg://{USER}@{ADDRESSES[0]}/postgres"
    with network(), postgresql(ADDRESSES[0], ["ip", "netns", "exec", HOSTS[0]]) as storage:
        first, second = (Victim(space, out, storage, flags, on(host), address) for host in HOSTS)
        first.start()
        wait_until(lambda: (out / "search.toml").exists() and holds(first, HOSTS[0]))
        second.start()
        lost = wait_until(lambda: holds(second, HOSTS[1]))
        assert second.parent is not None
        os.killpg(second.parent.pid, signal.SIGKILL)
        print(f"the second host held trial {lost}, and was killed", flush=True)
        begin = time.monotonic()
        wait_until(lambda: not second.trials()[lost].worker.startswith(HOSTS[1]))
        print(f"the first host took trial {lost} {time.monotonic() - begin:.0f} s later", flush=True)
        second.start()
        lost = wait_until(lambda: holds(second, HOSTS[1]))
        ip("-n", HOSTS[1], "link", "set", HOSTS[1], "down")
        time.sleep(CUT_SECONDS)
        taken = not second.trials()[lost].worker.startswith(HOSTS[1])
        print(f"the second host held trial {lost}, and was cut off; taken by the first one: {taken}", flush=True)
        ip("-n", HOSTS[1], "link", "set", HOSTS[1], "up")
        print(f"the second host is back, and holds trial {wait_until(lambda: holds(second, HOSTS[1]))}", flush=True)
        for host in (first, second):
            host.finish()
        faults = check(first, None)
        print(f"{len(first.trials())} trials; {first.store.totals()}")
    print(*(f"FAULT: {fault}" for fault in faults), f"{len(faults)} faults", sep="\n")
    return len(faults)


def holds(victim: Victim, host: str) -> int | None:
    """The trial that a host holds."""
    running = (trial for trial in victim.trials() if trial.state is State.RUNNING)
    return next((trial.number for trial in running if trial.worker.startswith(f"{host}/")), None)


def wait_until(condition: Callable[[], T | None]) -> T:
    """Wait for a value that is neither None, nor False, nor empty."""
    end = time.monotonic() + 5 * PATIENCE_SECONDS
    while (value := condition()) is None or value is False or value == set():
        if time.monotonic() > end:
            raise SystemExit("FAULT: it does not happen")
        time.sleep(0.1)
    return value


def run() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="scratch folder")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=6.0, help="mean time from the start of a trial to a kill")
    parser.add_argument("--storage", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--promotion", choices=["none", "asha"], default="none")
    parser.add_argument("--two-hosts", action="store_true", help="one search on two hosts, each a network namespace")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    arguments.folder = arguments.folder.resolve()
    if arguments.two_hosts:
        return search_on_two_hosts(arguments)
    with ExitStack() as stack:
        storage = stack.enter_context(postgresql()) if arguments.storage == "postgresql" else ""
        return kill_search(arguments, storage)


if __name__ == "__main__":
    sys.exit(run())
