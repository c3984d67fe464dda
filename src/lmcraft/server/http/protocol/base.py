"""The base class of all requests, and the bounded types of their fields."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

MAX_TEXT_LENGTH = 1_000_000  # characters
Text = Annotated[str, StringConstraints(max_length=MAX_TEXT_LENGTH)]
Name = Annotated[str, StringConstraints(max_length=256)]
StopText = Annotated[str, StringConstraints(min_length=1, max_length=256)]
TokenId = Annotated[int, Field(ge=0, lt=2**31)]


class Strict(BaseModel):
    """A frozen request body; unknown fields are errors."""

    model_config = ConfigDict(extra="forbid", strict=False, frozen=True, protected_namespaces=())
