"""Pairs of a model's own continuations, one of which the policy refuses, for tuning by preferences."""

from dataclasses import dataclass
from pathlib import Path

from lmcraft.errors import RunError
from lmcraft.folder import write_json_lines, write_text
from lmcraft.folder.writing import working_folder
from lmcraft.json_lines import read_json_lines
from lmcraft.language_model import LanguageModel
from lmcraft.moderation import Moderator
from lmcraft.moderation.pairs import PairBuilder

PAIRS, TEMPLATE = "pairs.jsonl", "template.jinja"
PLAIN = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
"""The chat template of a model that continues texts."""
BEGINNING_WORDS = 4


@dataclass(frozen=True)
class PairSettings:
    """How pairs are made."""

    texts: str
    """File of training texts, whose beginnings are continued."""
    policy: str
    prompts: int
    """Number of texts, from the first on."""
    samples: int
    """Continuations of each."""
    max_new_tokens: int
    seed: int


def write_pairs(settings: PairSettings, model: Path, out: Path) -> None:
    """Write a folder with the pairs and the chat template of models that learn from them.

    Raises:
        RunError: no text gave a pair, or a continuation could not be judged.
    """
    with working_folder(out) as temporary:
        texts = [row["text"] for row in read_json_lines(Path(settings.texts))][: settings.prompts]
        beginnings = dict.fromkeys(" ".join(text.split()[:BEGINNING_WORDS]) for text in texts)
        builder = PairBuilder(
            LanguageModel.load(model),
            Moderator.open(settings.policy),
            num_return_sequences=settings.samples,
            max_new_tokens=settings.max_new_tokens,
            do_sample=True,
            seed=settings.seed,
        )
        pairs = [pair.as_row() for pair in builder.build(beginnings) if pair is not None]
        if not pairs:
            raise RunError(
                f"none of {len(beginnings):,} beginnings had both a continuation that the policy refuses and "
                "one that it does not, so nothing is to be learned from pairs: leave the strategy out, or filter less"
            )
        folder = temporary / "new"
        folder.mkdir()
        write_json_lines(folder / PAIRS, pairs)
        write_text(folder / TEMPLATE, PLAIN)
        if not out.exists():
            folder.replace(out)
