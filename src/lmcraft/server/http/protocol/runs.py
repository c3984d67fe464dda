"""The request bodies of the endpoints of runs."""

from typing import Annotated

from pydantic import Field

from lmcraft.server.http.protocol.base import Strict

MAX_ID_CHARS = 12_000
MAX_COMPARED_RUNS = 50
RunId = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)]


class Comparing(Strict):
    ids: Annotated[list[RunId], Field(min_length=1, max_length=MAX_COMPARED_RUNS)]
    """Of the runs to compare."""
