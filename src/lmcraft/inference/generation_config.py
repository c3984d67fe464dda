"""`GenerationConfig`, a checked set of generation settings; reads and writes generation_config.json."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from lmcraft.config import format_changes
from lmcraft.errors import UserError
from lmcraft.folder import has_file, read_json
from lmcraft.inference.generation_settings import SETTINGS, GenerationSettings
from lmcraft.scalars import as_python

MIN_TEMPERATURE = 1e-5  # below it, logits / temperature would overflow; decoding is greedy, as in vLLM
GENERATION_CONFIG_FILE = "generation_config.json"
CHAT_SAMPLING: Mapping[str, float] = {"temperature": 0.8, "top_p": 0.95, "min_p": 0.05}
"""How chats and the server sample from a model that brings no sampling settings: small models ramble without a filter."""
UNSUPPORTED_SETTINGS: Mapping[str, tuple[Any, ...]] = {
    "bad_words_ids": ([],),
    "constraints": ([],),
    "diversity_penalty": (0,),
    "dola_layers": (),
    "encoder_no_repeat_ngram_size": (0,),
    "encoder_repetition_penalty": (1,),
    "epsilon_cutoff": (0,),
    "eta_cutoff": (0,),
    "exponential_decay_length_penalty": (),
    "force_words_ids": ([],),
    "forced_bos_token_id": (),
    "forced_decoder_ids": ([],),
    "forced_eos_token_id": (),
    "guidance_scale": (1,),
    "max_time": (),
    "min_length": (0,),
    "num_beam_groups": (1,),
    "penalty_alpha": (0,),
    "sequence_bias": ([], {}),
    "token_healing": (False,),
    "top_h": (),
    "typical_p": (1,),
    "watermarking_config": ({},),
}
"""Settings of transformers that change the text and that lmcraft lacks, with the values beside null that change nothing."""
_DRAW_SETTINGS = [name for name, setting in SETTINGS.items() if setting.shapes_draw]
_LOGIT_DEFAULTS = [(name, setting.default) for name, setting in SETTINGS.items() if setting.changes_logits]


@dataclass(frozen=True, kw_only=True, repr=False)
class GenerationConfig(GenerationSettings):
    __doc__ = "The settings of one generation.\n\nArgs:\n" + "\n".join(
        f"    {name}: {setting.help}" for name, setting in SETTINGS.items()
    )

    has_own_sampling: bool = field(default=False, compare=False, repr=False)
    """Whether the model's file says how to sample, if only by naming a default."""
    unsupported: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Settings of the model's file that change the text in transformers, and that lmcraft does not apply."""

    def __repr__(self) -> str:
        return format_changes(self)

    @property
    def chat_defaults(self) -> Mapping[str, float]:
        """`CHAT_SAMPLING` if the model brings no sampling settings of its own, else nothing."""
        own = self.has_own_sampling or any(getattr(self, name) != SETTINGS[name].default for name in _DRAW_SETTINGS)
        return {} if own or not self.do_sample else CHAT_SAMPLING

    @property
    def greedy(self) -> bool:
        """Whether each token is the most likely one, after bias and penalties."""
        return not self.do_sample or self.temperature < MIN_TEMPERATURE

    @property
    def is_model_argmax(self) -> bool:
        """Whether each token is the model's own most likely one: greedy, without any bias or penalty."""
        return self.greedy and all(getattr(self, name) == default for name, default in _LOGIT_DEFAULTS)

    @property
    def needs_tokenizer(self) -> str:
        """The name of a setting that cannot be applied without the model's tokenizer; empty if there is none."""
        names = ["stop", *(name for name, setting in SETTINGS.items() if setting.group == "structure")]
        if self.uses_dry:
            names.append("dry_sequence_breakers")
        if self.thinking_token_budget >= 0:
            return "thinking_token_budget"
        return next((name for name in names if getattr(self, name)), "")

    @property
    def uses_dry(self) -> bool:
        """Whether the DRY penalty is on."""
        return self.dry_multiplier > 0 and self.dry_penalty_last_n != 0

    def describe_unsupported(self) -> str:
        """A sentence about `unsupported`; empty if there are none."""
        if not self.unsupported:
            return ""
        names = ", ".join(self.unsupported)
        return (
            f"the model's generation_config.json sets {names}, which lmcraft does not apply: texts differ from transformers'"
        )

    def describe_chat_defaults(self) -> str:
        """A sentence about `chat_defaults`; empty if there are none."""
        values = ", ".join(f"{name.replace('_', '-')} {value:g}" for name, value in self.chat_defaults.items())
        return (
            values
            and f"the model's generation_config.json sets no temperature, top-p or other filter: using {values} unless set"
        )

    def check(self) -> None:
        """Raise UserError for a value out of bounds, or for settings that contradict each other."""
        for name, setting in SETTINGS.items():
            value = getattr(self, name)
            if setting.bounds and value is not None and not setting.allows(value):
                raise UserError(f"{name}={value} must be {setting.bounds}")
        if "" in self.stop:
            raise UserError("stop='' would end every text before it begins: use another text, or leave stop out")
        if "" in self.dry_sequence_breakers:
            raise UserError("dry_sequence_breakers has an empty text, which would break everywhere: remove it")
        if self.num_beams > 1 and not self.greedy:
            raise UserError(
                f"num_beams={self.num_beams} and do_sample=true exclude each other: set do_sample=false or num_beams=1"
            )
        if self.num_beams > 1 and self.thinking_token_budget >= 0:
            raise UserError(
                f"num_beams={self.num_beams} and thinking_token_budget={self.thinking_token_budget} exclude each other: "
                "leave one of them out"
            )
        if self.num_return_sequences > self.num_beams and self.num_beams > 1:
            raise UserError(
                f"num_return_sequences={self.num_return_sequences} is more than num_beams={self.num_beams} can return: "
                "raise num_beams"
            )

    def updated(self, settings: Mapping[str, Any]) -> "GenerationConfig":
        """A checked copy with `settings` replaced.

        Some settings imply others that `settings` does not contain: of `max_new_tokens` and `max_length`, one given alone
        removes the other; `num_beams` above 1 turns `do_sample` off; settings that shape a draw (`temperature`, `top_k`,
        `top_p`, ...) turn it on.

        Raises:
            UserError: a name is unknown (the nearest is named), a value has the wrong type or is out of bounds.
        """
        values = {name: _convert(name, value) for name, value in settings.items()}
        limits = {"max_new_tokens", "max_length"}
        if len(limits & values.keys()) == 1:
            values |= dict.fromkeys(limits - values.keys(), 0)
        if values.get("num_beams", 1) > 1:
            values.setdefault("do_sample", False)
        elif any(SETTINGS[name].shapes_draw for name in values):
            values.setdefault("do_sample", True)
        config = replace(self, **values)
        config.check()
        return config


_NO_PADDING = "give the prompts one by one, or as lists of their own lengths, without padding"
# For arguments of transformers' `generate`.
HINTS = dict.fromkeys(("attention_mask", "position_ids", "token_type_ids"), _NO_PADDING)
HINTS["pad_token_id"] = "leave it out, since nothing is padded"
_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def _convert(name: str, value: Any) -> Any:
    """`value` in the type of the setting `name`: JSON, TOML and people write floats as integers and tuples as lists."""
    if name not in SETTINGS:
        nearest = get_close_matches(name, SETTINGS, n=1)
        hint = f"the nearest is {nearest[0]!r}" if nearest else "`lmcraft generate --help` lists them"
        raise UserError(f"there is no setting {name!r}: {HINTS.get(name, hint)}")
    value = as_python(value)
    if isinstance(SETTINGS[name].default, tuple):
        return (_convert_texts if get_args(SETTINGS[name].type)[0] is str else _convert_token_ids)(name, value)
    if name == "logit_bias":
        return _convert_bias(value)
    if (name, value) in (("seed", None), ("early_stopping", "never")):
        return value
    value_type: Any = {"seed": int, "early_stopping": bool}.get(name, SETTINGS[name].type)
    if type(value) is not value_type and not (value_type is float and type(value) is int):
        raise UserError(f"{name}={value!r} is not {_TYPE_NAMES[value_type]}")
    if value == "" and SETTINGS[name].group == "structure":
        raise UserError(f"{name} is empty, and would constrain nothing: give its text, or leave it out")
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"{name}={value} is not a finite number")
    return value_type(value)


def _convert_texts(name: str, value: Any) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) for text in texts):
        raise UserError(f"{name}={value!r} is not a text or a list of texts")
    return tuple(texts)


def _convert_token_ids(name: str, value: Any) -> tuple[int, ...]:
    token_ids: list[Any] = [as_python(token_id) for token_id in value] if isinstance(value, list | tuple) else [None]
    if not all(type(token_id) is int for token_id in token_ids):
        raise UserError(f"{name}={value!r} is not a list of token ids")
    return tuple(token_ids)


def _convert_bias(value: Any) -> dict[int, float]:
    try:
        biases = {int(token): float(bias) for token, bias in value.items()}  # keys are strings in JSON and TOML
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise UserError(f"logit_bias={value!r} is not a table of token ids and numbers") from error
    if infinite := {token: bias for token, bias in biases.items() if not math.isfinite(bias)}:
        raise UserError(f"logit_bias={infinite} is not finite: -100 rules a token out, and so does suppress_tokens")
    return biases


def read_generation_config(folder: Path) -> tuple[GenerationConfig, tuple[int, ...]]:
    """The default settings and the end tokens of a model folder, from generation_config.json.

    Settings that the file lacks have the defaults of `GenerationConfig`; names that neither lmcraft nor transformers knows
    are ignored. Without the file, the end tokens come from config.json.

    Raises:
        UserError: the file is damaged, or a value in it is out of bounds.
    """
    file = folder / GENERATION_CONFIG_FILE
    if not has_file(file):
        file = folder / "config.json"
        if not has_file(file):
            return GenerationConfig(), ()
    contents = read_json(file)
    ends = contents.get("eos_token_id")
    eos_token_ids = () if ends is None else tuple(ends if isinstance(ends, list) else [ends])
    if not all(type(token_id) is int for token_id in eos_token_ids):
        raise UserError(f"'{file}': eos_token_id={ends!r} is not a token id or a list of them; repair it")
    if file.name != GENERATION_CONFIG_FILE:
        return GenerationConfig(), eos_token_ids
    file_names = {name: setting.hugging_face or name for name, setting in SETTINGS.items()}
    settings = {name: contents[key] for name, key in file_names.items() if contents.get(key) is not None}
    unsupported = {name: contents[name] for name in UNSUPPORTED_SETTINGS if _changes_text(contents, name)}
    own = any(name in settings and (name, settings[name]) != ("top_k", 0) for name in _DRAW_SETTINGS)
    try:
        config = GenerationConfig().updated(settings)
    except UserError as error:
        raise UserError(f"'{file}': {error}") from error
    if words := contents.get("bad_words_ids"):
        single = _single_tokens(words)
        if len(single) == len(words):
            del unsupported["bad_words_ids"]
        # The end tokens stay, as in transformers.
        suppressed = (*config.suppress_tokens, *(token for token in single if token not in eos_token_ids))
        config = replace(config, suppress_tokens=tuple(dict.fromkeys(suppressed)))
    return replace(config, has_own_sampling=own, unsupported=unsupported), eos_token_ids


def _changes_text(contents: Mapping[str, Any], name: str) -> bool:
    """Whether a generation_config.json sets one of the `UNSUPPORTED_SETTINGS` to a value that changes the text."""
    value = contents.get(name)
    return value is not None and value not in UNSUPPORTED_SETTINGS[name]


def _single_tokens(words: Any) -> list[int]:
    """The words of `bad_words_ids` that are single tokens, which lmcraft suppresses."""
    words = words if isinstance(words, list) else []
    return [word[0] for word in words if isinstance(word, list) and len(word) == 1 and type(word[0]) is int]


def generation_config_json(config: GenerationConfig, token_ids: Mapping[str, int | list[int] | None]) -> dict[str, Any]:
    """The contents of generation_config.json, which transformers and vLLM read too.

    Defaults are left out (vLLM would take max_new_tokens as a limit on every request), and so is the seed. Settings that
    Hugging Face has no name for (presence and frequency penalty, bias, DRY, top_n_sigma) are read by lmcraft only. Settings
    that lmcraft does not apply are kept for others.
    """
    values = {name: getattr(config, name) for name in SETTINGS if name != "seed"}
    values = {name: value for name, value in values.items() if value != SETTINGS[name].default}
    if config.has_own_sampling:
        values["temperature"] = config.temperature
    for name in ("temperature", "max_new_tokens"):  # transformers rejects 0; do_sample=false implies temperature 0
        if getattr(config, name) == 0:
            values.pop(name, None)
    values |= {"do_sample": not config.greedy, "top_k": config.top_k}  # transformers has other defaults for these
    return {SETTINGS[name].hugging_face or name: value for name, value in values.items()} | {
        **config.unsupported,
        **token_ids,
    }
