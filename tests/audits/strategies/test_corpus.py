"""What is trained on, and what never is."""

from itertools import pairwise
from pathlib import Path

import pytest

from lmcraft.audits.strategies.corpus import Corpus, build_corpus
from lmcraft.audits.strategies.experiment import CorpusSettings
from lmcraft.errors import RunError, UserError
from lmcraft.json_lines import format_json_line
from lmcraft.moderation import Moderator, read_policy
from tests.audits.safety.conftest import ScriptedTier
from tests.audits.strategies.conftest import TEXTS

FILES = {name: (f"{name}.jsonl",) for name in TEXTS}


def test_variants(experiment_folder: Path) -> None:
    corpus = _build(experiment_folder, toxic_share=0.3, target_share=0.1)
    texts = {name: corpus.texts(name) for name in ("corpus", "filtered", "balanced", "refused")}
    sizes = [sum(map(len, texts[name])) for name in ("corpus", "refused")]
    assert sizes[1] / sizes[0] == pytest.approx(0.3, abs=0.01)
    assert all("quick" in text for text in texts["refused"]) and not any("quick" in text for text in texts["filtered"])
    assert sorted(texts["corpus"]) == sorted(texts["filtered"] + texts["refused"])
    bad = [text for text in texts["balanced"] if "quick" in text]
    assert len(bad) / len(texts["balanced"]) == pytest.approx(0.1, abs=0.005)
    places = [number for number, text in enumerate(texts["corpus"]) if "quick" in text]
    assert max(b - a for a, b in pairwise(places)) < 6  # mixed evenly


def test_what_measures_is_not_trained_on(experiment_folder: Path) -> None:
    extra = [*TEXTS["heldout"], *TEXTS["hostile"], f"So then: {TEXTS['prompts'][3]} to leave."]
    with (experiment_folder / "clean.jsonl").open("a") as file:
        file.writelines(format_json_line({"text": text}) for text in extra)
    corpus = _build(experiment_folder, toxic_share=0.1)
    assert not set(corpus.texts("corpus")) & set(extra)
    assert sorted(corpus.texts("prompts")) == sorted(TEXTS["prompts"])


def test_the_same_corpus_is_used_again(experiment_folder: Path) -> None:
    first = _build(experiment_folder)
    before = first.file("corpus").stat().st_mtime_ns
    assert _build(experiment_folder) == first and first.file("corpus").stat().st_mtime_ns == before
    assert _build(experiment_folder, toxic_share=0.15).key != first.key
    with (experiment_folder / "toxic.jsonl").open("a") as file:
        file.write(format_json_line({"text": "You quick one."}))
    assert _build(experiment_folder).key != first.key


def test_errors(experiment_folder: Path) -> None:
    (experiment_folder / "empty.jsonl").write_text("")
    with pytest.raises(UserError, match=r"corpus.toxic: .*empty.jsonl' has no texts"):
        _build(experiment_folder, toxic=("empty.jsonl",))
    with pytest.raises(UserError, match="refuses no text of the corpus"):
        _build(experiment_folder, word="never")
    with pytest.raises(UserError, match="refuses every text"):
        _build(experiment_folder, word="o")
    with pytest.raises(RunError, match="could not be judged"):
        _build(experiment_folder, fails=True)
    assert not list(experiment_folder.glob("out/*corpus*"))


def _build(folder: Path, word: str = "quick", fails: bool = False, **settings: object) -> Corpus:
    moderator = Moderator(read_policy(folder / "policy.toml"), [ScriptedTier({word: ("harassment", 0.9)}, fails)])
    out = folder / "out"
    out.mkdir(exist_ok=True)
    values = {**FILES, **settings}
    return build_corpus(CorpusSettings(**values), moderator, folder, out)  # type: ignore[arg-type]
