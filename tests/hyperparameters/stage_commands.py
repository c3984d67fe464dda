"""Commands that do in no time what those of lmcraft do: they can be stages of a trial."""

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from lmcraft.config import Config, command_config, quantity
from lmcraft.energy.energy import Energy
from lmcraft.energy.record import ENERGY_FILE, EnergyRecord, EnergyRow
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, write_json_lines, write_text
from lmcraft.hyperparameters.stages import StageCommand
from lmcraft.quantities import Duration

STEPS = 6
TOKENS_PER_STEP = 10
JOULES_PER_STEP, REPEATED_JOULES = 360.0, 36.0


@command_config
@dataclass(frozen=True)
class PrepareConfig(Config):
    """Text into tokens."""

    text: str = ""
    _: KW_ONLY
    out: Path
    vocab_size: int = 100


def prepare(config: PrepareConfig) -> Path:
    """Write a folder, and count how often."""
    config.out.mkdir()
    with (config.out.parent / "prepared.txt").open("a") as log:
        log.write(f"{config.vocab_size}\n")
    return config.out


@command_config
@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """Fit a number."""

    data: Path
    out: Path = Path("model")
    rate: float = 0.1
    width: int = 8
    max_steps: int = STEPS
    time_budget: Annotated[Duration, quantity("no limit")] = Duration(0)
    eval_tokens: int = 0
    sample_every: int = 0
    holdout: float = 0.0
    pause_at: int = 0
    seed: int = 1
    resume: bool = False

    def resolved(self) -> "TrainConfig":
        if not self.data.exists():
            raise UserError(f"data='{self.data}' does not exist: check the path")
        if self.width % 8:
            raise UserError(f"width={self.width} must be a multiple of 8")
        return self


def train(config: TrainConfig) -> ModelFolder:
    """Write the record of a run to the step where it stops."""
    config = config.resolved()
    folder = ModelFolder(config.out)
    assert config.resume == folder.checkpoints.exists()
    last = config.pause_at or config.max_steps
    rows: list[Mapping[str, float]] = []
    for step in range(1, last + 1):
        loss = abs(config.rate - 0.03) + 1 / step + config.seed * 1e-3
        rows.append({"step": step, "tokens": step * TOKENS_PER_STEP, "seconds": step / 10, "peak_memory": 1000})
        rows.append({"step": step, "validation_loss": loss, "bits_per_byte": loss / 2})
    if last == config.max_steps and config.holdout:
        rows[-1] = {**rows[-1], "holdout_loss": 5.0, "holdout_bits_per_byte": 2.5}
    (folder.checkpoints / f"step-{last:06d}").mkdir(parents=True)
    write_json_lines(folder.metrics, rows)
    joules = last * JOULES_PER_STEP
    row = EnergyRow.of("pretrain", Energy(joules, joules, joules, "cpu time"), wasted={"repeated steps": REPEATED_JOULES})
    EnergyRecord([row]).write(folder.run / ENERGY_FILE)
    write_text(folder.config_toml, config.to_toml())
    (folder.path / "model.safetensors").write_bytes(bytes(config.width))
    folder.report.write_text("report")
    return folder


COMMANDS = {
    "prepare": StageCommand(__name__, "prepare", "PrepareConfig", "prepare"),
    "pretrain": StageCommand(__name__, "train", "TrainConfig", "pretrain"),
}
