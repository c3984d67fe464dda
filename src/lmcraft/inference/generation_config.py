"""How a text is continued: limits, sampling, search. Names are Hugging Face's; those it lacks are OpenAI's."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from lmcraft.errors import UserError

MIN_TEMPERATURE = 1e-5  # below, logits over temperature overflow; as in vLLM, that is greedy
GENERATION_CONFIG_FILE = "generation_config.json"
HUGGING_FACE_NAMES = {"stop": "stop_strings"}  # our name: Hugging Face's, where they differ


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """The settings of one generation. Defaults draw from the model's distribution as it is."""

    max_new_tokens: int = 128
    """Most tokens to add; 0: no limit but max_length and the model's context."""
    max_length: int = 0
    """Most tokens of prompt and continuation together; 0: no such limit. Where both limits are set, both hold."""
    do_sample: bool = True
    """Draw each token at random; false takes the likeliest (greedy), or searches with beams."""
    temperature: float = 1.0
    """Divides the logits: below 1 the likely becomes likelier; 0 is greedy."""
    top_k: int = 0
    """Draw among the k likeliest tokens; 0: all."""
    top_p: float = 1.0
    """Draw among the fewest likeliest tokens whose probabilities reach this sum (nucleus, arXiv 1904.09751)."""
    min_p: float = 0.0
    """Draw among tokens at least this share as likely as the likeliest (arXiv 2407.01082)."""
    repetition_penalty: float = 1.0
    """Above 1: makes tokens of the prompt and the continuation less likely (CTRL, arXiv 1909.05858, section 4.1)."""
    presence_penalty: float = 0.0
    """Subtracted from the logit of every token that the continuation holds already (OpenAI's definition)."""
    frequency_penalty: float = 0.0
    """Subtracted from a token's logit for each time that the continuation holds it (OpenAI's definition)."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits: token id to bias."""
    stop: tuple[str, ...] = ()
    """Texts that end the continuation; they are not part of it."""
    json_schema: str = ""
    """The continuation is JSON that fits this schema."""
    regex: str = ""
    """The continuation matches this regular expression (Rust's syntax, the whole of it)."""
    grammar: str = ""
    """The continuation is a sentence of this grammar, in llguidance's form of Lark."""
    seed: int | None = None
    """Same seed, same text; unset: a different one each time."""
    num_beams: int = 1
    """Above 1: beam search that keeps this many candidates."""
    length_penalty: float = 1.0
    """Beam search ranks by log-probability / length ** length_penalty."""
    early_stopping: bool | Literal["never"] = False
    """Beam search ends when num_beams candidates are done (true), when a better one is unlikely (false), or cannot be
    ("never")."""
    num_return_sequences: int = 1
    """How many continuations of each prompt."""

    @property
    def greedy(self) -> bool:
        """Whether each token is simply the likeliest."""
        return not self.do_sample or self.temperature < MIN_TEMPERATURE

    @property
    def takes_likeliest(self) -> bool:
        """Whether the model's likeliest token is the next one, no bias or penalty in between."""
        changed = self.logit_bias or self.presence_penalty or self.frequency_penalty or self.repetition_penalty != 1
        return self.greedy and not changed

    def check(self) -> None:
        """Raise UserError for a value that makes no sense."""
        at_least = {"max_new_tokens": 0, "max_length": 0, "top_k": 0, "temperature": 0, "num_beams": 1}
        for name, least in (at_least | {"num_return_sequences": 1}).items():
            if not getattr(self, name) >= least:
                raise UserError(f"{name}={getattr(self, name)} must be at least {least}")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UserError(f"seed={self.seed} must be at least 0 and less than 2**63: choose another")
        if not 0 < self.top_p <= 1:
            raise UserError(f"top_p={self.top_p} must be above 0 and at most 1: it is a sum of probabilities")
        if not 0 <= self.min_p <= 1:
            raise UserError(f"min_p={self.min_p} must be between 0 and 1: it is a share of the highest probability")
        if not self.repetition_penalty > 0:
            raise UserError(f"repetition_penalty={self.repetition_penalty} must be above 0: 1 changes nothing")
        if "" in self.stop:
            raise UserError("stop='' would end every text before it begins: name a text, or leave it out")
        if self.num_beams > 1 and not self.greedy:
            raise UserError(f"num_beams={self.num_beams} searches and do_sample=true draws: set one of them, not both")
        if self.num_return_sequences > self.num_beams and self.num_beams > 1:
            raise UserError(
                f"num_return_sequences={self.num_return_sequences} is more than num_beams={self.num_beams} can find: "
                "raise num_beams"
            )

    def updated(self, settings: Mapping[str, Any]) -> "GenerationConfig":
        """This configuration with `settings` in place, checked.

        Some settings move others that are not given with them: of `max_new_tokens` and `max_length`, the one that is
        given holds alone; `num_beams` above 1 turns `do_sample` off; what shapes a draw (`temperature`, `top_k`, `top_p`,
        `min_p`) turns it on.

        Raises:
            UserError: a name is unknown (the nearest is named), or a value does not fit.
        """
        values = {name: _fitting(name, value) for name, value in settings.items()}
        limits = {"max_new_tokens", "max_length"}
        if len(limits & values.keys()) == 1:
            values |= dict.fromkeys(limits - values.keys(), 0)
        if values.get("num_beams", 1) > 1:
            values.setdefault("do_sample", False)
        elif values.keys() & {"temperature", "top_k", "top_p", "min_p"}:
            values.setdefault("do_sample", True)
        config = replace(self, **values)
        config.check()
        return config


_TYPES: dict[str, Any] = {f.name: f.type for f in fields(GenerationConfig)}
_WORDS = {int: "a whole number", float: "a number", bool: "true or false"}


def _fitting(name: str, value: Any) -> Any:
    """`value` in the type of the setting `name`: JSON, TOML and people write floats as ints and tuples as lists."""
    if name not in _TYPES:
        near = get_close_matches(name, _TYPES, n=1, cutoff=0.0)
        raise UserError(f"there is no setting {name!r}: the nearest is {near[0]!r}")
    kind = _TYPES[name]
    if name == "stop":
        return _texts(value)
    if name == "logit_bias":
        return _biases(value)
    if (name, value) in (("seed", None), ("early_stopping", "never")):
        return value
    kind = {"seed": int, "early_stopping": bool}.get(name, kind)
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise UserError(f"{name}={value!r} is not {_WORDS[kind]}: give one")
    return kind(value)


def _texts(value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"stop={value!r} is not a text or a list of texts: give one")
    return tuple(texts)


def _biases(value: Any) -> dict[int, float]:
    try:
        return {int(token): float(bias) for token, bias in value.items()}  # JSON's and TOML's keys are strings
    except (AttributeError, TypeError, ValueError) as error:
        raise UserError(f"logit_bias={value!r} is not a table of token ids and numbers: give one") from error


def read_generation_config(folder: Path) -> tuple[GenerationConfig, tuple[int, ...]]:
    """The folder's defaults and its end tokens; without the file, ours and the end tokens of config.json.

    What the file does not say is as in `GenerationConfig`; what we do not know in it is passed over.

    Raises:
        UserError: the file is damaged, or a value in it is impossible.
    """
    file = folder / GENERATION_CONFIG_FILE
    if not file.is_file():
        file = folder / "config.json"
        if not file.is_file():
            return GenerationConfig(), ()
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
        ends = said.get("eos_token_id")
        eos_token_ids = () if ends is None else tuple(map(int, ends if isinstance(ends, list) else [ends]))
        if file.name != GENERATION_CONFIG_FILE:
            return GenerationConfig(), eos_token_ids
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"'{file}' is damaged ({error}): mend it or remove it") from error
    names = {f.name: HUGGING_FACE_NAMES.get(f.name, f.name) for f in fields(GenerationConfig)}
    settings = {ours: said[theirs] for ours, theirs in names.items() if said.get(theirs) is not None}
    try:
        return GenerationConfig().updated(settings), eos_token_ids
    except UserError as error:
        raise UserError(f"'{file}': {error}") from error


def generation_config_json(config: GenerationConfig, token_ids: Mapping[str, int | list[int] | None]) -> dict[str, Any]:
    """The contents of generation_config.json, which transformers and vLLM read too.

    What is as in `GenerationConfig` is left out (vLLM takes max_new_tokens for a limit on every request), and so is the
    seed. Hugging Face has no word for the presence and frequency penalties and the bias: lmcraft alone reads those.
    """
    plain = GenerationConfig()
    values = {f.name: getattr(config, f.name) for f in fields(config) if f.name != "seed"}
    values = {name: value for name, value in values.items() if value != getattr(plain, name)}
    for name in ("temperature", "max_new_tokens"):  # transformers refuses 0 for these; do_sample says the first
        if getattr(config, name) == 0:
            del values[name]
    values |= {"do_sample": not config.greedy, "top_k": config.top_k}  # transformers means others where these are missing
    return {HUGGING_FACE_NAMES.get(name, name): value for name, value in values.items()} | dict(token_ids)
