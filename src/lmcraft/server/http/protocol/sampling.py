"""What every generating request may say of how texts are continued; OpenAI's names, and vLLM's for what OpenAI has not."""

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from lmcraft.server.errors import ApiError

MOST_TEXT = 1_000_000  # characters of any text
Text = Annotated[str, StringConstraints(max_length=MOST_TEXT)]
Name = Annotated[str, StringConstraints(max_length=256)]
StopText = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]


class Strict(BaseModel):
    """A request whose unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=False, protected_namespaces=())


class StreamOptions(Strict):
    """OpenAI's `stream_options`."""

    include_usage: bool = False


class JsonSchema(Strict):
    """OpenAI's `json_schema` of a response format."""

    name: Name = "answer"
    description: Text | None = None
    strict: bool | None = None
    schema_: dict[str, Any] = Field(default_factory=dict, alias="schema")


class ResponseFormat(Strict):
    """OpenAI's `response_format`."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuredOutputs(Strict):
    """vLLM's `structured_outputs`: one of them."""

    json_: dict[str, Any] | Text | None = Field(default=None, alias="json")
    regex: Text | None = None
    choice: list[StopText] | None = Field(default=None, min_length=1, max_length=256)
    grammar: Text | None = None


class Sampling(Strict):
    """The common part of chat completions and completions."""

    model: Name = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    n: int | None = Field(default=None, ge=1, le=128)
    temperature: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1)
    top_k: int | None = Field(default=None, ge=-1, lt=2**31)
    min_p: float | None = Field(default=None, ge=0, le=1)
    repetition_penalty: float | None = Field(default=None, gt=0, le=100)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[str, Annotated[float, Field(ge=-100, le=100)]] | None = Field(default=None, max_length=1024)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: StopText | Annotated[list[StopText], Field(max_length=16)] | None = None
    ignore_eos: bool = False
    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    return_token_ids: bool = False
    user: Name | None = None
    cache_salt: Name | None = None

    def settings(self) -> dict[str, Any]:
        """The fields of `GenerationConfig` that the request gives."""
        names = ("temperature", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        given |= {"num_return_sequences": 1, "num_beams": 1}
        if self.logit_bias:
            given["logit_bias"] = self.logit_bias
        if self.top_k is not None:
            given["top_k"] = max(0, self.top_k)
        if self.seed is not None:
            given["seed"] = self.seed % 2**62
        if self.stop is not None:
            given["stop"] = self.stop
        return given | self._structure()

    def _structure(self) -> dict[str, str]:
        form, said = self.response_format, self.structured_outputs
        if form is not None and form.type != "text" and said is not None:
            raise _refused("structured_outputs", "it cannot hold beside response_format: give one of them")
        if form is not None and form.type == "json_object":
            return {"json_schema": '{"type": "object"}'}
        if form is not None and form.type == "json_schema":
            if form.json_schema is None:
                raise _refused("response_format.json_schema", "it is missing: give {name, schema}")
            return {"json_schema": json.dumps(form.json_schema.schema_)}
        return {} if said is None else _structured(said)

    @property
    def includes_usage(self) -> bool:
        if self.stream_options is not None and not self.stream:
            raise _refused("stream_options", "it is for stream=true: leave it out")
        return self.stream_options is not None and self.stream_options.include_usage


def _structured(said: StructuredOutputs) -> dict[str, str]:
    if len(given := said.model_fields_set) != 1:
        raise _refused("structured_outputs", f"it has {len(given)} of json, regex, choice and grammar: give one")
    if said.choice is not None:
        return {"json_schema": "", "regex": "|".join(map(_escaped, said.choice))}
    if said.json_ is not None:
        return {"json_schema": said.json_ if isinstance(said.json_, str) else json.dumps(said.json_)}
    return {"regex": said.regex} if said.regex is not None else {"grammar": said.grammar or ""}


def _escaped(text: str) -> str:
    """A text as a regular expression of Rust's that matches it alone."""
    return "".join("\\" + c if c in r"\.+*?()|[]{}^$#&-~" else c for c in text)


def _refused(field: str, why: str) -> ApiError:
    return ApiError(400, f"{field}: {why}", code="invalid_value", param=field)
