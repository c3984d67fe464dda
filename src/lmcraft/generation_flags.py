"""Command-line flags for generating text: a flag for each generation setting, and flags for loading the model."""

from collections.abc import Mapping
from dataclasses import dataclass, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

from cyclopts import Group, Parameter

from lmcraft.config import Config
from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.generation_settings import SETTINGS, GenerationSettings
from lmcraft.inference.setting import Setting, SettingGroup
from lmcraft.text_file import read_text

if TYPE_CHECKING:
    from lmcraft.inference.steering import Steering
    from lmcraft.language_model import LanguageModel

GROUP_TITLES: dict[SettingGroup, str] = {
    "length": "Length",
    "sampling": "Sampling",
    "penalties": "Penalties",
    "stopping": "Stop strings",
    "structure": "Structured output",
    "beams": "Beam search",
}
"""The sections of the help."""
FLAG_NOTES = {
    "logit_bias": "`--logit-bias.198 -5` is for the token id 198.",
    "stop": "`\\n` is a new line; may be given several times.",
    "dry_sequence_breakers": "`\\n` is a new line; may be given several times.",
    "suppress_tokens": "`--suppress-tokens 5`; may be given several times.",
    "begin_suppress_tokens": "May be given several times.",
    "json_schema": "Its text, or @FILE.",
    "grammar": "Its text, or @FILE.",
}
"""Notes that the command line adds to the help of a setting."""
STEERING = Parameter(group=Group("Steering", sort_key=len(GROUP_TITLES)))


def _flag(setting: Setting, default: str) -> tuple[str, Any, None]:
    """A dataclass field for a setting: its name, type and default; None leaves the setting to the model's folder.

    Args:
        setting: from the table.
        default: as the help shows it; empty: that of the table.
    """
    notes = [setting.help, FLAG_NOTES.get(setting.name, "")]
    if default or isinstance(setting.default, bool | int | float):
        notes.append(f"[default: {default or str(setting.default).lower()}]")
    is_texts = get_origin(setting.type) is tuple
    # The keys of a table are strings in TOML and on the command line.
    value_type = dict[str, float] if isinstance(setting.default, Mapping) else setting.type
    group = Group(GROUP_TITLES[setting.group], sort_key=list(GROUP_TITLES).index(setting.group))
    parameter = Parameter(help=" ".join(filter(None, notes)), negative="" if is_texts else None, group=group)
    return setting.name, Annotated[value_type | None, parameter], None


def _flags_for(name: str, *, without: tuple[SettingGroup, ...] = (), **defaults: str) -> type:
    flags = [_flag(setting, defaults.get(setting.name, "")) for setting in SETTINGS.values() if setting.group not in without]
    return make_dataclass(name, [(n, kind, default) for n, kind, default in flags], frozen=True, kw_only=True)


if TYPE_CHECKING:  # the same fields; at run time each may also be None

    class _AllFlags(GenerationSettings):
        pass

    class _FlagsWithoutBeams(GenerationSettings):
        pass
else:
    _AllFlags = _flags_for("_AllFlags")
    _FlagsWithoutBeams = _flags_for("_FlagsWithoutBeams", without=("beams",), max_new_tokens="0")


@dataclass(frozen=True, kw_only=True)
class SteeringFlags(Config):
    """How a command steers what a model writes (`lmcraft.inference.steering`)."""

    steer_toward: Annotated[str | None, STEERING] = None
    """Model whose likely tokens become likelier: one that was fine-tuned, from the same model, on text as wanted."""
    steer_away: Annotated[str | None, STEERING] = None
    """Model whose likely tokens become less likely: one that was fine-tuned on text as not wanted, such as toxic text."""
    steer_strength: Annotated[float, STEERING] = 2.0
    """Multiplies the difference of the two models' logits, which is added to the model's (DExperts, arXiv 2105.03023)."""
    steer_top_p: Annotated[float, STEERING] = 0.9
    """Keep only tokens of the model's own nucleus of this probability before steering; 1: all tokens."""

    def check_steering(self) -> None:
        """Raise UserError for a strength without a model to steer by."""
        for name in ("steer_strength", "steer_top_p"):
            if not (self.steer_toward or self.steer_away) and getattr(self, name) != getattr(type(self), name):
                raise UserError(
                    f"{name}={getattr(self, name):g} needs a model to steer by: add --steer-away or --steer-toward, or "
                    "leave it out"
                )


@dataclass(frozen=True, kw_only=True)
class LoadingFlags(SteeringFlags):
    """How a command loads the model that it generates with."""

    device: str = "auto"
    """cpu, cuda, mps (Apple), or one GPU such as cuda:1; auto: a GPU if there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Data type of weights and activations; auto: that of the model's files."""
    weights: Literal["keep", "int8", "int4"] = "keep"
    """Quantize the weights to 8 or 4 bits while loading: faster, slightly less accurate."""
    draft: str | None = None
    """Draft model for speculative decoding, with the same vocabulary: faster, same text."""

    def settings(self) -> dict[str, Any]:
        """The generation settings given on the command line, for `GenerationConfig.updated`.

        Raises:
            UserError: a file given as @FILE cannot be read.
        """
        values = {name: value for name in SETTINGS if (value := getattr(self, name, None)) is not None}
        for name, value in values.items():
            if isinstance(value, tuple):
                values[name] = tuple(_unescape(item) if isinstance(item, str) else item for item in value)
            elif name in ("json_schema", "grammar") and value.startswith("@"):
                values[name] = _read_file(name, Path(value[1:]))
        return values

    def check_settings(self) -> None:
        """Raise UserError for a setting with an impossible value."""
        self.check_steering()
        GenerationConfig().updated(self.settings())


@dataclass(frozen=True, kw_only=True)
class GenerationFlags(LoadingFlags, _AllFlags):
    """All generation settings; None leaves a setting to the model's generation_config.json."""


@dataclass(frozen=True, kw_only=True)
class ConversationFlags(LoadingFlags, _FlagsWithoutBeams):
    """The generation settings of a conversation: those of `GenerationFlags` without beam search."""


def load_model(address: str, flags: LoadingFlags, adapters: Mapping[str, str | Path] | None = None) -> "LanguageModel":
    """Load a model as the flags say; `adapters` as in `LanguageModel.load`.

    Raises:
        UserError: there is no such model, adapter or device; one is an encoder.
    """
    from lmcraft.language_model import LanguageModel
    from lmcraft.machine import DTYPES, choose_device
    from lmcraft.model.transformer import encoder_sentence

    dtype, device = DTYPES.get(flags.precision), choose_device(flags.device)
    weights = None if flags.weights == "keep" else flags.weights
    draft = None if flags.draft is None else LanguageModel.load(flags.draft, dtype=dtype, device=device)
    model = LanguageModel.load(address, dtype=dtype, device=device, weights=weights, draft=draft, adapters=adapters)
    for opened in filter(None, (model, draft)):
        if (config := opened.transformer.config).bidirectional:
            raise UserError(encoder_sentence(config))
    steering = load_steering(flags, dtype=dtype, device=device)
    return model if steering is None else model.steered(steering)


def load_steering(flags: SteeringFlags, **options: Any) -> "Steering | None":
    """The steering that the flags ask for, if any; `options` as in `LanguageModel.load`.

    Raises:
        UserError: there is no such model, or a number is out of range.
    """
    if not (flags.steer_toward or flags.steer_away):
        return None
    from lmcraft.inference.steering import Steering
    from lmcraft.language_model import LanguageModel

    names = (flags.steer_toward, flags.steer_away)
    toward, away = (LanguageModel.load(name, tier="eager", **options) if name else None for name in names)
    return Steering(toward, away, flags.steer_strength, flags.steer_top_p)


def _unescape(text: str) -> str:
    """A text with the new lines and tabs that are hard to type in a shell."""
    return text.replace("\\n", "\n").replace("\\t", "\t")


def _read_file(name: str, path: Path) -> str:
    try:
        return read_text(path)
    except UnicodeDecodeError as error:
        raise UserError(f"{name}='@{path}' is not UTF-8: convert it first") from error
    except OSError as error:
        raise UserError(f"{name}='@{path}' cannot be read ({error.strerror}): check the path") from error
