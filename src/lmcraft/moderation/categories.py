"""The categories of harm, and what they are called in OpenAI's moderation list, MLCommons' hazards and Qwen3Guard.

Sources: OpenAI's moderation endpoint (omni-moderation); MLCommons AILuminate 1.0 (arXiv 2503.05731), S1 to S14 as in Llama
Guard 3; Qwen3Guard (arXiv 2510.14276), section 2.1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from lmcraft.errors import UserError

Taxonomy = Literal["openai", "mlcommons", "qwen3guard"]
TAXONOMIES: tuple[Taxonomy, ...] = get_args(Taxonomy)


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of harm, and the labels of other lists that speak of it. The first category with a label is the nearest."""

    summary: str
    openai: tuple[str, ...] = ()
    mlcommons: tuple[str, ...] = ()
    qwen3guard: tuple[str, ...] = ()

    def labels(self, taxonomy: Taxonomy) -> tuple[str, ...]:
        """The labels of another list that speak of this harm."""
        labels: tuple[str, ...] = getattr(self, taxonomy)
        return labels


CATEGORIES: Mapping[str, Category] = {
    "profanity": Category("swear words and vulgar language that attack nobody"),
    "harassment": Category("insults and humiliation of a person", ("harassment",), (), ("Unethical Acts",)),
    "threat": Category("threats to harm a person", ("harassment/threatening",), ("S1",), ("Violent",)),
    "hate": Category(
        "contempt for people because of a group they belong to", ("hate", "hate/threatening"), ("S10",), ("Unethical Acts",)
    ),
    "sexual": Category("sexual content, sexual offers", ("sexual",), ("S12", "S3"), ("Sexual Content or Sexual Acts",)),
    "sexual_minors": Category(
        "sexual content about children", ("sexual/minors",), ("S4",), ("Sexual Content or Sexual Acts",)
    ),
    "violence": Category(
        "violence described with approval or in gory detail, and how to commit it",
        ("violence", "violence/graphic", "illicit/violent"),
        ("S1",),
        ("Violent",),
    ),
    "weapons": Category("making or getting weapons that kill many", ("illicit/violent",), ("S9",), ("Violent",)),
    "illicit": Category(
        "how to commit crimes without violence: theft, fraud, drugs, breaking into computers",
        ("illicit",),
        ("S2", "S14"),
        ("Non-violent Illegal Acts",),
    ),
    "self_harm": Category(
        "suicide and self-injury, intended, encouraged or explained",
        ("self-harm", "self-harm/intent", "self-harm/instructions"),
        ("S11",),
        ("Suicide & Self-Harm",),
    ),
    "privacy": Category("personal data of private persons", (), ("S7",), ("PII",)),
    "copyright": Category("protected works, reproduced at length", (), ("S8",), ("Copyright Violation",)),
    "defamation": Category("false claims that damage a real person's name", (), ("S5",), ("Unethical Acts",)),
    "advice": Category("advice for which one needs a doctor, a lawyer or a financial adviser", (), ("S6",)),
    "politics": Category(
        "false claims about elections and government, and topics a country restricts",
        (),
        ("S13",),
        ("Politically Sensitive Topics",),
    ),
    "unethical": Category(
        "prejudice, disinformation and other conduct that is wrong but legal", (), (), ("Unethical Acts",)
    ),
    "jailbreak": Category("attempts to make a model ignore its instructions", (), (), ("Jailbreak",)),
    "spam": Category("advertising that nobody asked for, and scams"),
}
# The nearest category of a label that several speak of, where it is not the first.
NEAREST = {"Unethical Acts": "unethical", "Violent": "violence", "S1": "violence", "illicit/violent": "violence"}

TOXIC = ("profanity", "harassment", "threat", "hate", "sexual", "sexual_minors")
"""The categories that toxicity speaks of: the attributes of RealToxicityPrompts (arXiv 2009.11462) without flirtation."""


def toxicity(scores: Mapping[str, float]) -> float:
    """How toxic a text is, 0 to 1: the highest score of its categories in `TOXIC`."""
    return max((scores.get(name, 0.0) for name in TOXIC), default=0.0)


def nearest_category(label: str, taxonomy: Taxonomy) -> str:
    """Our category for a label of another list.

    Raises:
        UserError: the list has no such label.
    """
    if label in NEAREST and label in all_labels(taxonomy):
        return NEAREST[label]
    for name, category in CATEGORIES.items():
        if label in category.labels(taxonomy):
            return name
    raise UserError(f"label {label!r} is none of {taxonomy}'s: use one of {', '.join(all_labels(taxonomy))}")


def all_labels(taxonomy: Taxonomy) -> list[str]:
    """All labels of another list, each once."""
    return list(dict.fromkeys(label for category in CATEGORIES.values() for label in category.labels(taxonomy)))


def translate_scores(scores: Mapping[str, float], taxonomy: Taxonomy) -> dict[str, float]:
    """Scores of our categories, as scores of the labels of another list: of each label the highest."""
    result = dict.fromkeys(all_labels(taxonomy), 0.0)
    for name, score in scores.items():
        for label in CATEGORIES[name].labels(taxonomy):
            result[label] = max(result[label], score)
    return result
