"""The base class of all request bodies, the bounded types of their fields, and the marker of fields that change nothing."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, LiteralString

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

MAX_TEXT_LENGTH = 1_000_000  # characters
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH)]
Name = Annotated[str, StringConstraints(max_length=256)]
StopText = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TOOL_NAME_PATTERN = "^[a-zA-Z0-9_-]{1,128}$"
ToolName = Annotated[str, StringConstraints(pattern=TOOL_NAME_PATTERN)]
"""The name of a tool, as OpenAI and Anthropic allow it; up to Anthropic's length in every endpoint."""
Metadata = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
TokenId = Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class _IgnoredMarker:
    """Marks a field that is accepted although it changes nothing in the answer."""


IGNORED = _IgnoredMarker()
Ignored = Annotated[Any, IGNORED, Field(description="Accepted and ignored: it changes nothing in the answer.")]
"""The type of a field that is accepted and ignored; the response header `X-Ignored-Fields` names those that a client set."""


def unsupported(remedy: LiteralString) -> BeforeValidator:
    """The annotation of a field that clients send empty; any other value would change the answer, and is an error."""

    def refuse(value: Any) -> None:
        if value:
            raise PydanticCustomError("unsupported", remedy)

    return BeforeValidator(refuse)


class Strict(BaseModel):
    """A frozen request body, whose values have exactly the declared types of JSON: "3" is no number.

    Null means the same as leaving a field out; unknown fields are errors.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _drop_nulls(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {name: item for name, item in value.items() if item is not None}

    def unused_fields(self) -> set[str]:
        """The fields that change nothing beside the values of others."""
        return set()

    def ignored_paths(self) -> Iterator[str]:
        """The paths of all fields, also of inner objects, that ask for something and change nothing in the answer."""
        unused = self.unused_fields()
        for name, field in type(self).model_fields.items():
            if not (value := getattr(self, name)):
                continue
            path = field.alias or name
            if IGNORED in field.metadata or name in unused:
                yield path
            else:
                yield from (f"{path}{inner}" for inner in _inner_ignored_paths(value))


def _inner_ignored_paths(value: Any) -> Iterator[str]:
    if isinstance(value, Strict):
        yield from (f".{path}" for path in value.ignored_paths())
    elif isinstance(value, list) and isinstance(value[0], Strict):
        for index, item in enumerate(value):
            yield from (f"[{index}]{path}" for path in _inner_ignored_paths(item))


class Generating(Strict):
    """The fields that every generating request may have and that change nothing in the answer."""

    metadata: Ignored = None
    safety_identifier: Ignored = None
    service_tier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None
