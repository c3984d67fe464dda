"""`lmcraft forget`: make a model forget documents, and test it beside one that never read them."""

from __future__ import annotations

import os
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from lmcraft.config import (
    ADVANCED,
    OUTPUT,
    SEVERAL_VALUES,
    Config,
    automatic,
    command_config,
    quantity,
    takes_settings,
)
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.hub.model_argument import ModelArgument
from lmcraft.quantities import Duration
from lmcraft.unlearning.results import Forgetting

if TYPE_CHECKING:
    from lmcraft.model_source import ModelSource


@command_config
@dataclass(frozen=True)
class ForgetConfig(Config):
    """Write a model that does not know some documents or texts, and test it beside a model that never read them.

    By default the model's own run is repeated without the documents. If that takes too long, or there are no training data,
    the loss of the texts is raised to that of texts that the model never read. The page says what the tests show, and what
    they do not prove (docs/unlearning.md).
    """

    model: ModelArgument
    """Model folder; without its training data, also a GGUF file or an address (hf:owner/name)."""
    _: KW_ONLY
    document: Annotated[tuple[int, ...], SEVERAL_VALUES] = ()
    """Numbers of training documents, as `lmcraft explain --views influence` lists them."""
    text: Annotated[tuple[str, ...], SEVERAL_VALUES] = ()
    """Texts: the training documents with one of them are forgotten as a whole; @FILE reads a text from a file."""
    method: Literal["auto", "retrain", "approximate"] = "auto"
    """retrain: the exact method, the same run without the documents; approximate: change the weights until the texts are as
    unlikely as unread ones; auto: retrain if the run took no longer than --time-limit."""
    time_limit: Annotated[Duration, quantity("1h")] = Duration(3600.0)
    """Longest run that is repeated, for the model itself or to test the approximate method beside it: 10m, 1.5h."""
    data: Path | None = None
    """The dataset that the model was trained on, if it was moved."""
    unread: Annotated[tuple[str, ...], SEVERAL_VALUES] = ()
    """Without training data: files or folders of texts like those to forget that the model never read."""
    retain: Annotated[tuple[str, ...], SEVERAL_VALUES] = ()
    """Without training data: files or folders of what the model should keep. [default: texts that it writes]"""
    probes: Path | None = None
    """File of questions about what is forgotten, in other words or over several steps: lines of JSON with kind, prompt and
    answer."""
    relearning_steps: int = 50
    """Steps of the relearning test; 0: leave it out."""
    max_steps: Annotated[int, ADVANCED] = 300
    """Most steps of the approximate method."""
    seed: Annotated[int, ADVANCED] = 0
    """Random seed of the approximate method and of the tests."""
    resume: bool = False
    """Continue a retraining that was interrupted."""
    out: Annotated[Path | None, automatic("MODEL-forgotten"), OUTPUT] = None
    """Model folder to write."""
    overwrite: Annotated[bool, OUTPUT] = False
    """Replace an earlier model of the approximate method."""
    json: Annotated[bool, OUTPUT] = False
    """Print the results as JSON instead of tables."""

    def resolved(self) -> Self:
        if not self.model:
            raise UserError("model is missing: name a model folder")
        if not self.document and not self.text:
            raise UserError("there is nothing to forget: name documents with --document, or texts with --text")
        for name in ("relearning_steps", "max_steps", "seed"):
            if (value := getattr(self, name)) < 0:
                raise UserError(f"{name}={value} must not be negative")
        if not self.max_steps:
            raise UserError("max_steps=0 changes nothing: give at least 1")
        if self.resume and self.method == "approximate":
            raise UserError("resume=true continues a retraining, and method=approximate has none: leave one of them out")
        return replace(self, text=tuple(map(_read_text, self.text)))


def _read_text(text: str) -> str:
    """The text, or that of the file that it names with an @."""
    if text.startswith("@"):
        from lmcraft.text_file import read_text as read_file

        text = read_file(Path(text[1:]))
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise UserError(f"text={text[:40]!r} is not UTF-8: convert it first, as `iconv -f ENCODING -t UTF-8` does")
    if not text.strip():
        raise UserError("text='' has no words: give some text")
    return text


@takes_settings(ForgetConfig)
def forget(config: ForgetConfig) -> Forgetting:
    """Write the model folder with its record and its page, print the results, and return them.

    Raises:
        UserError: there is no such model or document, nothing of it was read, its run cannot be repeated, `out` exists, or
            settings are missing for a model without training data.
        RunError: the loss is not a number, or the disk is full.
        InterruptedRunError: a signal stopped a retraining; the same command with resume continues it.
    """
    from lmcraft.training.environment import set_up_environment

    set_up_environment()
    from lmcraft.commands.pretrain import pretrain
    from lmcraft.json_lines import format_json
    from lmcraft.model_source import open_model
    from lmcraft.reports.card import update_card
    from lmcraft.reports.forgetting import forgetting_tables, write_forgetting
    from lmcraft.terminal import line_printer, print_result
    from lmcraft.unlearning.forgetting import ForgetSettings, Tools
    from lmcraft.unlearning.forgetting import forget as run

    config = config.resolved()
    if (count := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise UserError(f"forget runs in one process, not in {count}: start it without torchrun")
    print_line = line_printer()
    with open_model(config.model) as source:
        source.check_writes_text()
        out = config.out or _default_out(source)
        settings = ForgetSettings(
            out=out,
            method=config.method,
            data=config.data,
            unread=config.unread,
            retain=config.retain,
            probes=config.probes,
            time_limit=float(config.time_limit),
            max_steps=config.max_steps,
            relearning_steps=config.relearning_steps,
            seed=config.seed,
            resume=config.resume,
            overwrite=config.overwrite,
        )
        result = run(source, config.document, config.text, settings, Tools(pretrain, write_forgetting, print_line))
    folder = ModelFolder(out)
    update_card(folder, print_line)
    if config.json:
        print(format_json(result.to_json(), indent=2))
    else:
        print_result(*forgetting_tables(result))
    print_line(f"page: {folder.forgetting.with_suffix('.html')}")
    return result


def _default_out(source: ModelSource) -> Path:
    name = source.path.stem if source.path.is_file() else source.path.name
    return (source.path.parent if source.path.is_dir() else Path("models")) / f"{name}-forgotten"
