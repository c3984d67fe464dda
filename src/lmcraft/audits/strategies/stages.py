"""The steps from texts to models, each of which runs once, whichever strategies need it."""

import hashlib
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from lmcraft.audits.strategies.answer_pairs import (
    PAIRS,
    PROMPTS,
    REWARD,
    TEMPLATE,
    PairSettings,
    PromptSettings,
    write_pairs,
    write_prompts,
)
from lmcraft.audits.strategies.cost import Cost, read_cost, recording_cost
from lmcraft.errors import InterruptedRunError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.folder import ModelFolder, write_json
from lmcraft.folder.lock import lock_folder
from lmcraft.json_lines import format_json
from lmcraft.preparation.recipe import build_recipe
from lmcraft.preparation.run import prepare_recipe
from lmcraft.pretraining.config import PretrainConfig

KEY_CHARACTERS = 10
NEVER = 10**9  # steps between samples
# What a comparison does not need, unless the experiment has it.
QUICK_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "pretrain": {"sample_every": NEVER},
    "finetune": {"sample_every": NEVER, "report_answers": 0},
}
DONE = "stage.json"


@dataclass(frozen=True)
class Stage:
    """A command with its settings and what it reads."""

    command: Literal["dataset", "pretrain", "pairs", "prompts", "finetune"]
    name: str
    """For people."""
    settings: Mapping[str, Any]
    """A recipe without its tokenizer; the fields of `PairSettings` or `PromptSettings`; settings of the command without
    model and data."""
    inputs: tuple["Stage", ...] = ()
    """dataset: the one whose tokenizer it takes, if it does not train one. pretrain: a dataset. pairs: a model. finetune: a
    model, and a dataset, pairs or prompts."""

    @cached_property
    def key(self) -> str:
        """A hash of everything that the output depends on."""
        contents = format_json([self.command, dict(self.settings), [stage.key for stage in self.inputs]])
        return hashlib.sha256(contents.encode()).hexdigest()[:KEY_CHARACTERS]

    def lineage(self) -> list["Stage"]:
        """What it needs and itself, in the order in which they run, each once."""
        stages = {stage.key: stage for earlier in self.inputs for stage in earlier.lineage()}
        return list({**stages, self.key: self}.values())


Commands = Mapping[Literal["pretrain", "finetune"], Callable[[Any], object]]


@dataclass(frozen=True)
class Workshop:
    """Runs stages, each in a folder of its own with its log and its cost; a finished one is not run again."""

    folder: Path
    commands: Commands
    """The functions of the commands."""
    announce: Callable[[str], object] = field(default=lambda name: None)
    """Called with the name of a stage when it starts."""

    def out(self, stage: Stage) -> Path:
        """The dataset or model folder of a stage."""
        return self._home(stage) / "out"

    def _home(self, stage: Stage) -> Path:
        return self.folder / f"{stage.name.replace(' ', '')}-{stage.key}"

    def run(self, stage: Stage) -> Path:
        """Run a stage and what it needs; returns its dataset or model folder. A killed one goes on where it was.

        Raises:
            UserError, RunError: as the command; the log says more.
            InterruptedRunError: a signal stopped it.
        """
        for needed in stage.lineage():
            home = self._home(needed)
            home.mkdir(parents=True, exist_ok=True)
            with lock_folder(home, wait=True):  # another process may run other seeds
                if not (home / DONE).is_file():
                    self._run(needed, home)
        return self.out(stage)

    def cost(self, *stages: Stage) -> Cost:
        """What stages and everything they need have cost."""
        needed = {earlier.key: earlier for stage in stages for earlier in stage.lineage()}
        return sum((read_cost(self._home(stage) / "cost.json") for stage in needed.values()), Cost())

    def _run(self, stage: Stage, home: Path) -> None:
        self.announce(stage.name)
        try:
            with (
                (home / "log.txt").open("a", encoding="utf-8") as log,
                redirect_stdout(log),
                redirect_stderr(log),
                recording_cost(home / "cost.json"),
            ):
                self._call(stage)
        except KeyboardInterrupt as interruption:
            raise InterruptedRunError("stopped by a signal", signal.SIGINT) from interruption
        write_json(home / DONE, {"command": stage.command, "settings": dict(stage.settings)})

    def _call(self, stage: Stage) -> None:
        out = self.out(stage)
        inputs = [str(self.out(needed)) for needed in stage.inputs]
        if stage.command == "dataset":
            tokenizer = {"tokenizer": inputs[0]} if inputs else {}
            if not out.exists():  # complete, since it appears at the end
                prepare_recipe(build_recipe({**stage.settings, **tokenizer}), out)
            return
        if stage.command == "pairs":
            return write_pairs(PairSettings(**stage.settings), Path(inputs[0]), out)
        if stage.command == "prompts":
            return write_prompts(PromptSettings(**stage.settings), out)
        settings = {**QUICK_SETTINGS[stage.command], **stage.settings, "out": str(out)}
        if stage.command == "pretrain":
            config: Any = PretrainConfig.from_table({**settings, "data": inputs[0]}, stage.name)
        else:
            if (source := stage.inputs[1]).command != "dataset":
                folder = Path(inputs[1])
                settings["chat_template"] = str(folder / TEMPLATE)
                settings |= {"reward": f"{folder / REWARD}:harmless"} if source.command == "prompts" else {}
                inputs[1] = str(folder / (PAIRS if source.command == "pairs" else PROMPTS))
            config = FinetuneConfig.from_table({**settings, "model": inputs[0], "data": [inputs[1]]}, stage.name)
        resume = any(ModelFolder(out).checkpoints.glob("step-*"))
        if not (resume and ModelFolder(out).report.is_file()):  # killed between its end and our mark
            self.commands[stage.command](replace(config, resume=resume))


def all_stages(stages: Iterator[Stage]) -> list[Stage]:
    """Stages and what they need, each once."""
    return list({needed.key: needed for stage in stages for needed in stage.lineage()}.values())
