"""Bodies of the store's endpoints. What a text may hold beyond its length, `validation` says."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from lmcraft.server.conversations import validation

Title = Annotated[str, Field(max_length=validation.TITLE)]
Name = Annotated[str, Field(max_length=validation.NAME)]
Reason = Annotated[str, Field(max_length=validation.REASON)]
Content = Annotated[str, Field(max_length=validation.CONTENT)]
Id = Annotated[str, Field(min_length=1, max_length=64)]
Time = Annotated[float, Field(ge=0, le=validation.LATEST, allow_inf_nan=False)]
Rating = Literal[1, -1, 0]
Role = Literal["user", "assistant"]


class Body(BaseModel):
    """A body without unknown fields; null is as good as leaving a field out."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    def given(self) -> dict[str, Any]:
        """The fields that were given."""
        return {name: value for name, value in self if value is not None}


class NewConversation(Body):
    title: Title | None = None
    system: Content | None = None
    model: Name | None = None
    settings: dict[str, Any] | None = None


class Changes(NewConversation):
    leaf: Id | None = None


class NewMessage(Body):
    role: Role
    content: Content
    parent: Id | None = None
    model: Name | None = None
    edited_from: Id | None = None
    details: dict[str, Any] | None = None


class NewRating(Body):
    rating: Rating
    reason: Reason = ""


class Pick(Body):
    chosen: Id
    rejected: Id
    reason: Reason = ""


class ImportedMessage(NewMessage):
    id: Id
    created: Time | None = None
    rating: Rating = 0
    reason: Reason = ""


class ImportedConversation(Changes):
    id: Id | None = None  # it gets a new one
    created: Time | None = None
    updated: Time | None = None
    messages: Annotated[list[ImportedMessage], Field(max_length=validation.MESSAGES)]

    def given(self) -> dict[str, Any]:
        return super().given() | {"messages": [message.given() for message in self.messages]}


class ImportedPick(Pick):
    id: Id | None = None
    created: Time | None = None


class Exported(Body):
    """What /api/export gives."""

    format: Literal["lmcraft-conversations"]
    version: Literal[1]
    conversations: Annotated[list[ImportedConversation], Field(max_length=validation.CONVERSATIONS)]
    preferences: Annotated[list[ImportedPick], Field(max_length=validation.CONVERSATIONS)] = []


class Spoken(Body):
    role: Literal["system", "user", "assistant"]
    content: Content


class Conversation(Body):
    """A conversation as data for fine-tuning has it."""

    messages: Annotated[list[Spoken], Field(min_length=1, max_length=validation.MESSAGES)]


Import = Annotated[
    Annotated[Exported, Tag("tagged-export")]
    | Annotated[list[Conversation], Field(max_length=validation.CONVERSATIONS), Tag("tagged-list")],
    Discriminator(lambda given: "tagged-list" if isinstance(given, list) else "tagged-export"),
]
