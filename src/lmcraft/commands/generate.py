"""`lmcraft generate`: continue a text."""

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from lmcraft.config import Config, command_config
from lmcraft.console import write_text
from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig

if TYPE_CHECKING:
    import torch

    from lmcraft.inference.continuation import Token
    from lmcraft.language_model import LanguageModel

_OPTION = re.compile(r"--\w[\w.-]*(=.*)?")


@dataclass(frozen=True, kw_only=True)
class SamplingConfig(Config):
    """`GenerationConfig` for the command line, where None leaves a setting to the model's generation_config.json."""

    max_new_tokens: int | None = None
    """Most tokens to add (128)."""
    max_length: int | None = None
    """Most tokens of prompt and continuation together; stands in for --max-new-tokens."""
    do_sample: bool | None = None
    """Draw each token at random (the default), or take the likeliest."""
    temperature: float | None = None
    """Below 1 makes likely tokens likelier, above 1 less so; 0 takes the likeliest (1)."""
    top_k: int | None = None
    """Draw among the k likeliest tokens (0: all)."""
    top_p: float | None = None
    """Draw among the fewest likeliest tokens whose probabilities reach this sum (1: all)."""
    min_p: float | None = None
    """Draw among tokens at least this share as likely as the likeliest (0: all)."""
    repetition_penalty: float | None = None
    """Above 1 makes tokens of the prompt and the continuation less likely (1)."""
    presence_penalty: float | None = None
    """Subtracted from the logit of every token in the continuation (0)."""
    frequency_penalty: float | None = None
    """Subtracted from a token's logit for each time it is in the continuation (0)."""
    logit_bias: dict[str, float] | None = None
    """Added to a token's logit: `--logit-bias.198 -5` for the token id 198."""
    stop: Annotated[tuple[str, ...] | None, Parameter(negative="")] = None
    """A text that ends the continuation, `\\n` for a new line; may be given several times."""
    json_schema: str | None = None
    """The continuation is JSON that fits this schema: its text, or @FILE."""
    regex: str | None = None
    """The continuation matches this regular expression, the whole of it."""
    grammar: str | None = None
    """The continuation is a sentence of this grammar (llguidance's form of Lark): its text, or @FILE."""
    seed: int | None = None
    """Same seed, same text; left out, a different one each time."""
    num_beams: int | None = None
    """Above 1: beam search that keeps this many candidates, instead of drawing (1)."""
    length_penalty: float | None = None
    """Beam search ranks by log-probability / length ** length_penalty (1)."""
    early_stopping: bool | Literal["never"] | None = None
    """Beam search ends with num_beams candidates (true), when a better one is unlikely (false) or cannot be (never)."""
    num_return_sequences: int | None = None
    """How many continuations (1)."""

    device: str = "auto"
    """"cpu", "cuda" or a GPU's name such as "cuda:1"; auto takes a GPU if there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number type of weights and activations; auto keeps the file's."""
    weights: Literal["keep", "int8", "int4"] = "keep"
    """Read the weights in fewer bits: faster, and a little less exact."""
    draft: str | None = None
    """Folder or address of a smaller model of the same vocabulary that guesses tokens: faster, the same text."""

    def settings(self) -> dict[str, Any]:
        """The settings that were given, for `GenerationConfig.updated`."""
        given = {f.name: value for f in fields(GenerationConfig) if (value := getattr(self, f.name)) is not None}
        if self.stop is not None:  # a shell makes it hard to type these
            given["stop"] = tuple(text.replace("\\n", "\n").replace("\\t", "\t") for text in self.stop)
        for name in ("json_schema", "grammar"):
            if given.get(name, "").startswith("@"):
                given[name] = _read(name, Path(given[name][1:]))
        return given


@command_config
@dataclass(frozen=True)
class GenerateConfig(SamplingConfig):
    """Continue a text. Settings that are left out are the model's own, from its generation_config.json."""

    model: str
    """Model folder, GGUF file or address (hf:owner/name)."""
    prompt: Annotated[str | None, Parameter(allow_leading_hyphen=True)] = None
    """The text to continue; left out or "-": standard input."""

    _: KW_ONLY

    adapter: str | None = None
    """Folder or address of an adapter (LoRA or DoRA in PEFT's format) of this model, kept beside its weights."""

    def resolved(self) -> "GenerateConfig":
        # "-" can be a prompt only where anything with a hyphen can, so a mistyped option arrives as one.
        if self.prompt and _OPTION.fullmatch(self.prompt):
            near = get_close_matches(self.prompt, [f"--{f.name.replace('_', '-')}" for f in fields(self)], n=1, cutoff=0)
            raise UserError(f"there is no option {self.prompt}: the nearest is {near[0]} (a text goes in on standard input)")
        GenerationConfig().updated(self.settings())
        return self


def generate(config: GenerateConfig) -> str:
    """Print the prompt and its continuation as it comes; returns both.

    Several continuations (`num_return_sequences`) are printed when all are done, one after another.

    Raises:
        UserError: there is no such model, or a setting does not fit.
    """
    config = config.resolved()
    prompt = _read_prompt() if config.prompt in (None, "-") else str(config.prompt)
    adapters = {} if config.adapter is None else {config.adapter: config.adapter}
    model = load_model(config.model, config, adapters)
    tokens = model.tokens(prompt, adapter=config.adapter or "", **config.settings())
    count = model.generation_config.updated(config.settings()).num_return_sequences
    if count > 1:
        return _print_all(prompt, tokens, count)
    text = prompt
    try:
        write_text(prompt, dim=True)
        for token in tokens:
            write_text(token.text)
            text += token.text
    finally:  # Ctrl-C too leaves the terminal at the beginning of a line
        write_text("\n")
    return text


def _print_all(prompt: str, tokens: "Iterable[Token]", count: int) -> str:
    texts = [prompt] * count
    for token in tokens:
        texts[token.row] += token.text
    whole = "\n\n".join(f"[{number}] {text}" for number, text in enumerate(texts, start=1))
    write_text(whole + "\n")
    return whole


def _read(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{name}='@{path}' cannot be read: {error}") from error


def _read_prompt() -> str:
    """Standard input, without the newline at its end: `echo` puts it there, and no text goes on after it."""
    if sys.stdin.isatty():
        print("Type the text to continue, then Ctrl-D on a line of its own.", file=sys.stderr)
    try:
        return sys.stdin.read().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise UserError(f"the prompt on standard input is not {error.encoding} text: convert it first") from error


def load_model(address: str, config: SamplingConfig, adapters: Mapping[str, str | Path] | None = None) -> "LanguageModel":
    """The model, where and in the number type that the configuration says; `adapters` as in `LanguageModel.load`.

    Raises:
        UserError: there is no such model, adapter or device.
    """
    from lmcraft.language_model import LanguageModel

    dtype, device = place_of(config.device, config.precision)
    weights = None if config.weights == "keep" else config.weights
    draft = None if config.draft is None else LanguageModel.load(config.draft, dtype=dtype, device=device)
    return LanguageModel.load(address, dtype=dtype, device=device, weights=weights, draft=draft, adapters=adapters)


def place_of(device: str, precision: str) -> "tuple[torch.dtype | None, str]":
    """The number type of weights and activations, None for the file's, and the device.

    Raises:
        UserError: the device is not there.
    """
    from lmcraft.machine import DTYPES, choose_device

    return DTYPES.get(precision), choose_device(device)
