"""`lmcraft quickstart`: all of a model's life on this machine, in minutes, on text that is already there."""

import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from lmcraft.commands.prepare import PrepareConfig, prepare
from lmcraft.commands.pretrain import pretrain
from lmcraft.config import Config, command_config
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, remove_path
from lmcraft.pretraining.config import PretrainConfig

CODE_PROMPT = "def read_json(path):\n"
FEW_DOCUMENTS = 200


@command_config
@dataclass(frozen=True, kw_only=True)
class QuickstartConfig(Config):
    """Prepare text, train a tokenizer and a model on it, and let the model write."""

    text: Path | None = None
    """Your own text: a file or a folder. Left out: Python's standard library, which every machine has."""
    out: Path = Path("quickstart")
    """Folder for the dataset and the model."""
    minutes: float = 3.5
    """Time for training."""
    depth: int = 4
    """Number of blocks; the model's sizes follow from it."""
    vocab_size: int = 4096
    """Number of tokens in the tokenizer."""
    overwrite: bool = False
    """Begin again where `out` holds an earlier quickstart."""


def quickstart(config: QuickstartConfig = QuickstartConfig()) -> ModelFolder:
    """From text to talk.

    Raises:
        UserError: the text cannot be read, or `out` exists and overwrite is not set.
    """
    if config.out.exists():
        if not config.overwrite:
            raise UserError(f"out='{config.out}' already exists: add --overwrite to begin again, or choose another --out")
        remove_path(config.out)
    data, model = DatasetFolder(config.out / "data"), ModelFolder(config.out / "model")
    _say(f"1. From text to tokens: {config.text or 'the standard library of this Python'}")
    prepare(_prepare_config(config, data))
    _say(f"2. Training a Transformer for about {config.minutes:g} minutes (Ctrl-C saves and stops)")
    prompt = "" if config.text else CODE_PROMPT
    pretrain(
        PretrainConfig(data=data.path, out=model.path, depth=config.depth, max_time=config.minutes, sample_prompt=prompt)
    )
    _say("3. The curve of the validation loss, and what the model writes now")
    print(_curve(model))
    _write_sample(model, prompt)
    _say("4. What to try next")
    program = "lmcraft" if shutil.which("lmcraft") else os.path.relpath(sys.argv[0])  # not on the path: in .venv/bin
    print(f"{program} generate {model.path} {prompt.strip() or '...'!r} --temperature 0.7")
    print(f"{program} chat {model.path}")
    print(f"{program} pretrain {data.path} --depth {config.depth + 2} --max-time 30 --out models/larger")
    return model


def _prepare_config(config: QuickstartConfig, data: DatasetFolder) -> PrepareConfig:
    if config.text is None:
        library = sysconfig.get_path("stdlib")
        exclude = ("site-packages/*", "test/*", "*/test/*", "*/tests/*", "idlelib/*", "lib2to3/*")
        return PrepareConfig((library,), out=data.path, vocab_size=config.vocab_size, include=("*.py",), exclude=exclude)
    return PrepareConfig((str(config.text),), out=data.path, vocab_size=config.vocab_size, document_chars=8192, split="hash")


def _curve(model: ModelFolder) -> str:
    from lmcraft.reports.chart import sparkline
    from lmcraft.training.metrics import read_jsonl

    losses = [row["validation_loss"] for row in read_jsonl(model.metrics) if "validation_loss" in row]
    return f"{losses[0]:.2f} {sparkline(losses)} {losses[-1]:.2f} nats a token; the whole page: {model.report}"


def _write_sample(model: ModelFolder, prompt: str) -> None:
    from lmcraft.commands.generate import GenerateConfig, generate

    generate(GenerateConfig(str(model.path), prompt or "\n", temperature=0.6, top_p=0.95, max_new_tokens=150, seed=1))


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)
