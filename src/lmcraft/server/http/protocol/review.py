"""The request bodies of the review endpoints and of reports. The store checks what they refer to."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from lmcraft.server.http.protocol.base import Strict

MAX_COMMENT_CHARS = 4_000
MAX_REPORT_CHARS = 2_000
MAX_CORRECTION_CHARS = 100_000
MAX_CHECK_CHARS = 2_000
MAX_CHECKS = 20
MAX_GUIDELINE_CHARS = 400_000
MAX_ROUND_ITEMS = 500
MAX_SECONDS = 86_400.0
MAX_EXPOSURES = 1_000_000
MAX_LEASE_SECONDS = 86_400.0


def _check_characters(text: str) -> str:
    if "\0" in text:
        raise ValueError("it has a NUL character; remove it")
    return text


Plain = AfterValidator(_check_characters)
Id = Annotated[str, Field(min_length=1, max_length=64), Plain]
Token = Annotated[str, Field(min_length=1, max_length=128), Plain]
Name = Annotated[str, Field(min_length=1, max_length=64), Plain]
Comment = Annotated[str, Field(max_length=MAX_COMMENT_CHARS), Plain]
Checks = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_CHECK_CHARS), Plain]], Field(max_length=MAX_CHECKS)
]
GuidelineText = Annotated[str, Field(min_length=1, max_length=MAX_GUIDELINE_CHARS)]
Task = Literal["review", "adjudicate"]


class Claiming(Strict):
    guideline: Annotated[str, Field(max_length=64), Plain] = ""
    """Empty: any."""
    task: Task = "review"


class Judging(Strict):
    claim: Token
    """The token of the claim."""
    id: Id
    """Chosen by the client, so that it can send the same verdict again."""
    label: Name
    rule: Name
    comment: Comment = ""
    correction: Annotated[str, Field(max_length=MAX_CORRECTION_CHARS), Plain] = ""
    """A better answer."""
    contains: Checks = Field(default=[])
    """Texts that a later answer must contain."""
    excludes: Checks = Field(default=[])
    """Texts that a later answer must not contain."""
    seconds: Annotated[float, Field(ge=0, le=MAX_SECONDS)] = 0.0


class Skipping(Strict):
    claim: Token
    reason: Comment = ""
    task: Task = "review"
    """What the item was claimed for."""


class Escalating(Strict):
    claim: Token
    comment: Comment = ""


class Requeuing(Strict):
    comment: Comment = ""


class GuidelineTexts(Strict):
    en: GuidelineText | None = None
    zh: GuidelineText | None = None


class NewGuideline(Strict):
    text: GuidelineTexts
    """By language. The one that begins with front matter is the main one."""
    check: bool = False
    """Only tell what would change."""


class NewRound(Strict):
    name: Annotated[str, Field(min_length=1, max_length=200), Plain]
    guideline: Name
    items: Annotated[list[Id], Field(max_length=MAX_ROUND_ITEMS)] = Field(default=[])
    count: Annotated[int, Field(ge=1, le=MAX_ROUND_ITEMS)] | None = None

    @model_validator(mode="after")
    def _check_items(self) -> "NewRound":
        if bool(self.items) == (self.count is not None):
            raise ValueError("name the items of the round, or set their count")
        return self


class NewComment(Strict):
    id: Id
    text: Annotated[str, Field(min_length=1, max_length=MAX_COMMENT_CHARS), Plain]


class ReviewSettings(Strict):
    exposure_cap: Annotated[int, Field(ge=0, le=MAX_EXPOSURES)] | None = None
    """Sensitive items that a person sees per day (UTC)."""
    gold_share: Annotated[float, Field(ge=0, le=0.5)] | None = None
    """Share of items whose verdict is known."""
    lease_seconds: Annotated[float, Field(ge=10, le=MAX_LEASE_SECONDS)] | None = None
    """How long an item stays claimed."""


class NewReport(Strict):
    conversation: Id
    message: Id
    reason: Literal["harmful", "wrong", "privacy", "other"]
    comment: Annotated[str, Field(max_length=MAX_REPORT_CHARS), Plain] = ""
