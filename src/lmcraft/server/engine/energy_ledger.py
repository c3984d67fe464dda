"""Divides the energy that this process draws while its engines work among the requests that they work for.

The meter is read when engines begin to work, when they rest, and for each answer that reports its energy. What was drawn
between two readings is divided by the engine time of the requests. So the shares add up to what was drawn, whatever was
computed together, and time in which no engine works is nobody's.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lmcraft.energy import Meter, Reading, open_meter
from lmcraft.energy.carbon import emissions
from lmcraft.energy.energy import JOULES_PER_WH, NO_ENERGY, Energy
from lmcraft.inference.request import SequenceState
from lmcraft.server.metrics import Metrics

MAX_READING_SECONDS = 5.0  # between two readings: the counters of some processors overflow within a minute


@dataclass(frozen=True)
class Work:
    """What an engine has done for a request."""

    seconds: float = 0.0
    tokens: int = 0


class EnergyShare:
    """One request's share of the energy.

    Args:
        model: the model that it asks.
        sequences: its sequences.
        flops_per_token: floating-point operations of the model, for a meter that has nothing else to go by.
    """

    def __init__(self, model: str, sequences: Sequence[SequenceState], flops_per_token: float = 0.0) -> None:
        self.model, self.flops_per_token, self._sequences = model, flops_per_token, sequences
        self.energy = NO_ENERGY
        """Up to the latest reading of the meter."""
        self._work = Work()

    @property
    def is_answer(self) -> bool:
        """Whether text is generated; other requests are only read."""
        return any(sequence.request.generates for sequence in self._sequences)

    @property
    def is_complete(self) -> bool:
        """Whether all of it was generated: no sequence failed or was canceled."""
        return all(sequence.finished and sequence.error is None for sequence in self._sequences)

    def take_work(self) -> Work:
        """The work since the last call."""
        before, sequences = self._work, self._sequences
        self._work = Work(sum(s.work_seconds for s in sequences), sum(s.work_tokens for s in sequences))
        return Work(self._work.seconds - before.seconds, self._work.tokens - before.tokens)


@dataclass
class _Totals:
    """What was drawn since the server began."""

    energy: Energy = NO_ENERGY
    answers: Energy = NO_ENERGY
    """For complete answers."""
    num_answers: int = 0
    wasted: Energy = NO_ENERGY
    """For requests that failed, or that the client gave up."""


class EnergyLedger:
    """The energy of a server's engines, and the shares of their requests; safe to use from any thread.

    Args:
        metrics: counts the energy of each model.
        meter: measures this process; None: the best one here.
    """

    def __init__(self, metrics: Metrics, meter: Meter | None = None) -> None:
        self._metrics, self.meter = metrics, meter or open_meter()
        self._lock = threading.Lock()
        self._working: set[str] = set()
        """The models whose engines work."""
        self._latest: Reading | None = None
        """The latest reading; None while no engine works."""
        self._read_time = 0.0
        self._open: dict[int, EnergyShare] = {}
        """The shares of requests that engines have, by id."""
        self._closed: list[tuple[EnergyShare, Work]] = []
        """Those that ended since the latest reading, with the work since then."""
        self._unassigned = NO_ENERGY
        """Drawn while engines did nothing for anybody, such as to drop requests; it goes to the next ones."""
        self._totals = _Totals()

    def start(self, model: str) -> None:
        """Begin to measure, because a model's engine begins to work; while it does, this reads the meter now and then."""
        if model in self._working:  # only the thread of this engine changes that
            if time.monotonic() - self._read_time > MAX_READING_SECONDS:
                self.settle()
            return
        with self._lock:
            if self._latest is None:
                self._read()
            self._working.add(model)

    def rest(self, model: str) -> None:
        """Stop measuring, because a model's engine has no work, unless another one has."""
        with self._lock:
            self._settle()
            self._working.discard(model)
            if not self._working:
                self._latest = None

    def open(self, share: EnergyShare) -> None:
        """Begin to count for a request."""
        with self._lock:
            self._open[id(share)] = share

    def close(self, share: EnergyShare, *, settles: bool = False) -> None:
        """End to count for a request.

        Args:
            share: its share.
            settles: complete the share now; otherwise it lacks what was drawn since the latest reading until the next one.
        """
        with self._lock:
            if self._open.pop(id(share), None) is not None:
                self._closed.append((share, share.take_work()))
            if settles:
                self._settle()

    def settle(self) -> None:
        """Read the meter, and divide what was drawn since the last time."""
        with self._lock:
            self._settle()

    def describe(self, energy: Energy) -> dict[str, Any]:
        """An amount of energy as a response reports it."""
        gases = emissions(energy)
        return {
            "joules": _round(energy.joules),
            "low": _round(energy.low),
            "high": _round(energy.high),
            "method": energy.method or self.meter.method,
            "grams_co2e": _round(gases.grams),
            "region": gases.region,
            "year": gases.year,
        }

    def summary(self) -> dict[str, Any]:
        """What was drawn since the server began, and for 1,000 answers; Wh per 1,000 is null before the first answer."""
        with self._lock:
            self._settle()
            totals = replace(self._totals)
        joules, count = totals.energy.joules, totals.num_answers
        per_thousand = totals.answers.scaled(1000 / count / JOULES_PER_WH) if count else None
        return {
            **self.describe(totals.energy),
            "answers": count,
            "wh_per_1000_answers": per_thousand
            and {
                "value": _round(per_thousand.joules),
                "low": _round(per_thousand.low),
                "high": _round(per_thousand.high),
            },
            "share_wasted": _round(totals.wasted.joules / joules) if joules else 0.0,
        }

    def _read(self) -> Reading:
        self._latest, self._read_time = self.meter.read(), time.monotonic()
        return self._latest

    def _settle(self) -> None:
        if self._latest is None:
            return
        works = [(share, share.take_work()) for share in self._open.values()] + self._closed
        flops = sum(share.flops_per_token * work.tokens for share, work in works)
        energy = replace(self.meter.energy(self._latest, self._read(), flops=flops), parts={})
        self._totals.energy += energy
        energy += self._unassigned
        seconds = sum(work.seconds for _, work in works)
        self._unassigned = NO_ENERGY if seconds else energy
        for share, work in works:
            if work.seconds:
                part = energy.scaled(work.seconds / seconds)
                share.energy += part
                self._metrics.record_energy(share.model, part)
        for share, _ in self._closed:
            self._count(share)
        self._closed = []

    def _count(self, share: EnergyShare) -> None:
        """Count a request that has ended, and whose energy is complete."""
        if not share.is_complete:
            self._totals.wasted += share.energy
        elif share.is_answer:
            self._totals.answers += share.energy
            self._totals.num_answers += 1


def _round(value: float) -> float:
    """Six digits: more would be noise, and fewer would not add up."""
    return float(f"{value:.6g}")
