"""Pairs of a model's own continuations."""

from pathlib import Path

import pytest

from lmcraft.audits.strategies.answer_pairs import PAIRS, TEMPLATE, PairSettings, write_pairs
from lmcraft.errors import RunError
from lmcraft.json_lines import format_json_line, read_json_lines
from lmcraft.language_model import LanguageModel
from lmcraft.moderation import Moderator, read_policy
from lmcraft.tokenizer import train_characters
from tests.audits.safety.conftest import ScriptedTier
from tests.tiny import TEXT, tiny_model


def test_pairs_of_continuations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LanguageModel(tiny_model(), train_characters([TEXT], special_tokens=["<|endoftext|>"]))
    model.save(tmp_path / "model")
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(format_json_line({"text": f"Line {n}: the quick brown fox"}) for n in range(6)))
    settings = PairSettings(str(texts), "default", prompts=4, samples=6, max_new_tokens=8, seed=1)
    word = "o"  # which a tiny model writes often, but not always
    for harmful in (word, "never"):
        moderator = Moderator(read_policy(), [ScriptedTier({harmful: ("harassment", 0.9)})])
        monkeypatch.setattr(Moderator, "open", lambda policy, opened=moderator: opened)
        if harmful == "never":
            with pytest.raises(RunError, match="none of 4 beginnings had both"):
                write_pairs(settings, tmp_path / "model", tmp_path / "none")
            assert not (tmp_path / "none").exists()
            return
        write_pairs(settings, tmp_path / "model", tmp_path / "pairs")
        rows = list(read_json_lines(tmp_path / "pairs" / PAIRS))
        assert 0 < len(rows) <= 4
        for row in rows:
            assert row["prompt"].startswith("Line ") and len(row["prompt"].split()) == 4
            assert word in row["rejected"] and word not in row["chosen"]
        assert "eos_token" in (tmp_path / "pairs" / TEMPLATE).read_text()
