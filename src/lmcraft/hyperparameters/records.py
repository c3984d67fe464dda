"""What the commands of a trial have recorded: losses of a run, figures of an evaluation, sizes of files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmcraft.config import read_toml
from lmcraft.energy.energy import JOULES_PER_KWH
from lmcraft.energy.record import ENERGY_FILE, REPEATED, EnergyRecord
from lmcraft.folder import ModelFolder, read_json
from lmcraft.hyperparameters.objectives import TRAINING_LOSSES
from lmcraft.hyperparameters.trial import CurvePoint
from lmcraft.json_lines import read_json_lines
from lmcraft.quantities import Duration, EnergyAmount

if TYPE_CHECKING:
    from lmcraft.evaluation.results import ItemResult, TaskResult

HOLDOUT_NAMES = {"validation_loss": "holdout_loss", "bits_per_byte": "holdout_bits_per_byte"}
STEP_PREFIX = "step-"  # of the folders of checkpoints


@dataclass(frozen=True)
class RunRecord:
    """The metrics of a training run so far."""

    folder: ModelFolder
    rows: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> "RunRecord":
        """Read the run in a folder; one that has not begun has no rows.

        Raises:
            UserError: a line of metrics.jsonl is damaged.
        """
        folder = ModelFolder(path)
        return cls(folder, list(read_json_lines(folder.metrics, step=int)))

    @property
    def saved_step(self) -> int:
        """The step of the latest checkpoint; 0: there is none."""
        names = (path.name.removeprefix(STEP_PREFIX) for path in self.folder.checkpoints.glob(f"{STEP_PREFIX}*"))
        return max((int(name) for name in names if name.isdigit()), default=0)

    @property
    def curve(self) -> list[CurvePoint]:
        """The losses on the validation data."""
        points = {
            row["step"]: CurvePoint(row["step"], {name: row[name] for name in TRAINING_LOSSES if name in row})
            for row in self.rows
            if "validation_loss" in row
        }
        return [points[step] for step in sorted(points)]

    @property
    def holdout(self) -> dict[str, float]:
        """The losses on the holdout after the last step."""
        latest: Mapping[str, float] = next((row for row in reversed(self.rows) if "holdout_loss" in row), {})
        return {name: latest[key] for name, key in HOLDOUT_NAMES.items() if key in latest}

    def tokens(self, step: int | None = None) -> int:
        """Tokens trained on until a step; None: until the latest."""
        return int(self._latest("tokens", step))

    @property
    def seconds(self) -> float:
        """Time spent in training steps."""
        return self._latest("seconds")

    @property
    def peak_memory(self) -> float:
        """The most memory that the process has had, in bytes."""
        return max((row["peak_memory"] for row in self.rows if "peak_memory" in row), default=0.0)

    @property
    def energy_kwh(self) -> float | None:
        """What all starts of the run have drawn, without steps that were repeated; None if it was not measured.

        Raises:
            UserError: energy.json is damaged.
        """
        total = EnergyRecord.read(self.folder.run / ENERGY_FILE).total
        if total is None or not total.energy.joules:
            return None
        return (total.energy.joules - total.wasted.get(REPEATED, 0.0)) / JOULES_PER_KWH

    def _latest(self, name: str, step: int | None = None) -> float:
        rows = (row for row in reversed(self.rows) if name in row and (step is None or row["step"] <= step))
        return float(next((row[name] for row in rows), 0.0))

    @property
    def is_finished(self) -> bool:
        """Whether the run has reached its end: the last step, or that at which a budget was used up."""
        if not self.folder.report.is_file() or not self.curve:  # the report is the last file that a run writes
            return False
        settings, step = read_toml(self.folder.config_toml), self.curve[-1].step
        time, energy = settings.get("time_budget", settings.get("max_time", 0)), settings.get("energy_budget", 0)
        has_budget = Duration.read(time) or EnergyAmount.read(energy)
        return bool(step >= settings["max_steps"] or (has_budget and step == self.rows[-1]["step"]))


def count_weight_bytes(folder: Path) -> int:
    """The size of the weights of a model: a folder, or a GGUF file."""
    files = [folder] if folder.is_file() else folder.glob("*.safetensors")
    return sum(file.stat().st_size for file in files)


def read_quantization(folder: Path) -> dict[str, float]:
    """The quality of a quantized model, by the names of the objectives."""
    record = read_json(ModelFolder(folder).run / "quantization.json")
    return {"perplexity": record["perplexity_after"], "kl_divergence": record["kl_divergence"]}


def score_tasks(results: Sequence["TaskResult"], share: float) -> tuple[dict[str, float], dict[str, float]]:
    """The figures of an evaluation by TASK/METRIC, on the items that the search judges by, and on a `share` held out.

    A task that has too few items for that, such as a single text, is judged by all of them.
    """
    from lmcraft.evaluation.results import compute_figures  # imports numpy

    values, holdout = dict[str, float](), dict[str, float]()
    for result in results:
        measures = [figure.measure for figure in result.figures]
        held_out = [item for item in result.items if _is_held_out(result.task, item, share)]
        seen = [item for item in result.items if item not in held_out]
        parts = [(seen, values), (held_out, holdout)] if seen and held_out else [(result.items, values)]
        for items, figures in parts:
            for figure in compute_figures(measures, items):
                figures[f"{result.task}/{figure.measure.name}"] = figure.metric.value
    return values, holdout


def _is_held_out(task: str, item: "ItemResult", share: float) -> bool:
    """Whether an item is held out; items of one cluster are on the same side."""
    digest = hashlib.sha256(f"{task} {item.cluster or item.item}".encode()).digest()
    return int.from_bytes(digest[:8]) < share * 2**64
