"""The request body of `/v1/embeddings`."""

from typing import Literal

from pydantic import Field

from lmcraft.server.http.protocol.base import Name, Strict
from lmcraft.server.http.protocol.completions import Prompts


class EmbeddingRequest(Strict):
    """OpenAI's embeddings request."""

    model: Name = ""
    input: Prompts
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
    user: Name | None = None
