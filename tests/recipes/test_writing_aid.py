"""The recipe writing-aid: passages, tasks, and what is copied."""

import sys
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.evaluation.style import words_of
from recipes.__main__ import RECIPES

sys.path.append(str(RECIPES / "writing-aid"))

from likeness import SeenRuns, cut_alike
from passages import PASSAGE_WORDS, Passage, cut, divide, read_passages
from tasks import kept_words, make_examples

SENTENCE = "The whale, which no man had seen, swam slowly past us in the night number {}."


def test_passages_are_whole_sentences_without_headings_lists_and_code() -> None:
    text = "# Heading\n\n" + "\n\n".join(SENTENCE.format(n) for n in range(30)) + "\n\n- a list.\n\n```\ncode.\n```\n"
    passages = list(cut(text))
    assert all(len(words_of(passage.text)) >= PASSAGE_WORDS for passage in passages)
    assert all(sentence.endswith(".") for passage in passages for sentence in passage.sentences)
    assert "Heading" not in passages[0].text
    beginning, continuation = passages[0].halves()
    assert f"{beginning} {continuation}" == passages[0].text


def test_chinese_sentences_need_no_spaces() -> None:
    (passage,) = cut("秋水时至，百川灌河。" * 12 + "“何以知其然邪？”" * 3)
    assert passage.sentences[0] == "秋水时至，百川灌河。"
    assert " " not in passage.text


@pytest.mark.parametrize("contents", ["One short text.", "\0" * 50, "x" * 100_000, "שלום. " * 20], ids=str.__len__)
def test_too_little_text_is_refused(tmp_path: Path, contents: str) -> None:
    (tmp_path / "a.txt").write_text(contents, encoding="utf-8")
    with pytest.raises(UserError):
        read_passages(tmp_path)


def test_repeated_passages_count_once(tmp_path: Path) -> None:
    for name in ("a.txt", "b.md"):
        (tmp_path / name).write_text(" ".join(SENTENCE.format(n) for n in range(400)), encoding="utf-8")
    passages = read_passages(tmp_path)
    training, held_out = divide(passages)
    assert len({passage.text for passage in passages}) == len(passages) == len(training) + len(held_out)


def test_examples_of_three_tasks() -> None:
    passages = [Passage(tuple(SENTENCE.format(10 * n + k) for k in range(8))) for n in range(20)]

    def simplify(prompts: list[str]) -> list[str]:
        return [prompt.split("\n\n")[1].replace("which no man had seen", "unseen") for prompt in prompts]

    examples = make_examples(passages, {"continue": 3, "rewrite": 4, "summarize": 2}, simplify)
    assert [example.task for example in examples] == ["rewrite"] * 4 + ["continue"] * 3 + ["summarize"] * 2
    assert all(example.text in example.prompt and example.answer not in example.prompt for example in examples)
    assert (
        make_examples(passages, {"continue": 0, "rewrite": 4, "summarize": 0}, lambda prompts: ["no"] * len(prompts)) == []
    )


def test_runs_that_are_copied() -> None:
    seen = SeenRuns(["Call me Ishmael. Some years ago", "never mind how long"])
    assert seen.longest("They call me Ishmael") == 3
    assert seen.longest("some years ago never mind") == 3
    assert seen.longest("") == seen.longest("Ishmael") == 0
    assert kept_words("a b c", "a b d") == pytest.approx(2 / 3)
    assert cut_alike({"a": ["One two, three", ""], "b": ["x y", "z"]}) == {"a": ["one two", ""], "b": ["x y", ""]}
    assert SeenRuns(["a b c d e f g h i"]).others("X a b c d e f g h. Y a b") == "x y a b"
