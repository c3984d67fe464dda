"""The engine interface that a worker uses, and an engine for models that generate no text."""

from dataclasses import dataclass
from typing import Protocol

from lmcraft.inference.request import SequenceState


class ServingEngine(Protocol):
    """An engine that generates sequences step by step, such as `lmcraft.inference.engine.Engine`."""

    @property
    def context_length(self) -> int:
        """Maximum number of tokens in a sequence, prompt included."""

    @property
    def has_work(self) -> bool:
        """Whether a step has anything to compute or to free."""

    @property
    def cache_usage(self) -> float:
        """The share of the KV cache in use, 0 to 1."""

    def enqueue(self, sequence: SequenceState) -> None:
        """Queue a sequence that the engine has prepared."""

    def step(self) -> object:
        """Compute one batch."""


@dataclass(frozen=True)
class CallOnlyEngine:
    """The engine of a model that generates no text, such as a classifier: its worker only runs calls."""

    context_length: int
    has_work: bool = False
    cache_usage: float = 0.0

    def enqueue(self, sequence: SequenceState) -> None:
        raise TypeError("this model generates no text")

    def step(self) -> object:
        return None
