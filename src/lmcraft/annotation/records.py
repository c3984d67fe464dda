"""What goes into the review store and comes out of it: items, claims, verdicts and votes, and the errors about them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from lmcraft.annotation.agreement.gold import ExpectedVerdict
from lmcraft.errors import RunError, UserError

Json = dict[str, Any]
Source = Literal["server", "report", "audit", "filter", "file"]
"""Where an item comes from: a policy on live traffic, a user's report, a red team, a training-data filter, a file."""
SOURCES: tuple[Source, ...] = get_args(Source)
State = Literal["pending", "reviewed", "disagreed", "escalated", "adjudicated", "skipped", "exported", "erased"]
STATES: tuple[State, ...] = get_args(State)
Task = Literal["review", "adjudicate"]
TASKS: tuple[Task, ...] = get_args(Task)
Role = Literal["reviewer", "adjudicator", "owner"]
"""Each may do what those before it may."""
ROLES: tuple[Role, ...] = get_args(Role)


class StoreError(RunError):
    """The database failed; nothing was saved."""


class NotFoundError(UserError):
    """There is no such item, guideline or version."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"there is no {kind} {name[:64]!a}; check its name", code="not_found", values={"kind": kind})


class ConflictError(UserError):
    """The id that a client chose belongs to something else."""

    def __init__(self, kind: str, id_: str) -> None:
        message = f"id={id_[:64]!a} belongs to another {kind}, or to this one with other content; choose another id"
        super().__init__(message, code="id_conflict", values={"kind": kind})


class LeaseLostError(UserError):
    """The caller does not hold the item: the claim was released or has ended, and another may hold it."""

    def __init__(self, message: str = "your claim of this item has ended", *, code: str = "claim_expired") -> None:
        super().__init__(f"{message}; claim the next item", code=code)


class AlreadyJudgedError(LeaseLostError):
    """The caller does not hold the item any more, since they have judged it, with another verdict."""

    def __init__(self) -> None:
        super().__init__("you have already judged this item, perhaps in another window", code="already_judged")


class WrongStateError(UserError):
    """The item's state does not allow the change."""

    def __init__(self, item: str, state: str, remedy: str, *, code: str = "wrong_state") -> None:
        super().__init__(f"item {item[:64]!a} is {state}; {remedy}", code=code, values={"state": state})


class RoundClosedError(UserError):
    """The calibration round was revealed, so a vote would not be blind."""

    def __init__(self) -> None:
        super().__init__("the calibration round has been revealed; claim the next item", code="round_revealed")


@dataclass(frozen=True, kw_only=True)
class NewItem:
    """A text, or two answers to compare, that people are to judge."""

    guideline: str
    """The name of the guideline to judge by."""
    answers: Sequence[str]
    """What is judged: one text, or two of a guideline for preferences."""
    source: Source
    subject: Literal["answer", "prompt", "document"] = "answer"
    messages: Sequence[Mapping[str, str]] = ()
    """The context: `role` and `content` of each message before the answers."""
    severity: float = 0.0
    """How bad the text may be, from 0 to 1."""
    uncertainty: float = 0.0
    """How unsure whoever sent it is, from 0 to 1; see `priority.uncertainty_of`."""
    traffic: int = 1
    """How often the text was seen."""
    decision: Mapping[str, Any] | None = None
    """What a policy decided about it, hidden from reviewers."""
    origin: Mapping[str, Any] | None = None
    """Where it was, such as a file and its line; hidden from reviewers."""
    sender: str | None = None
    """Who has sent it, such as the name of an API key, of which the store keeps a hash; None: nobody that it knows."""
    expected: ExpectedVerdict | None = None
    """The verdict that is known to be right, of a gold item."""


@dataclass(frozen=True)
class Added:
    """What became of the items that were added."""

    new: int
    repeated: int
    """Those whose content the guideline's items already had: their traffic went up."""
    ids: Sequence[str]
    """Of all items, in their order."""


@dataclass(frozen=True)
class ClaimedItem:
    """An item as the person who holds it sees it."""

    id: str
    guideline: str
    version: int
    """Of the guideline, which the verdict will cite."""
    kind: str
    subject: str
    messages: Sequence[Mapping[str, str]]
    answers: Sequence[str]
    """Two answers come in an order that depends on the person and the item; their verdict's label is mapped back."""
    sensitive: bool
    round: str | None
    """The calibration round that it is part of."""
    token: str
    expires: float
    """When the lease ends, in seconds since 1970."""
    seconds: float
    """How long the lease lasts from now."""
    num_left: int
    """Items that this person could claim, with this one and, so that nothing tells them, with gold items; above 200, rounded
    down."""
    adjudication: Json | None = None
    """For an adjudicator: `state`, `source`, `decision`, `reports`, `verdicts` and `escalations`, whose reviewers are
    letters."""


@dataclass(frozen=True)
class Claim:
    """The answer to a claim: an item, or the reason why there is none."""

    item: ClaimedItem | None
    reason: Literal["", "empty", "exposure_cap"] = ""


@dataclass(frozen=True, kw_only=True)
class NewVerdict:
    """A verdict as a client sends it. The client chooses the id, so that it can repeat a verdict whose answer was lost."""

    id: str
    label: str
    rule: str
    """The id of the rule that it rests on, of the version that was claimed."""
    comment: str = ""
    correction: str = ""
    """A better answer."""
    contains: Sequence[str] = ()
    """Texts that a later answer must contain."""
    excludes: Sequence[str] = ()
    """Texts that a later answer must not contain."""
    seconds: float = 0.0
    """How long the person took."""


@dataclass(frozen=True)
class ItemState:
    """An item after a change, as whoever made it may know it."""

    id: str
    state: str
    num_verdicts: int


@dataclass(frozen=True)
class ItemSummary:
    """A row in the list of items."""

    id: str
    guideline: str
    state: str
    source: str
    subject: str
    excerpt: str
    priority: float
    traffic: int
    num_verdicts: int
    label: str | None
    """The final one."""
    holder: str
    """Who holds it now; empty: nobody."""
    lease_expires: float
    round: str | None
    is_gold: bool
    created: float


@dataclass(frozen=True)
class Vote:
    """A verdict as statistics need it."""

    item: str
    reviewer: str
    label: str
    rule: str
    version: int
    seconds: float
    created: float
    is_gold: bool
    expected: str | None
    """The label that is known to be right."""
    round: str | None
    adjudicated_label: str | None
    """What an adjudicator decided about the item."""


@dataclass(frozen=True)
class SettledItem:
    """An item with a final verdict."""

    id: str
    guideline: str
    kind: str
    source: str
    subject: str
    messages: Sequence[Mapping[str, str]]
    answers: Sequence[str]
    label: str
    outcome: str
    rule: str
    version: int
    """Of the guideline that the verdict cites."""
    correction: str
    contains: Sequence[str]
    excludes: Sequence[str]
    verdict: str
    """The id of the verdict that counts."""
    verdicts: Sequence[Json] = field(default_factory=list)
    """All of them, oldest first."""
    is_adjudicated: bool = False
    origin: Json | None = None
    traffic: int = 1
