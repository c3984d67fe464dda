"""Interval honesty of the meters, on simulated machines and on this one, with CodeCarbon beside them if it is installed.

    python benchmarks/energy.py simulated --machines 2000
    python benchmarks/energy.py real --rounds 3      # pip install 'lmcraft[codecarbon]' adds its column

`simulated` draws machines, from laptops to servers, whose electricity is known, and lets every rung of the ladder measure
them at several loads. `real` trains, decodes, encodes and multiplies matrices on this machine, and reads the meters of CPU
time and of floating-point operations together.
"""

import argparse
import random
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import lmcraft
from lmcraft.energy import Energy, format_energy
from lmcraft.energy.cross_check import multiply_matrices, start_codecarbon, stop_codecarbon
from lmcraft.energy.gpus import GpuCounters
from lmcraft.energy.meter import Meter, make_meter
from lmcraft.energy.nvml import Nvml
from lmcraft.energy.power_table import MachinePower
from lmcraft.processor import cpu_name, usable_cpus

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.energy.fake_nvml import FakeGpu, FakeLibrary
from tests.energy.simulated_machine import SimulatedCounters, SimulatedMachine

# Shares of all CPUs that this work and other work keep busy.
LOADS = {
    "alone, all CPUs": (1.0, 0.0),
    "alone, half": (0.5, 0.0),
    "alone, a tenth": (0.1, 0.0),
    "alone, a fiftieth": (0.02, 0.0),
    "half, the rest busy": (0.5, 0.5),
    "a tenth, eight busy": (0.1, 0.8),
    "a twentieth, one busy": (0.05, 0.05),
}
GPU_SECONDS = 60
OWN_PID = 1
TRAINING_STEPS = 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    simulated = commands.add_parser("simulated")
    simulated.add_argument("--machines", type=int, default=2000)
    simulated.set_defaults(run=lambda arguments: simulate(arguments.machines))
    real = commands.add_parser("real")
    real.add_argument("--rounds", type=int, default=3)
    real.set_defaults(run=lambda arguments: measure(arguments.rounds))
    arguments = parser.parse_args()
    arguments.run(arguments)


def simulate(machines: int) -> None:
    """Print the share of machines on which the truth, and the figure of another rung, lies in the interval of a rung."""
    print("| load | truth in RAPL | truth in CPU time | RAPL in CPU time | CPU time in RAPL | the same, measured watts |")
    print("|---|---|---|---|---|---|")
    for name, load in LOADS.items():
        rows = [_rungs(random.Random(seed), *load) for seed in range(machines)]
        figures = [
            _share(_inside(truth, rapl) for truth, rapl, _, _ in rows),
            _share(_inside(truth, by_time) for truth, _, by_time, _ in rows),
            _share(_inside(rapl.joules, by_time) for _, rapl, by_time, _ in rows),
            _share(_inside(by_time.joules, rapl) for _, rapl, by_time, _ in rows),
            _share(_inside(measured.joules, rapl) for _, rapl, _, measured in rows),
        ]
        print(f"| {name} | {' | '.join(f'{figure:.1%}' for figure in figures)} |", flush=True)
    rows_of_gpus = [_gpu_rungs(random.Random(seed)) for seed in range(machines)]
    print(f"truth in NVML's counter: {_share(_inside(truth, counted) for truth, counted, _ in rows_of_gpus):.1%}")
    print(f"sampled power in NVML's counter: {_share(_inside(s.joules, c) for _, c, s in rows_of_gpus):.1%}")
    print(f"truth in sampled power: {_share(_inside(truth, sampled) for truth, _, sampled in rows_of_gpus):.1%}")


def _rungs(generator: random.Random, own: float, others: float) -> tuple[float, Energy, Energy, Energy]:
    """The truth, RAPL, CPU time by the table, and CPU time by measured watts."""
    machine = SimulatedMachine.drawn(generator)
    has_memory = generator.random() < 0.5
    meters = [
        _simulated_meter(machine, "rapl", machine.power, has_memory=has_memory),
        _simulated_meter(machine, "cpu time", machine.power, has_memory=has_memory),
        _simulated_meter(machine, "cpu time", machine.measured_power, has_memory=has_memory),
    ]
    readings = [meter.read() for meter in meters]
    for _ in range(10):
        machine.run(2.0, own, others)
    rapl, by_time, measured = (meter.energy(since) for meter, since in zip(meters, readings, strict=True))
    return machine.true_joules, rapl, by_time, measured


def _simulated_meter(machine: SimulatedMachine, method: str, power: MachinePower, *, has_memory: bool) -> Meter:
    return Meter(
        method,
        power,
        powercap=SimulatedCounters(machine, has_memory=has_memory),
        read_machine_load=machine.load,
        processor_seconds=lambda: machine.own_seconds,
        clock=lambda: machine.seconds,
    )


def _gpu_rungs(generator: random.Random) -> tuple[float, Energy, Energy]:
    """A GPU's joules for a minute of work in steps, by its counter, and by sampled power.

    The sensor has a gain of its own (5%, as its maker states), and samples show a quarter of each tenth of a second
    (arXiv 2312.02741).
    """
    gain = 1 + generator.gauss(0, 0.05 / 1.96)
    counted, sampled = (FakeGpu(processes=[(OWN_PID, 0)], has_counter=has_counter) for has_counter in (True, False))
    counters = [GpuCounters(Nvml(FakeLibrary([gpu])), lambda: [OWN_PID]) for gpu in (counted, sampled)]
    idle, busy = generator.uniform(60, 120), generator.uniform(200, 700)
    period, busy_share = generator.uniform(0.03, 1.0), generator.uniform(0.2, 1.0)

    def joules_until(seconds: float) -> float:
        steps, rest = divmod(seconds, period)
        return idle * seconds + (busy - idle) * (steps * busy_share * period + min(rest, busy_share * period))

    for tick in range(10 * GPU_SECONDS + 1):
        seconds = tick / 10
        counted.millijoules = round(1000 * gain * joules_until(seconds))
        sampled.milliwatts = round(1000 * gain * (joules_until(seconds) - joules_until(seconds - 0.025)) / 0.025)
        for each in counters:
            each.advance(seconds)
    by_counter, by_samples = (
        Energy(joules.best, joules.low, joules.high, "nvml")
        for joules in (counters[0].joules.counted, counters[1].joules.polled)
    )
    return joules_until(GPU_SECONDS), by_counter, by_samples


def _inside(joules: float, energy: Energy) -> bool:
    return energy.low <= joules <= energy.high


def _share(values: Iterator[bool]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)


def measure(rounds: int) -> None:
    """Print what the meters of this machine say of each workload."""
    print(f"{cpu_name()}, {usable_cpus()} CPUs")
    print("| work | CPU seconds | CPU time | FLOPs | FLOPs in CPU time | CPU time in FLOPs | CodeCarbon, processor |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        workloads = build_workloads(Path(folder))
        for name, work in workloads.items():
            for _ in range(rounds):
                print(_row(name, work), flush=True)


def _row(name: str, work: Callable[[], float]) -> str:
    meters = [make_meter("cpu time"), make_meter("flops")]
    readings = [meter.read() for meter in meters]
    tracker = start_codecarbon()
    flops = work()
    by_time, by_flops = (meter.energy(since, flops=flops) for meter, since in zip(meters, readings, strict=True))
    seconds = meters[0].read().processor_seconds - readings[0].processor_seconds
    other = stop_codecarbon(tracker)
    inside = [_inside(by_flops.joules, by_time), _inside(by_time.joules, by_flops)]
    beside = (
        "" if other is None else f"{format_joules(other.processor)}, ours {format_joules(by_time.parts['processor'].joules)}"
    )
    cells = [name, f"{seconds:.1f}", format_energy(by_time), format_energy(by_flops)]
    return f"| {' | '.join([*cells, *('yes' if each else 'no' for each in inside), beside])} |"


def format_joules(joules: float) -> str:
    return f"{joules:.1f} J"


def build_workloads(folder: Path) -> dict[str, Callable[[], float]]:
    """Each works for some seconds, and returns its floating-point operations."""
    text = "\n\n".join(_python_sources(1_000_000))
    (folder / "text.txt").write_text(text, encoding="utf-8")
    data = lmcraft.prepare(str(folder / "text.txt"), out=str(folder / "data"))
    settings = {"depth": 4, "batch_size": 8, "sequence_length": 256, "sample_every": 10**6}
    model = lmcraft.load(lmcraft.pretrain(data.path, out=str(folder / "model"), max_steps=2, **settings).path)
    flops_per_token = model.transformer.flops_per_token(256)

    def train() -> float:
        out = folder / f"model-{len(list(folder.iterdir()))}"
        lmcraft.pretrain(data.path, out=str(out), max_steps=TRAINING_STEPS, **settings)
        return TRAINING_STEPS * 8 * 256 * flops_per_token

    def decode() -> float:
        tokens = 0
        for seed in range(4):
            tokens += sum(1 for _ in model.stream("def read(path):", max_new_tokens=200, seed=seed))
        return tokens * flops_per_token / 3

    def encode() -> float:
        for _ in range(3):
            model.tokenizer.encode(text)
        return 0.0

    return {
        "training, 4 layers": train,
        "decoding": decode,
        "encoding text": encode,
        "matrices, all CPUs": lambda: multiply_matrices(usable_cpus(), 5.0),
        "matrices, one CPU": lambda: multiply_matrices(1, 5.0),
    }


def _python_sources(size: int) -> Sequence[str]:
    """Some of the standard library."""
    sources, total = [], 0
    for file in sorted(Path(random.__file__).parent.glob("*.py")):
        sources.append(file.read_text(encoding="utf-8", errors="replace"))
        total += len(sources[-1])
        if total > size:
            break
    return sources


if __name__ == "__main__":
    main()
