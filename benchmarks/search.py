"""Searches of `lmcraft search` and of plain Optuna, replayed on a table of real learning curves.

python benchmarks/search.py train benchmarks/data/learning_curves.jsonl    # 79 small models
python benchmarks/search.py replay benchmarks/data/learning_curves.jsonl [--repeats 50]

`train` continues a file that it began. Between the trained rates and decays the curves are interpolated: the space is
continuous. benchmarks/search.md has the results.
"""

import argparse
import contextlib
import itertools
import json
import math
import multiprocessing
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray

from lmcraft.hyperparameters.config import SearchConfig
from lmcraft.hyperparameters.promotion import create_promoter
from lmcraft.hyperparameters.samplers import create_sampler
from lmcraft.hyperparameters.scheduling import Done, NewTrial, Promote, Scheduler
from lmcraft.hyperparameters.space import Space
from lmcraft.hyperparameters.space_file import read_space
from lmcraft.hyperparameters.trial import CurvePoint, Point, State, Totals, Trial
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.statistics.bootstrap import bootstrap
from lmcraft.statistics.intervals import estimate_mean

RATES = tuple(float(f"{rate:.3g}") for rate in np.geomspace(0.001, 0.3, 8))
WIDTHS = (32, 64, 128)
DECAYS = (0.2, 0.5, 0.8)
REPEATED_RATES, REPEATED_SEEDS = RATES[3:5], (2, 3)  # for the noise between seeds, at the largest width and decay 0.5
DEFAULT_SEEDS = (1, 2, 3)
MAX_STEPS, EVAL_EVERY, TOKENS_PER_STEP = 135, 15, 16 * 64
PACKAGES = ("asyncio", "email", "http", "json", "logging", "unittest", "xml", "importlib", "concurrent", "multiprocessing")

TRIALS = 25
MAX_TRIALS = 100  # until a loss is reached
NEVER = 1e12  # tokens, of a search that does not reach it
SAMPLERS = ("random", "tpe", "gp")
OBJECTIVE = "bits_per_byte"
RATE, WIDTH, DECAY = "optimizer.learning_rate", "model.hidden_size", "schedule.decay"
SPACE = f"""
[pretrain]
{RATE} = {{ low = {RATES[0]}, high = {RATES[-1]}, log = true }}
{WIDTH} = {{ choices = {list(WIDTHS)} }}
{DECAY} = {{ low = {DECAYS[0]}, high = {DECAYS[-1]} }}
"""
Floats = NDArray[np.float64]


# --- the table ---


def cells() -> Iterator[dict[str, Any]]:
    """The settings of the runs: the grid, some of it with other seeds, and the defaults of the smallest models."""
    for rate, width, decay in itertools.product(RATES, WIDTHS, DECAYS):
        yield {"rate": rate, "width": width, "decay": decay, "seed": 1}
    for seed in DEFAULT_SEEDS:
        yield {"rate": 0.0, "width": 0, "decay": 0.5, "seed": seed}
    for rate, seed in itertools.product(REPEATED_RATES, REPEATED_SEEDS):
        yield {"rate": rate, "width": WIDTHS[-1], "decay": 0.5, "seed": seed}


def train(path: Path, processes: int) -> None:
    """Train the cells that the file does not have yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    missing = [cell for cell in cells() if not any(cell.items() <= row.items() for row in done)]
    os.environ["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder, path.open("a") as file:
        prepare_data(Path(folder))
        with multiprocessing.get_context("spawn").Pool(processes) as pool:
            for row in pool.imap_unordered(train_cell, [{**cell, "folder": folder} for cell in missing]):
                print(json.dumps(row), file=file, flush=True)


def prepare_data(folder: Path) -> None:
    """Packages of Python's standard library as a dataset."""
    from lmcraft import PrepareConfig, prepare

    library = Path(os.__file__).parent
    sources = tuple(str(library / name) for name in PACKAGES)
    prepare(PrepareConfig(sources, out=folder / "data", include=("*.py",), vocab_size=1024, validation=0.05))


def train_cell(cell: dict[str, Any]) -> dict[str, Any]:
    """A row of the table."""
    from lmcraft import pretrain

    folder = Path(cell.pop("folder"))
    out = folder / "-".join(str(value) for value in cell.values())
    with Path(os.devnull).open("w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
        pretrain(
            data=folder / "data", out=out, depth=2, seed=cell["seed"], sequence_length=64, batch_size=16,
            model={"hidden_size": cell["width"]}, optimizer={"learning_rate": cell["rate"]},
            schedule={"decay": cell["decay"]}, max_steps=MAX_STEPS, eval_every=EVAL_EVERY, eval_tokens=2**13,
            save_every=MAX_STEPS, sample_every=MAX_STEPS, precision="fp32", compile="off", attention="matmul",
        )  # fmt: skip
    rows = [json.loads(line) for line in (out / "lmcraft/metrics.jsonl").read_text().splitlines()]
    return {**cell, "bits_per_byte": [round(row[OBJECTIVE], 5) for row in rows if row["step"] and OBJECTIVE in row]}


class Curves:
    """The learning curves of every point of the space."""

    def __init__(self, path: Path) -> None:
        self.rows = [json.loads(line) for line in path.read_text().splitlines()]
        self.steps = np.arange(EVAL_EVERY, MAX_STEPS + 1, EVAL_EVERY)
        by_cell = {(row["rate"], row["width"], row["decay"]): row[OBJECTIVE] for row in self.rows if row["seed"] == 1}
        self.table = np.array([[[by_cell[r, w, d] for d in DECAYS] for w in WIDTHS] for r in RATES])  # (R, W, D, S)
        self.defaults = [row[OBJECTIVE][-1] for row in self.rows if row["rate"] == 0]

    def curve(self, rate: float, width: int, decay: float) -> Floats:
        """Bits per byte at each of the steps, linear in the logarithm of the rate and in the decay, (S,)."""
        plane = self.table[:, WIDTHS.index(width)]
        r, r_share = _position(math.log(rate), np.log(RATES))
        d, d_share = _position(decay, np.array(DECAYS))
        low, high = (plane[r + i, d] * (1 - d_share) + plane[r + i, d + 1] * d_share for i in (0, 1))
        return low * (1 - r_share) + high * r_share

    def noise(self) -> float:
        """The standard deviation between seeds, pooled over the settings that were repeated."""
        groups: dict[tuple[float, int, float], list[float]] = {}
        for row in self.rows:
            groups.setdefault((row["rate"], row["width"], row["decay"]), []).append(row[OBJECTIVE][-1])
        variances = [np.var(values, ddof=1) for key, values in groups.items() if len(values) > 1]
        return math.sqrt(np.mean(variances))


def _position(value: float, grid: Floats) -> tuple[int, float]:
    """The index of the interval of the grid that has the value, and the share of the interval below it."""
    index = int(np.clip(np.searchsorted(grid, value) - 1, 0, len(grid) - 2))
    return index, float((value - grid[index]) / (grid[index + 1] - grid[index]))


# --- searches ---


@dataclass
class History:
    """The best loss of a finished run, after so many tokens of training."""

    tokens: int = 0
    best: float = math.inf
    steps: list[tuple[int, float]] = field(default_factory=list)

    def train(self, steps: int) -> None:
        self.tokens += steps * TOKENS_PER_STEP

    def finish(self, loss: float) -> None:
        self.best = min(self.best, loss)
        self.steps.append((self.tokens, self.best))

    def tokens_until(self, loss: float) -> float:
        """The tokens until the best was as low as this; infinity if it never was."""
        return next((tokens for tokens, best in self.steps if best <= loss), math.inf)


@dataclass
class Ours:
    """A search by our sampler, promoter and scheduler."""

    curves: Curves
    space: Space
    sampler: str
    promotion: str
    seed: int

    def run(self, trials: int, target: float = -math.inf) -> History:
        """Search until a number of trials, or a loss, is reached."""
        signs = {OBJECTIVE: 1}
        promoter = create_promoter(self.promotion, signs, MAX_STEPS)
        sampler = create_sampler(self.sampler, self.space, signs, self.seed)
        settings = SearchConfig(trials=trials)
        scheduler = Scheduler(settings=settings, suggest=sampler.suggest, promoter=promoter, confirm=lambda _: None)
        history, table = History(), list[Trial]()
        while history.best > target and not isinstance(decision := scheduler.decide(table, Totals()), Done):
            if isinstance(decision, NewTrial):
                trial = Trial(number=len(table), point=decision.point, bracket=decision.bracket)
                table.append(trial)
            else:
                assert isinstance(decision, Promote)
                trial = table[decision.number]
            end = decision.target_step or MAX_STEPS
            history.train(end - trial.step)
            losses = self.curves.curve(**settings_of(trial.point))
            curve = [CurvePoint(int(s), {OBJECTIVE: v}) for s, v in zip(self.curves.steps, losses, strict=True) if s <= end]
            trial = replace(trial, step=end, target_step=decision.target_step, curve=curve, state=State.PAUSED)
            if end == MAX_STEPS:
                trial = replace(trial, state=State.COMPLETE, values=curve[-1].values)
                history.finish(curve[-1].values[OBJECTIVE])
            table[trial.number] = trial
        return history


def settings_of(point: Point) -> dict[str, Any]:
    """The arguments of `Curves.curve`."""
    return {key: point[f"pretrain.{name}"] for key, name in (("rate", RATE), ("width", WIDTH), ("decay", DECAY))}


def plain_optuna(curves: Curves, pruner: optuna.pruners.BasePruner, seed: int, trials: int) -> History:
    """A search as Optuna's documentation has it: the default sampler, one value reported per evaluation.

    The name of the study seeds Hyperband's brackets.
    """
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed), pruner=pruner, study_name=f"search {seed}")
    history = History()
    for _ in range(trials):
        trial = study.ask()
        losses = curves.curve(
            trial.suggest_float("rate", RATES[0], RATES[-1], log=True),
            trial.suggest_categorical("width", WIDTHS),
            trial.suggest_float("decay", DECAYS[0], DECAYS[-1]),
        )
        for step, loss in zip(curves.steps, losses, strict=True):
            history.train(EVAL_EVERY)
            trial.report(loss, int(step))
            if trial.should_prune() and step < MAX_STEPS:
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, losses[-1])
            history.finish(losses[-1])
    return history


PRUNERS: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
    "median": optuna.pruners.MedianPruner,
    "successive halving": lambda: optuna.pruners.SuccessiveHalvingPruner(min_resource=EVAL_EVERY, reduction_factor=3),
    "hyperband": lambda: optuna.pruners.HyperbandPruner(EVAL_EVERY, MAX_STEPS, 3),
}


# --- results ---


def compare_samplers(curves: Curves, space: Space, repeats: int) -> None:
    """The best of 25 trials that all train to the end."""
    default = curves.defaults[0]  # with the seed of the other runs
    best = {
        name: np.array([Ours(curves, space, name, "none", seed).run(TRIALS).best for seed in range(repeats)])
        for name in ("random", "qmc", "tpe", "gp", "cmaes")
    }
    print(f"| sampler | best of {TRIALS} trials | less than random | better than random | better than the default |")
    print("|---|---|---|---|---|")
    for name, losses in best.items():
        gain = estimate_mean(best["random"] - losses).metric
        interval = f"{gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})" if name != "random" else ""
        wins = f"{(losses < best['random']).mean():.0%}" if name != "random" else ""
        print(f"| {name} | {losses.mean():.4f} | {interval} | {wins} | {(losses < default).mean():.0%} |")


def compare_tokens(curves: Curves, space: Space, repeats: int) -> None:
    """Tokens of training until losses that plain Optuna with a median pruner reaches in 25 trials.

    Two losses are the same for all searches: those that a half and three quarters of the peer's searches reach. Each search
    also has to match one of the peer's: to reach its best loss, with a share of all its tokens.
    """
    seeds = range(repeats)
    whole = [plain_optuna(curves, PRUNERS["median"](), seed, TRIALS) for seed in seeds]
    half, most = (float(np.quantile([history.best for history in whole], share)) for share in (0.5, 0.75))
    print(f"\n| search | tokens until {half:.4f} | tokens until {most:.4f} | share of the peer's | to match each peer |")
    print("|---|---|---|---|---|", flush=True)
    peers = [plain_optuna(curves, PRUNERS["median"](), seed, MAX_TRIALS) for seed in seeds]
    peer_tokens = np.array([history.tokens_until(most) for history in peers])

    def print_row(name: str, histories: Sequence[History]) -> None:
        cells = []
        for loss in (half, most):
            tokens = np.array([history.tokens_until(loss) for history in histories])
            cells.append(f"{format_tokens(_median(tokens[None])[0])}, reached by {np.isfinite(tokens).mean():.0%}")
        pairs = np.stack([tokens, peer_tokens], 1)
        cells.append(format_median(pairs, lambda rows: _median(rows[..., 0]) / _median(rows[..., 1])))
        shares = [h.tokens_until(peer.best) / peer.tokens for h, peer in zip(histories, whole, strict=True)]
        cells.append(format_median(np.array(shares), _median))
        print(f"| {name} | {' | '.join(cells)} |", flush=True)

    print_row("plain Optuna, median pruner", peers)
    for name in ("successive halving", "hyperband"):
        print_row(f"plain Optuna, {name}", [plain_optuna(curves, PRUNERS[name](), seed, MAX_TRIALS) for seed in seeds])
    for sampler, promotion in itertools.product(SAMPLERS, ("none", "asha", "hyperband", "power-law")):
        targets = [min(half, peer.best) for peer in whole]
        searches = [Ours(curves, space, sampler, promotion, seed).run(MAX_TRIALS, targets[seed]) for seed in seeds]
        print_row(f"{sampler}, {promotion}", searches)


def format_tokens(tokens: float) -> str:
    return "never" if tokens >= NEVER / 4 else f"{tokens / 1e6:.2f}M"


def format_median(values: Floats, statistic: Callable[[Floats], Floats]) -> str:
    """A share in percent with its interval; a search that never arrived counts as one that takes very long."""
    metric = bootstrap(np.minimum(values, NEVER), statistic)
    value, low, high = (
        "never" if end >= NEVER / 1e9 else f"{end:.0%}"
        for end in (metric.value if end is None else end for end in (metric.value, metric.low, metric.high))
    )
    return f"{value} ({low} to {high})"


def _median(rows: Floats) -> Floats:
    """The median of each row, (samples,)."""
    median: Floats = np.median(np.minimum(rows, NEVER), axis=1)
    return median


def replay(path: Path, repeats: int) -> None:
    """Print the tables."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    curves, space = Curves(path), read_space(tomllib.loads(SPACE), {"pretrain": PretrainConfig})
    finals = curves.table[..., -1]
    r, w, d = np.unravel_index(finals.argmin(), finals.shape)
    print(f"best cell {finals.min():.4f}: rate {RATES[r]}, width {WIDTHS[w]}, decay {DECAYS[d]}; worst {finals.max():.4f}")
    print(f"defaults {np.mean(curves.defaults):.4f} ({', '.join(f'{loss:.4f}' for loss in curves.defaults)})")
    print(f"standard deviation between seeds {curves.noise():.4f}\n")
    compare_samplers(curves, space, repeats)
    compare_tokens(curves, space, repeats)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("train", "replay"))
    parser.add_argument("table", type=Path)
    parser.add_argument("--repeats", type=int, default=50, help="searches of each kind")
    parser.add_argument("--processes", type=int, default=2, help="that train at the same time")
    options = parser.parse_args(arguments)
    if options.action == "train":
        train(options.table, options.processes)
    else:
        replay(options.table, options.repeats)


if __name__ == "__main__":
    main()
