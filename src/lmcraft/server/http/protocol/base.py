"""The base class of all request bodies, the bounded types of their fields, and the marker of fields that change nothing."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

MAX_TEXT_LENGTH = 1_000_000  # characters
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH)]
Name = Annotated[str, StringConstraints(max_length=256)]
StopText = Annotated[str, StringConstraints(min_length=1, max_length=256)]
MAX_METADATA = 16
MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]
TokenId = Annotated[int, Field(ge=0, lt=2**31, strict=True)]


class _IgnoredMarker:
    """Marks a field that is accepted although it changes nothing in the answer."""


IGNORED = _IgnoredMarker()
Ignored = Annotated[Any, IGNORED, Field(description="Accepted and ignored: it changes nothing in the answer.")]
"""The type of a field that is accepted and ignored; the response header `X-Ignored-Fields` names those that a client set."""


def unsupported(remedy: str) -> BeforeValidator:
    """The annotation of a field that clients send empty; any other value would change the answer, and is an error."""

    def refuse(value: Any) -> None:
        if value:
            raise ValueError(f"it is not supported; {remedy}")

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

    @classmethod
    def ignored_fields(cls, body: Mapping[str, Any]) -> list[str]:
        """The fields of a body that ask for something and are ignored."""
        ignored = {name for name, field in cls.model_fields.items() if IGNORED in field.metadata}
        return [name for name, value in body.items() if name in ignored and value]


class Generating(Strict):
    """The fields that every generating request may have and that change nothing in the answer."""

    metadata: Ignored = None
    safety_identifier: Ignored = None
    service_tier: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_retention: Ignored = None
