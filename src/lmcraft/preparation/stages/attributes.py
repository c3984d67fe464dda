"""The stage `attributes`: notes what a document is like, and removes nothing.

All later stages then count what they remove by these attributes, and `balance` can sample by them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Literal

from lmcraft.errors import UserError
from lmcraft.moderation.groups import count_groups
from lmcraft.preparation.contracts import KEEP, JsonObject, Measurement, Record, Verdict
from lmcraft.preparation.counting import ATTRIBUTES

if TYPE_CHECKING:
    from lmcraft.moderation import Moderator

NO_GROUP = "none"
TOXIC, MILD = 0.5, 0.1  # from these scores on: RealToxicityPrompts' threshold (arXiv 2009.11462), and a fifth of it
SCORED_TOKENS = 512  # at a document's beginning, by a classifier of lmcraft
MAX_GROUPS = 4  # of a document, for one attribute

Attribute = Literal["toxicity", "identity", "dialect"]


@dataclass(frozen=True)
class Attributes:
    """Notes a document's toxicity, the groups it speaks of, its variety of the language, and labels of classifiers."""

    attributes: tuple[Attribute, ...] = ("toxicity", "identity", "dialect")
    """Toxicity, identity (the groups of people that are named), and dialect (such as British spelling)."""
    policy: str = "default"
    """The policy whose tiers score toxicity."""
    models: dict[str, str] = field(default_factory=dict)
    """More attributes, such as sentiment or topic: the folder of a classifier of `lmcraft finetune` for each."""

    name: ClassVar[str] = "attributes"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ()

    def __post_init__(self) -> None:
        if not self.attributes and not self.models:
            raise UserError('attributes is empty: name some, such as ["toxicity"], or add models = { sentiment = "FOLDER" }')
        for name in self.models:
            if name in self.attributes or "/" in name or not name:
                raise UserError(f"models.{name} cannot be the name of an attribute: choose another one, without slashes")

    def fingerprint(self) -> JsonObject:
        """The settings, the tiers of the policy, and the hashes of the models."""
        from lmcraft.model_source import open_model

        settings: JsonObject = {"attributes": list(self.attributes)}
        if "toxicity" in self.attributes:
            settings["tiers"] = self._moderator.fingerprint()
        for name, model in sorted(self.models.items()):
            with open_model(model) as source:
                settings[f"models.{name}"] = source.hash_contents()
        return settings

    def judge(self, record: Record) -> Verdict:
        """Note the groups; the document stays."""
        groups: dict[str, list[str]] = {}
        for attribute in self.attributes:
            if attribute == "toxicity":
                groups[attribute] = [_toxicity_group(self._toxicity(record.text))]
            else:
                groups[attribute] = count_groups(record.text, attribute)[:MAX_GROUPS] or [NO_GROUP]
        groups |= {name: [label(record.text)] for name, label in self._labels.items()}
        record.notes[ATTRIBUTES] = {**record.notes.get(ATTRIBUTES, {}), **groups}
        return KEEP

    def measures(self, record: Record) -> Iterable[Measurement]:
        """The score of toxicity."""
        if "toxicity" in self.attributes:
            yield Measurement(record.language, "toxicity", self._toxicity(record.text), TOXIC)

    def _toxicity(self, text: str) -> float:
        from lmcraft.moderation import toxicity

        decision = self._moderator.judge(text, "training", complete=True)
        if decision.failed:
            raise UserError(f"a document could not be scored: {decision.reason}")
        return toxicity(decision.scores)

    @cached_property
    def _moderator(self) -> "Moderator":
        from lmcraft.moderation import Moderator

        return Moderator.open(self.policy)

    @cached_property
    def _labels(self) -> dict[str, Callable[[str], str]]:
        return {name: _labeler(model) for name, model in self.models.items()}


def groups_of(record: Record, attribute: str) -> list[str]:
    """The groups of a document; none if no stage has noted the attribute."""
    groups: list[str] = record.notes.get(ATTRIBUTES, {}).get(attribute, [])
    return groups


def _toxicity_group(score: float) -> str:
    return "toxic" if score >= TOXIC else "mild" if score >= MILD else "low"


def _labeler(model: str) -> Callable[[str], str]:
    from lmcraft.finetuning.text_classifier import Classifier
    from lmcraft.preparation.stages.model_filter import shorten

    classifier = Classifier.load(model)
    limit = min(SCORED_TOKENS, classifier.transformer.config.max_position_embeddings)

    def label(text: str) -> str:
        if not text.strip():
            return NO_GROUP
        [probabilities] = classifier.probabilities([shorten(classifier, text, limit)])
        return classifier.choose_label(probabilities)

    return label
