"""The fields that all generation requests share, built from the table of generation settings.

Names are OpenAI's; where OpenAI has none, vLLM's, then llama.cpp's.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_origin

from pydantic import AfterValidator, Field, create_model

from lmcraft.inference.generation_settings import SETTINGS
from lmcraft.inference.setting import Setting
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.base import Generating, Ignored, Name, StopText, Strict, Text, TokenId

MAX_STOP_TOKENS = 256
RANDOM_SEED = -1  # llama.cpp's value for another seed each time


class StreamOptions(Strict):
    """OpenAI's `stream_options`."""

    include_usage: bool = False
    continuous_usage_stats: bool = Field(default=False, description="With include_usage: in every chunk, as in vLLM.")
    include_obfuscation: Ignored = None


class JsonSchema(Strict):
    """OpenAI's `json_schema` of a response format."""

    name: Name = "answer"
    description: Ignored = None
    strict: bool | None = None
    schema_: dict[str, Any] = Field(alias="schema")


class ResponseFormat(Strict):
    """OpenAI's `response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema", description="Of a json_object, as in llama.cpp.")

    def unused_fields(self) -> set[str]:
        return {"json_schema", "schema_"} - {{"json_schema": "json_schema", "json_object": "schema_"}.get(self.type, "")}


class StructuredOutputs(Strict):
    """vLLM's `structured_outputs`: exactly one of these fields."""

    json_: dict[str, Any] | Annotated[Text, Field(min_length=1)] | None = Field(default=None, alias="json")
    regex: Annotated[Text, Field(min_length=1)] | None = None
    choice: list[StopText] | None = Field(default=None, min_length=1, max_length=256)
    grammar: Annotated[Text, Field(min_length=1)] | None = None


def request_field(name: str) -> Any:
    """The bounds and the description of a setting, as metadata of a pydantic field."""
    setting = SETTINGS[name]
    return Field(
        description=setting.help,
        gt=setting.above,
        ge=setting.minimum if setting.request_minimum is None else setting.request_minimum,
        le=setting.maximum if setting.request_maximum is None else setting.request_maximum,
        allow_inf_nan=False if setting.type is float else None,
    )


def _check_token_keys(biases: dict[str, float]) -> dict[str, float]:
    if not all(key.isascii() and key.isdigit() and len(key) < 20 for key in biases):
        raise ValueError("its keys must be token ids, such as '198'")
    return biases


def _optional_field(setting: Setting) -> Any:
    """The type of a setting in a request, where null and absence leave it to the model."""
    if get_origin(setting.type) is tuple:
        texts: Any = StopText | Annotated[list[StopText], Field(max_length=setting.max_items)] | None
        return Annotated[texts, Field(description=setting.help)]
    if isinstance(setting.default, Mapping):
        value = Annotated[float, Field(ge=setting.request_minimum, le=setting.request_maximum)]
        biases = Annotated[dict[str, value], AfterValidator(_check_token_keys)]
        return Annotated[biases | None, Field(description=setting.help, max_length=setting.max_items)]
    return Annotated[setting.type | None, request_field(setting.name)]


SAMPLING_SETTINGS = [
    setting
    for setting in SETTINGS.values()
    if setting.request_field == setting.name and setting.group in ("sampling", "penalties", "stopping")
]
"""The settings that are request fields under their own names; the others are declared below, or in other requests."""

if TYPE_CHECKING:

    class _SamplingFields(Generating):
        pass
else:
    _SamplingFields = create_model(
        "_SamplingFields",
        __base__=Generating,
        **{setting.name: (_optional_field(setting), None) for setting in SAMPLING_SETTINGS},
    )


class Decoding(_SamplingFields):
    """The fields that all endpoints that generate share."""

    model: Name = ""
    stream: bool = False
    ignore_eos: bool = False
    stop_token_ids: list[TokenId] | None = Field(
        default=None, max_length=MAX_STOP_TOKENS, description="Further tokens that end the text; they are not part of it."
    )
    structured_outputs: StructuredOutputs | None = None
    user: Name | None = None
    cache_salt: Name | None = None
    include_energy: bool = Field(default=False, description="Report in `usage.energy` what the answer drew.")


class Sampling(Decoding):
    """The fields that chat completions and completions share."""

    prompt_field: ClassVar[str]
    """The field that has the prompt."""
    stream_options: StreamOptions | None = None
    n: Annotated[int | None, request_field("num_return_sequences")] = None
    response_format: ResponseFormat | None = None
    return_token_ids: bool = False
    prompt_logprobs: int | None = Field(
        default=None,
        ge=0,
        le=20,
        description="Report the log-probability of each token of the prompt, and this many of the most likely ones there.",
    )

    def check(self) -> None:
        """Raise ApiError for fields that contradict each other."""
        if self.prompt_logprobs is not None and self.stream:
            raise ApiError(400, "prompt_logprobs cannot be streamed; set stream=false", param="prompt_logprobs")

    @property
    def length_field(self) -> str:
        """The field that limits the number of tokens."""
        return "max_tokens"

    def settings(self) -> dict[str, Any]:
        """The fields of `GenerationConfig` that the request sets."""
        values: dict[str, Any] = {"num_return_sequences": 1, "num_beams": 1}
        for setting in SAMPLING_SETTINGS:
            value = getattr(self, setting.name)
            if value is None or value == {} or (setting.name == "seed" and value == RANDOM_SEED):
                continue
            if setting.name == "seed":
                value %= 2**62  # room for the row numbers that are added to it
            elif setting.minimum is not None and value < setting.minimum:
                value = setting.minimum  # -1 means off, like 0: clients of vLLM and llama.cpp send it
            values[setting.name] = value
        return values | self._structure()

    @property
    def has_structure(self) -> bool:
        """Whether the answer is text of a given structure."""
        has_format = self.response_format is not None and self.response_format.type != "text"
        return has_format or self.structured_outputs is not None

    @property
    def structure_field(self) -> str:
        """The field that has the structure of the answer."""
        if self.structured_outputs is not None:
            return f"structured_outputs.{min(self.structured_outputs.model_fields_set, default='').removesuffix('_')}"
        response_format = self.response_format
        if response_format is not None and response_format.json_schema is not None:
            return "response_format.json_schema.schema"
        has_schema = response_format is not None and response_format.schema_ is not None
        return "response_format.schema" if has_schema else "response_format"

    def _structure(self) -> dict[str, str]:
        response_format, structured_outputs = self.response_format, self.structured_outputs
        if response_format is None or response_format.type == "text":
            return {} if structured_outputs is None else _structure_settings(structured_outputs)
        if structured_outputs is not None:
            raise _invalid("structured_outputs", "it excludes response_format: give one of them")
        if response_format.type == "json_object":
            return {"json_schema": json.dumps({"type": "object"} | (response_format.schema_ or {}))}
        if response_format.json_schema is None:
            raise _invalid("response_format.json_schema", "it is missing: give {name, schema}")
        return {"json_schema": json.dumps(response_format.json_schema.schema_)}

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the usage, in which the energy is, too."""
        if self.stream_options is not None and not self.stream:
            raise _invalid("stream_options", "it needs stream=true: leave it out")
        return self.include_energy or (self.stream_options is not None and self.stream_options.include_usage)

    @property
    def repeats_usage(self) -> bool:
        """Whether every chunk of the stream has the usage so far."""
        return self.includes_usage and self.stream_options is not None and self.stream_options.continuous_usage_stats


def _structure_settings(structured_outputs: StructuredOutputs) -> dict[str, str]:
    if len(names := structured_outputs.model_fields_set) != 1:
        raise _invalid("structured_outputs", f"it has {len(names)} of json, regex, choice and grammar: give one")
    if structured_outputs.choice is not None:
        return {"regex": "|".join(map(escape_regex, structured_outputs.choice))}
    if (schema := structured_outputs.json_) is not None:
        return {"json_schema": schema if isinstance(schema, str) else json.dumps(schema)}
    if structured_outputs.regex is not None:
        return {"regex": structured_outputs.regex}
    return {"grammar": structured_outputs.grammar or ""}


def escape_regex(text: str) -> str:
    """A regular expression (Rust's syntax) that matches exactly this text."""
    return "".join("\\" + c if c in r"\.+*?()|[]{}^$#&-~" else c for c in text)


def _invalid(field: str, why: str) -> ApiError:
    return ApiError(400, f"{field}: {why}", code="invalid_value", param=field)
