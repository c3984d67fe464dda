"""`lmcraft generate`: continue a text."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lmcraft.config import command_config, takes_settings
from lmcraft.errors import UserError
from lmcraft.generation_flags import GenerationFlags, load_model
from lmcraft.hub.model_argument import ModelArgument
from lmcraft.standard_streams import check_decoded, undecoded_error
from lmcraft.terminal import write_text

if TYPE_CHECKING:
    from lmcraft.inference.continuation import Token

_OPTION = re.compile(r"--\w[\w.-]*(=.*)?")


@command_config
@dataclass(frozen=True)
class GenerateConfig(GenerationFlags):
    """Continue a text. Settings that are not given come from the model's generation_config.json, if it has one."""

    model: ModelArgument
    """Model folder, GGUF file or address (hf:owner/name)."""
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Text to continue; omitted or "-": read standard input."""

    _: KW_ONLY

    suffix: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """Text after the gap that the model fills, if its vocabulary has tokens for fill-in-the-middle."""
    adapter: str | None = None
    """Folder or address of a LoRA or DoRA adapter (PEFT format) for this model, applied without merging."""
    energy: bool = False
    """Print what the text has drawn, without loading the model, on standard error."""

    def resolved(self) -> "GenerateConfig":
        # allow_leading_hyphen lets "-" be a prompt, and so a mistyped option arrives as the prompt.
        if self.prompt and _OPTION.fullmatch(self.prompt):
            options = [f"--{f.name.replace('_', '-')}" for f in fields(self)]
            nearest = get_close_matches(self.prompt, options, n=1, cutoff=0)[0]
            raise UserError(
                f"there is no option {self.prompt}: the nearest is {nearest} (to continue this text, use standard input)"
            )
        self.check_settings()
        return self


@takes_settings(GenerateConfig)
def generate(config: GenerateConfig) -> str:
    """Print the prompt and, token by token, its continuation, and the suffix if there is one; returns all of it.

    Several continuations (`num_return_sequences`) are printed one after another when all are complete.

    Raises:
        UserError: there is no such model, or a setting is invalid.
    """
    config = config.resolved()
    prompt = _read_prompt() if config.prompt in (None, "-") else str(config.prompt)
    adapters = {} if config.adapter is None else {config.adapter: config.adapter}
    model = load_model(config.model, config, adapters)
    tokens = model.tokens(prompt, suffix=config.suffix, adapter=config.adapter or "", **config.settings())
    count = model.generation_config.updated(config.settings()).num_return_sequences
    tokens = _printing_energy(tokens) if config.energy else tokens
    suffix = config.suffix or ""
    return _print_all(prompt, tokens, suffix, count) if count > 1 else _print(prompt, tokens, suffix)


def _print(prompt: str, tokens: "Iterable[Token]", suffix: str) -> str:
    text = prompt
    try:
        write_text(prompt, dim=True)
        for token in tokens:
            write_text(token.text)
            text += token.text
        write_text(suffix, dim=True)
    finally:  # also after Ctrl-C, so that the shell's prompt starts on a new line
        write_text("\n")
    return text + suffix


def _printing_energy(tokens: "Iterable[Token]") -> "Iterator[Token]":
    """The tokens, and after the last one, or when nobody wants more, the energy on standard error."""
    from lmcraft.energy.meter import measuring
    from lmcraft.energy.record import EnergyRow
    from lmcraft.energy.recording import describe_row

    count = 0
    with measuring() as measured:
        try:
            for count, token in enumerate(tokens, start=1):  # noqa: B007  # the number of tokens
                yield token
        finally:
            measured.finish()
            line = describe_row(EnergyRow.of("generate", measured.energy, tokens=count))
            print(f"\n{line}" if line else "\nenergy is not measured", file=sys.stderr)


def _print_all(prompt: str, tokens: "Iterable[Token]", suffix: str, count: int) -> str:
    texts = [prompt] * count
    for token in tokens:
        texts[token.row] += token.text
    output = "\n\n".join(f"[{number}] {text}{suffix}" for number, text in enumerate(texts, start=1))
    write_text(output + "\n")
    return output


def _read_prompt() -> str:
    """Standard input without the newline at its end, which `echo` adds."""
    if sys.stdin.isatty():
        print("Type the text to continue, then press Ctrl-D on an empty line.", file=sys.stderr)
    try:
        text = sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise undecoded_error("the prompt on standard input") from error
    check_decoded(text, "the prompt on standard input")
    return text
