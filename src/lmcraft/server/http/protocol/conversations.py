"""The request bodies of the conversation endpoints. They only check lengths; the store validates the texts."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, RootModel, Tag

from lmcraft.server.conversations import validation
from lmcraft.server.conversations.exchange import find_program
from lmcraft.server.http.protocol.base import Strict

Title = Annotated[str, Field(max_length=validation.MAX_TITLE_CHARS)]
Name = Annotated[str, Field(max_length=validation.MAX_NAME_CHARS)]
Reason = Annotated[str, Field(max_length=validation.MAX_REASON_CHARS)]
Content = Annotated[str, Field(max_length=validation.MAX_CONTENT_CHARS)]
Id = Annotated[str, Field(min_length=1, max_length=64)]
Time = Annotated[float, Field(ge=0, le=validation.MAX_TIME, allow_inf_nan=False)]
Rating = Literal[1, -1, 0]
Role = Literal["user", "assistant"]


class Body(Strict):
    """The body of a conversation endpoint."""

    def set_fields(self) -> dict[str, Any]:
        """The fields that are not null."""
        return {name: value for name, value in self if value is not None}


class ConversationFields(Body):
    title: Title | None = None
    system: Content | None = None
    model: Name | None = None
    settings: dict[str, Any] | None = None


class NewConversation(ConversationFields):
    id: Id | None = None


class ConversationChanges(ConversationFields):
    leaf: Id | None = None
    pinned: bool | None = None
    pair: Annotated[list[Id], Field(max_length=2)] | None = None  # two answers, or an empty list


class NewMessage(Body):
    id: Id | None = None
    role: Role
    content: Content
    parent: Id | None = None
    model: Name | None = None
    edited_from: Id | None = None
    details: dict[str, Any] | None = None


class NewRating(Body):
    rating: Rating
    reason: Reason = ""


class NewPreference(Body):
    chosen: Id
    rejected: Id
    reason: Reason = ""


class ImportedMessage(NewMessage):
    id: Id
    created: Time | None = None
    rating: Rating = 0
    reason: Reason = ""


class ImportedConversation(ConversationChanges):
    id: Id | None = None  # ignored: the store assigns a new one
    created: Time | None = None
    updated: Time | None = None
    messages: Annotated[list[ImportedMessage], Field(max_length=validation.MAX_MESSAGES)]

    def set_fields(self) -> dict[str, Any]:
        return super().set_fields() | {"messages": [message.set_fields() for message in self.messages]}


class ImportedPreference(NewPreference):
    id: Id | None = None
    created: Time | None = None


class ExportFile(Body):
    """The file that /api/export returns."""

    format: Literal["lmcraft-conversations"]
    version: Literal[1]
    conversations: Annotated[list[ImportedConversation], Field(max_length=validation.MAX_CONVERSATIONS)]
    preferences: list[ImportedPreference] = Field(default=[], max_length=validation.MAX_CONVERSATIONS)


class ChatMessage(Body):
    role: Literal["system", "user", "assistant"]
    content: Content


class ChatTranscript(Body):
    """A conversation in the format of fine-tuning data."""

    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=validation.MAX_MESSAGES)]


class OtherExport(RootModel[Annotated[list[Any], Field(max_length=validation.MAX_CONVERSATIONS)] | dict[str, Any]]):
    """The file of another program; see `lmcraft.server.conversations.exchange`."""

    model_config = ConfigDict(frozen=True)


def _find_kind(value: Any) -> str:
    """The tag of an import, as JSON or parsed."""
    if isinstance(value, OtherExport) or find_program(value):
        return "tagged-other"
    return "tagged-list" if isinstance(value, list) else "tagged-export"


ImportBody = Annotated[
    Annotated[ExportFile, Tag("tagged-export")]
    | Annotated[list[ChatTranscript], Field(max_length=validation.MAX_CONVERSATIONS), Tag("tagged-list")]
    | Annotated[OtherExport, Tag("tagged-other")],
    Discriminator(_find_kind),
]
