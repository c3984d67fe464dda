"""The settings of a trial as TOML files that its commands take."""

import shlex
from pathlib import Path

import tomli_w

from lmcraft.folder import write_text
from lmcraft.hyperparameters.stages import Pipeline, nested
from lmcraft.hyperparameters.trial import Trial
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.quantities import Duration

BEST = "best"


def write_best(pipeline: Pipeline, trial: Trial) -> list[Path]:
    """Write the settings of a trial: best.toml for its only command, or best-COMMAND.toml for each.

    Args:
        pipeline: the commands of the trial.
        trial: the one to write.

    Returns:
        The files. The comment at the top of each has the command that uses it. That of `pretrain` has the width that the
        learning rates are for, so with another width they are scaled.
    """
    values = ", ".join(f"{name} {value:.6g}" for name, value in trial.values.items())
    tables = pipeline.space.settings_at(trial.point)
    files = []
    for name, settings in tables.items():
        is_only = len(tables) == 1
        file = pipeline.folder / (f"{BEST}.toml" if is_only else f"{BEST}-{name}.toml")
        outs = {other: pipeline.folder / BEST / other for other in tables}
        values_of_stage = pipeline.fill_in(settings, outs)
        if pipeline.budget_seconds and name == pipeline.training[-1]:
            values_of_stage["time_budget"] = str(Duration(pipeline.budget_seconds))
        config = pipeline.config_class(name).from_table(nested({**values_of_stage, "out": "unused"}), f"[{name}]")
        if isinstance(config, PretrainConfig):  # so that a wider model can take over the learning rates
            values_of_stage["base_width"] = config.rates_width
        if not is_only:
            values_of_stage["out"] = str(outs[name])
        command = f"lmcraft {pipeline.commands[name].name} {shlex.quote(str(file))}" + (" --out FOLDER" if is_only else "")
        lines = [f"# trial {trial.number} of {pipeline.folder}: {values}", f"# {command}"]
        write_text(file, "\n".join([*lines, "", tomli_w.dumps(nested(values_of_stage))]))
        files.append(file)
    return files
