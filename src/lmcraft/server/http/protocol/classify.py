"""The request body of `/v1/classify`."""

from typing import Annotated

from pydantic import Field

from lmcraft.server.http.protocol.base import Name, Strict, Text


class ClassifyRequest(Strict):
    """A request to label texts; `labels` and `instruction` are for models without a classification head."""

    model: Name = ""
    input: Text | Annotated[list[Text], Field(min_length=1, max_length=256)]
    labels: list[Annotated[str, Field(min_length=1, max_length=256)]] | None = Field(
        default=None, min_length=2, max_length=64
    )
    threshold: Annotated[float, Field(ge=0, le=1)] | None = None
    """Least probability of a label, in place of the classifier's own."""
    instruction: Text = "Which of these labels does the text have: {labels}?\n\nText: {text}\n\nAnswer with the label alone."
