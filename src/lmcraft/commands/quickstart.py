"""`lmcraft quickstart`: the whole pipeline in a few minutes, by default on the source of Python's standard library."""

import os
import shutil
import sys
import sysconfig
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from lmcraft.commands.generate import GenerateConfig, generate
from lmcraft.commands.prepare import PrepareConfig, prepare
from lmcraft.commands.pretrain import pretrain
from lmcraft.config import Config, command_config, quantity, takes_settings
from lmcraft.folder import DatasetFolder, ModelFolder
from lmcraft.folder.output import QUICKSTART, replace_in_place
from lmcraft.json_lines import read_json_lines
from lmcraft.pretraining.config import PretrainConfig
from lmcraft.quantities import Duration
from lmcraft.reports.chart import sparkline

CODE_PROMPT = "def read_json(path):\n"
GZIP_TOKENS = 2**16  # of the validation text, that gzip compresses
MIN_GZIP_BYTES = 2**12  # of less text, gzip's result is mostly its header and what it has not seen yet
MAX_SHARE_OF_GZIP = 0.85  # of gzip's bits per byte, that a model needs at most if its lines look right


@command_config
@dataclass(frozen=True, kw_only=True)
class QuickstartConfig(Config):
    """Prepare text, train a tokenizer and a model on it, and generate text with the model."""

    text: Path | None = None
    """Your own text: a file or a folder. [default: Python's standard library]"""
    out: Path = Path("quickstart")
    """Folder to write the dataset and the model to."""
    time_budget: Annotated[Duration, quantity("no limit")] = Duration(210)
    """Time for the training, such as 10m."""
    depth: int = 4
    """Number of blocks; the model's sizes follow from it."""
    vocab_size: int = 4096
    """Number of tokens in the tokenizer."""
    overwrite: bool = False
    """Start over if --out already exists."""


@takes_settings(QuickstartConfig)
def quickstart(config: QuickstartConfig = QuickstartConfig()) -> ModelFolder:
    """Prepare, train, plot the loss and generate a sample.

    Raises:
        UserError: the text cannot be read, or `out` exists and overwrite is not set.
    """
    sources = [] if config.text is None else [("text", config.text)]
    report = ModelFolder(Path("model")).report
    with replace_in_place(config.out, QUICKSTART, overwrite=config.overwrite, last_file=report, sources=sources):
        return _run(config)


def _run(config: QuickstartConfig) -> ModelFolder:
    data, model = DatasetFolder(config.out / "data"), ModelFolder(config.out / "model")
    _print_heading(f"1. Text to tokens: {config.text or 'the standard library of this Python'}")
    prepare(_prepare_config(config, data))
    _print_heading(f"2. Training a Transformer for about {config.time_budget} (Ctrl-C saves and stops)")
    prompt = "" if config.text else CODE_PROMPT
    pretrain(
        PretrainConfig(
            data=data.path, out=model.path, depth=config.depth, time_budget=config.time_budget, sample_prompt=prompt
        )
    )
    _print_heading("3. What the model has learned")
    print(_format_curve(model))
    print(_describe_quality(data, model))
    _print_heading("4. A text that the model generates")
    _write_sample(model, prompt)
    _print_heading("5. Next steps")
    print(_next_steps(config, data, model, prompt))
    return model


def _prepare_config(config: QuickstartConfig, data: DatasetFolder) -> PrepareConfig:
    if config.text is None:
        library = sysconfig.get_path("stdlib")
        exclude = ("site-packages/*", "test/*", "*/test/*", "*/tests/*", "idlelib/*", "lib2to3/*")
        return PrepareConfig((library,), out=data.path, vocab_size=config.vocab_size, include=("*.py",), exclude=exclude)
    return PrepareConfig((str(config.text),), out=data.path, vocab_size=config.vocab_size, document_chars=8192, split="hash")


def _format_curve(model: ModelFolder) -> str:
    losses = [row["validation_loss"] for row in read_json_lines(model.metrics) if "validation_loss" in row]
    return f"{losses[0]:.2f} {sparkline(losses)} {losses[-1]:.2f} nats per token; report: {model.report}"


def _describe_quality(data: DatasetFolder, model: ModelFolder) -> str:
    """The model's loss on the validation text beside gzip's, which knows no language."""
    from lmcraft.data.loader import TokenSplit
    from lmcraft.tokenizer.tokenizer import Tokenizer

    bits = [row["bits_per_byte"] for row in read_json_lines(model.metrics) if "bits_per_byte" in row][-1]
    split = TokenSplit(data, "validation")
    tokens = split.slice(0, min(len(split), GZIP_TOKENS)).tolist()
    text = Tokenizer.load(data.path).decode(tokens).encode()
    if len(text) < MIN_GZIP_BYTES:
        return f"The text held out, {len(text):,} bytes, is too short to tell how good the model is: give more text."
    gzip_bits = 8 * len(zlib.compress(text, level=9)) / max(1, len(text))
    comparison = f"Text that it has not seen costs it {bits:.2f} bits per byte; gzip needs {gzip_bits:.2f}."
    if bits < MAX_SHARE_OF_GZIP * gzip_bits:
        return f"{comparison} Expect text that looks right line by line, and makes little sense."
    return f"{comparison} Expect noise: train longer, with --time-budget 15m, or on more text."


def _next_steps(config: QuickstartConfig, data: DatasetFolder, model: ModelFolder, prompt: str) -> str:
    program = "lmcraft" if shutil.which("lmcraft") else os.path.relpath(sys.argv[0])  # the script in .venv/bin
    if program.endswith(".py"):
        program = f"{sys.executable} -m lmcraft"
    prompt = prompt.strip() or "the beginning of a text"
    return f"""\
Let it continue a text:
  {program} generate {model.path} {prompt!r} --temperature 0.7
Train a larger model for half an hour:
  {program} pretrain {data.path} --depth {config.depth + 2} --time-budget 30m --out models/larger
It continues text and does not answer questions. Chat with a model that has read far more (a download of 93 MB):
  {program} chat smollm2-135m-instruct"""


def _write_sample(model: ModelFolder, prompt: str) -> None:
    generate(GenerateConfig(str(model.path), prompt or "\n", temperature=0.6, top_p=0.95, max_new_tokens=150, seed=1))


def _print_heading(text: str) -> None:
    print(f"\n== {text}", flush=True)
