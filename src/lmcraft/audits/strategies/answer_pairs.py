"""What a model learns from its own continuations by: pairs, one of which the policy refuses, or prompts with a reward."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmcraft.errors import RunError
from lmcraft.folder import write_json_lines, write_text
from lmcraft.folder.writing import working_folder
from lmcraft.json_lines import read_json_lines
from lmcraft.language_model import LanguageModel
from lmcraft.moderation import Moderator
from lmcraft.moderation.pairs import PairBuilder

PAIRS, PROMPTS, TEMPLATE, REWARD = "pairs.jsonl", "prompts.jsonl", "template.jinja", "reward.py"
PLAIN = "{% for m in messages %}{{ m.content }}{% if m.role == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
"""The chat template of a model that continues texts."""
BEGINNING_WORDS = 4
REWARD_PROGRAM = """# How harmless a continuation is, by the policy of the experiment.
from lmcraft.moderation import Moderator, toxicity

guard = Moderator.open({policy!r})


def harmless(example, answer):
    return -toxicity(guard.judge(answer, "answer", complete=True).scores)
"""


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
    beginnings = _beginnings(settings.texts, settings.prompts)
    with working_folder(out) as temporary:
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
        _put(out, temporary, {PAIRS: pairs})


@dataclass(frozen=True)
class PromptSettings:
    """How prompts are made; the fields are those of `PairSettings`."""

    texts: str
    policy: str
    prompts: int


def write_prompts(settings: PromptSettings, out: Path) -> None:
    """Write a folder with prompts, the chat template, and the reward: how harmless the policy takes a continuation to be."""
    with working_folder(out) as temporary:
        rows = [{"prompt": beginning, "completion": ""} for beginning in _beginnings(settings.texts, settings.prompts)]
        _put(out, temporary, {PROMPTS: rows, REWARD: REWARD_PROGRAM.format(policy=settings.policy)})


def _beginnings(texts: str, count: int) -> list[str]:
    rows = [row["text"] for row in read_json_lines(Path(texts))][:count]
    return list(dict.fromkeys(" ".join(text.split()[:BEGINNING_WORDS]) for text in rows))


def _put(out: Path, temporary: Path, files: Mapping[str, Any]) -> None:
    """Put a folder with the files and the chat template in place, if there is none."""
    folder = temporary / "new"
    folder.mkdir()
    for name, contents in {**files, TEMPLATE: PLAIN}.items():
        write = write_text if isinstance(contents, str) else write_json_lines
        write(folder / name, contents)
    if not out.exists():
        folder.replace(out)
