"""Shares of the energy: they add up to what was drawn, by the engine's work, and idle time is nobody's."""

import random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lmcraft.energy.energy import Energy
from lmcraft.energy.meter import Meter
from lmcraft.energy.reading import Reading
from lmcraft.server.engine import energy_ledger
from lmcraft.server.engine.energy_ledger import MAX_READING_SECONDS, EnergyLedger, EnergyShare
from lmcraft.server.metrics import Metrics
from tests.clock import set_clock


class SetMeter:
    """A meter that shows what the test says."""

    method = "rapl"

    def __init__(self) -> None:
        self.joules, self.num_readings = 100.0, 0
        self.flops = list[float]()

    def read(self, **_: Any) -> float:
        self.num_readings += 1
        return self.joules

    def energy(self, since: float, until: float, *, flops: float = 0.0) -> Energy:
        self.flops.append(flops)
        joules = until - since
        return Energy(joules, joules / 2, joules * 2, "rapl", 1.0)


def sequence(*, generates: bool = True) -> Any:
    request = SimpleNamespace(generates=generates)
    return SimpleNamespace(work_seconds=0.0, work_tokens=0, finished=True, error=None, request=request)


def new_share(model: str = "tiny", flops_per_token: float = 0.0, **options: bool) -> tuple[EnergyShare, Any]:
    work = sequence(**options)
    return EnergyShare(model, [work], flops_per_token), work


@pytest.fixture
def meter() -> SetMeter:
    return SetMeter()


@pytest.fixture
def ledger(meter: SetMeter) -> EnergyLedger:
    return EnergyLedger(Metrics(), cast(Meter, meter))


def test_a_step_is_divided_by_work_and_idle_time_is_nobodys(ledger: EnergyLedger, meter: SetMeter) -> None:
    (short, short_work), (long, long_work) = new_share(), new_share()
    meter.joules += 50  # before any work
    ledger.start("tiny")
    ledger.open(short)
    ledger.open(long)
    short_work.work_seconds, long_work.work_seconds = 1.0, 3.0
    meter.joules += 8
    ledger.close(short, settles=True)
    assert (short.energy.joules, short.energy.low, short.energy.high) == (2, 1, 4) and long.energy.joules == 6
    long_work.work_seconds += 1.0  # alone
    meter.joules += 5
    ledger.close(long)
    ledger.rest("tiny")
    meter.joules += 1000  # idle
    ledger.start("tiny")
    ledger.rest("tiny")
    assert long.energy.joules == 11 and short.energy.joules == 2
    summary = ledger.summary()
    assert summary["joules"] == 13 and summary["answers"] == 2 and summary["method"] == "rapl"
    assert summary["wh_per_1000_answers"] == {"value": 1.80556, "low": 0.902778, "high": 3.61111}  # 6.5 J each


def test_the_shares_add_up_to_what_was_drawn_whatever_happens(ledger: EnergyLedger, meter: SetMeter) -> None:
    choice = random.Random(3)
    shares: list[tuple[EnergyShare, Any]] = []
    running: list[tuple[EnergyShare, Any]] = []
    drawn, is_working = 0.0, {"tiny": False, "small": False}
    for _ in range(3000):
        model = choice.choice(list(is_working))
        match choice.randrange(6):
            case 0:
                ledger.start(model)
                is_working[model] = True
            case 1:
                ledger.rest(model)
                is_working[model] = False
            case 2:
                shares.append(new_share(model))
                running.append(shares[-1])
                ledger.open(shares[-1][0])
            case 3 if running:
                share, _ = running.pop(choice.randrange(len(running)))
                ledger.close(share, settles=choice.random() < 0.5)
                ledger.close(share)  # twice does no harm
            case 4 if running and any(is_working.values()):
                choice.choice(running)[1].work_seconds += choice.random()
            case 5:
                joules = choice.random()
                meter.joules += joules
                drawn += joules if any(is_working.values()) else 0.0
    ledger.start("tiny")
    last, work = new_share()
    ledger.open(last)
    work.work_seconds = 1e-3  # takes what was drawn for nobody
    for share, _ in running:
        ledger.close(share)
    ledger.close(last, settles=True)
    total = sum(share.energy.joules for share, _ in shares) + last.energy.joules
    assert total == pytest.approx(drawn) and ledger.summary()["joules"] == pytest.approx(drawn, rel=1e-5)
    lines = [line for line in ledger._metrics.render().splitlines() if line.startswith("lmcraft:energy_joules_total")]
    assert sum(float(line.rpartition(" ")[2]) for line in lines) == pytest.approx(drawn)


def test_two_engines_share_what_the_process_draws(ledger: EnergyLedger, meter: SetMeter) -> None:
    (share, work), (other, other_work) = new_share("tiny"), new_share("small")
    ledger.start("tiny")
    ledger.open(share)
    work.work_seconds, meter.joules = 1.0, 110.0
    ledger.start("small")
    ledger.open(other)
    work.work_seconds, other_work.work_seconds, meter.joules = 2.0, 2.0, 140.0
    ledger.close(share)
    ledger.rest("tiny")
    other_work.work_seconds, meter.joules = 3.0, 147.0
    ledger.close(other)
    ledger.rest("small")
    assert (share.energy.joules, other.energy.joules) == (pytest.approx(20), pytest.approx(27))


def test_requests_that_nobody_received_are_wasted(ledger: EnergyLedger, meter: SetMeter) -> None:
    (left, left_work), (read, read_work), (answer, answer_work) = new_share(), new_share(generates=False), new_share()
    ledger.start("tiny")
    for share in (left, read, answer):
        ledger.open(share)
    left_work.work_seconds, read_work.work_seconds, answer_work.work_seconds = 1.0, 2.0, 1.0
    left_work.finished = False
    meter.joules += 40
    for share in (left, read, answer):
        ledger.close(share)
    ledger.rest("tiny")
    summary = ledger.summary()
    assert (summary["joules"], summary["share_wasted"], summary["answers"]) == (40, 0.25, 1)
    assert summary["wh_per_1000_answers"]["value"] == pytest.approx(10 * 1000 / 3600, rel=1e-5)


def test_a_server_without_answers_has_no_figure_for_them(ledger: EnergyLedger) -> None:
    summary = ledger.summary()
    assert summary["wh_per_1000_answers"] is None and summary["joules"] == summary["share_wasted"] == 0
    assert summary["method"] == "rapl" and summary["year"] > 2000


def test_the_meter_is_read_now_and_then_during_long_work(
    ledger: EnergyLedger, meter: SetMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    set_clock(monkeypatch, energy_ledger, monotonic=lambda: now[0])
    for _ in range(100):  # steps of 0.1 s
        ledger.start("tiny")
        now[0] += 0.1
    assert 2 <= meter.num_readings <= 2 + 10 / MAX_READING_SECONDS


def test_a_meter_that_goes_by_operations_gets_them(ledger: EnergyLedger, meter: SetMeter) -> None:
    (share, work), (other, other_work) = new_share(flops_per_token=10.0), new_share(flops_per_token=100.0)
    ledger.start("tiny")
    ledger.open(share)
    ledger.open(other)
    work.work_tokens, other_work.work_tokens = 3, 2
    ledger.settle()
    other_work.work_tokens += 1
    ledger.close(other, settles=True)
    assert meter.flops == [230, 100]


def test_the_real_meter_measures_work() -> None:
    ledger = EnergyLedger(Metrics())
    share, work = new_share()
    ledger.start("tiny")
    ledger.open(share)
    work.work_seconds = sum(number * 0.0 for number in range(300_000)) + 1.0
    ledger.close(share, settles=True)
    reported = ledger.describe(share.energy)
    assert 0 < reported["low"] < reported["joules"] < reported["high"] and reported["grams_co2e"] > 0
    assert isinstance(ledger.meter.read(), Reading) and reported["method"]
