"""The request body of `/v1/moderations`."""

from typing import Annotated, Literal

from pydantic import Field

from lmcraft.moderation.decision import Stage
from lmcraft.server.http.protocol.base import Ignored, Strict, Text

MAX_INPUTS = 256


class TextInput(Strict):
    """A text; other inputs are not supported."""

    type: Literal["text"]
    text: Text


class ModerationRequest(Strict):
    """OpenAI's moderation request, and the stage of the policy."""

    model: Ignored = None
    input: (
        Text
        | Annotated[list[Text], Field(min_length=1, max_length=MAX_INPUTS)]
        | Annotated[list[TextInput], Field(min_length=1, max_length=MAX_INPUTS)]
    )
    stage: Stage = Field(default="answer", description="Whose thresholds and actions of the policy apply.")

    def texts(self) -> list[str]:
        """One text for each result: as in OpenAI's API, typed inputs are the parts of one."""
        if isinstance(self.input, str):
            return [self.input]
        texts = [item for item in self.input if isinstance(item, str)]
        return texts or ["\n".join(item.text for item in self.input if isinstance(item, TextInput))]
