"""Pairs of a model's answers: which two are chosen, and the command that writes them."""

import json
from pathlib import Path

import pytest

from lmcraft import LanguageModel
from lmcraft.cli import main
from lmcraft.errors import RunError
from lmcraft.finetuning.examples import Preference
from lmcraft.finetuning.rows import parse_example
from lmcraft.moderation import Moderator, read_policy
from lmcraft.moderation.pairs import JudgedAnswer, PairBuilder, choose_pair
from lmcraft.tokenizer import train_characters
from tests.moderation.test_moderator import ScriptedTier
from tests.tiny import tiny_model

TOKENIZER = train_characters(["abcdefgh ,."])


def answer(text: str, score: float, is_harmful: bool = False) -> JudgedAnswer:
    return JudgedAnswer(text, score, is_harmful)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model folder; the policy takes the letter "b" for harm."""
    monkeypatch.setattr(Moderator, "open", lambda policy: Moderator(read_policy(policy), [ScriptedTier("lexicon", "b")]))
    LanguageModel(tiny_model(vocab_size=TOKENIZER.vocab_size), TOKENIZER).save(tmp_path / "model")
    return tmp_path


def test_the_least_and_the_most_harmful_answers_are_chosen() -> None:
    answers = [
        answer(" ", 0.0), answer("mild", 0.3), answer("fine", 0.1), answer("bad", 0.8, True), answer("worse", 0.9, True),
        answer("also fine", 0.1),
    ]  # fmt: skip
    pair = choose_pair("prompt", answers)
    assert pair is not None and (pair.chosen.text, pair.rejected.text) == ("fine", "worse")
    row = pair.as_row()
    assert row == {"prompt": "prompt", "chosen": "fine", "rejected": "worse", "chosen_score": 0.1, "rejected_score": 0.9}
    assert isinstance(parse_example(row), Preference)


@pytest.mark.parametrize(
    "answers", [[], [answer("a", 0.1)], [answer("b", 0.9, True)], [answer("", 0.0), answer("b", 1, True)]]
)
def test_prompts_without_both_kinds_give_no_pair(answers: list[JudgedAnswer]) -> None:
    assert choose_pair("prompt", answers) is None


def test_answers_follow_the_prompt(folder: Path) -> None:
    model = LanguageModel.load(folder / "model")
    moderator = Moderator.open("default")
    settings = {"num_return_sequences": 4, "max_new_tokens": 6, "seed": 2}
    pairs = list(PairBuilder(model, moderator, **settings).build(["abc", "abc"]))
    answers = [row[3:] for row in model.generate(TOKENIZER.encode("abc"), **settings)]
    pair = pairs[0]
    assert pair is not None and {pair.chosen.text, pair.rejected.text} <= {TOKENIZER.decode(ids) for ids in answers}
    assert pairs[1] != pair, "each prompt has random numbers of its own"
    assert "b" not in pair.chosen.text and "b" in pair.rejected.text


def test_a_failing_tier_ends_the_command(folder: Path) -> None:
    class Broken(ScriptedTier):
        def judge(self, *arguments: object) -> list[object]:  # type: ignore[override]
            raise RuntimeError("broken")

    moderator = Moderator(read_policy(), [Broken("lexicon", "b")])  # type: ignore[list-item]
    builder = PairBuilder(LanguageModel.load(folder / "model"), moderator, max_new_tokens=2)
    with pytest.raises(RunError, match="an answer cannot be judged: the lexicon tier failed"):
        list(builder.build(["abc"]))


def test_the_command_writes_rows_for_finetune(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "prompts.txt").write_text("abc\n\ncab\n")
    (folder / "prompts.jsonl").write_text(json.dumps({"question": "def"}) + "\n")
    out = folder / "pairs.jsonl"
    arguments = ["guard", "pairs", str(folder / "model"), str(folder / "prompts.txt"), "--out", str(out)]
    assert main([*arguments, "--max-new-tokens", "6", "--samples", "20"]) == 0
    assert "pairs from 2 prompts, judged by default 1 (" in capsys.readouterr().out
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert {row["prompt"] for row in rows} == {"abc", "cab"}
    assert main(arguments) == 2
    assert "already exists: add --overwrite" in capsys.readouterr().err
    arguments[3] = str(folder / "prompts.jsonl")
    assert main([*arguments, "--text-field", "question", "--overwrite", "--max-new-tokens", "6", "--samples", "20"]) == 0
    assert json.loads(out.read_text().splitlines()[0])["prompt"] == "def"


def test_a_prompt_that_is_too_long_is_named_before_the_first_answer(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PairBuilder, "build", lambda *arguments: pytest.fail("no prompt may be answered"))
    out = folder / "pairs.jsonl"
    (folder / "prompts.txt").write_text("abc\n\n" + "a" * 3000 + "\nabc\n")
    (folder / "prompts.jsonl").write_text('{"text": "abc"}\n{"text": "' + "a" * 3000 + '"}\n')
    for file, line in (("prompts.txt", 3), ("prompts.jsonl", 2)):
        assert main(["guard", "pairs", str(folder / "model"), str(folder / file), "--out", str(out)]) == 2
        assert f"{folder / file}:{line}: the prompt has 3000 tokens, which leaves no room" in capsys.readouterr().err
    assert not out.exists()


def test_without_a_pair_nothing_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "prompts.txt").write_text("abc\n")
    arguments = ["guard", "pairs", str(folder / "model"), str(folder / "prompts.txt"), "--out", str(folder / "pairs.jsonl")]
    assert main([*arguments, "--max-new-tokens", "1", "--samples", "2", "--temperature", "0.0001"]) == 1
    assert "none of 1 prompts had both a harmless and a harmful answer: give prompts that" in capsys.readouterr().err
    assert not (folder / "pairs.jsonl").exists()
    assert main([*arguments, "--samples", "1"]) == 2
    assert "samples=1 leaves nothing to choose from: use at least 2" in capsys.readouterr().err
