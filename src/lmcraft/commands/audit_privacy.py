"""`lmcraft audit privacy`: what a model gives away about its training data."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from lmcraft.config import ADVANCED, MACHINE, OFF, OUTPUT, Config, automatic, command_config, quantity
from lmcraft.errors import UserError
from lmcraft.quantities import Duration

if TYPE_CHECKING:
    pass

RECORD = "audit.json"
KIND = "audit privacy"  # in energy.json
DEFAULT_CANARIES = 200
DEFAULT_SECONDS = 60.0


@command_config
@dataclass(frozen=True)
class AuditPrivacyConfig(Config):
    """Measure what a model gives away about its training data, and compare that with the epsilon that it claims.

    Attacks on the weights: membership inference, extraction, and canaries if the run has some (--canaries of pretrain). Of a
    model with differential privacy also the private step itself. The exit status is 1 if the audit contradicts the claim.
    docs/privacy-audit.md says what each figure means.
    """

    model: Path
    """Model folder that lmcraft trained."""
    _: KW_ONLY
    data: Path | None = None
    """The dataset that the model was trained on, if it was moved."""
    documents: int = 500
    """Documents that training read, and as many others, to tell apart."""
    extraction_tokens: int = 24
    """Length of a part that counts as extracted, in tokens; at least as many come before it."""
    retrain: bool = False
    """Train a copy with --canaries, as the model was trained, and audit its canaries."""
    canaries: Annotated[int, automatic(f"{DEFAULT_CANARIES} with --retrain")] = 0
    """Canaries of the copy."""
    shadow_models: Annotated[int, OFF] = 0
    """Train so many copies with other coins, and attack with what they know (LiRA, arXiv 2112.03570): for small models."""
    time_limit: Annotated[Duration, quantity("1m")] = Duration(0)
    """Longest that steps of differential privacy are watched; twice."""
    seed: Annotated[int, ADVANCED] = 1
    """Random seed of the documents and of the audit's own draws."""
    device: Annotated[str, MACHINE] = "auto"
    """cpu, cuda, mps (Apple), or one GPU such as cuda:1; auto: a GPU if there is one."""
    out: Annotated[Path | None, OUTPUT] = None
    """Folder of the results, the page and the copies. [default: lmcraft/privacy_audit in the model's folder]"""

    def resolved(self) -> Self:
        for name in ("documents", "extraction_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be 1 or more")
        for name in ("canaries", "shadow_models"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}={getattr(self, name)} must not be negative")
        if self.canaries and not self.retrain:
            raise UserError(f"canaries={self.canaries} are those of a copy: add --retrain, or leave it out")
        return replace(
            self,
            canaries=self.canaries or (DEFAULT_CANARIES if self.retrain else 0),
            time_limit=self.time_limit or Duration(DEFAULT_SECONDS),
        )
