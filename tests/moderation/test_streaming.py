"""Texts that grow while they are judged."""

import asyncio
import random
from pathlib import Path

import pytest

from lmcraft.moderation.decision import Decision, Stage, replace_passages
from lmcraft.moderation.policy import read_policy
from lmcraft.moderation.streaming import LOOK_AHEAD_CHARS, LOOK_BACK_CHARS, MAX_HELD_CHARS, HeldText
from tests.moderation import scripted_judge

CLEAN = "The fox is quick. Is it? 狐狸很快。它跳过去！\n" * 3


class Recorder:
    """A judge that keeps what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.policy = read_policy(scripted_judge.write_policy(folder))
        self.texts: list[str] = []

    async def __call__(self, text: str, stage: Stage, question: str = "") -> Decision:
        self.texts.append(text)
        return Decision.from_json(scripted_judge.decide(text, stage, self.policy.identity))

    def held(self, **settings: object) -> HeldText:
        return HeldText(self, self.policy, "answer", **settings)  # type: ignore[arg-type]


@pytest.fixture
def judge(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def pieces_of(text: str, seed: int) -> list[str]:
    """A text in pieces of random lengths."""
    lengths, pieces = random.Random(seed), []
    while text:
        pieces.append(text[: (n := lengths.randint(1, 12))])
        text = text[n:]
    return pieces


def release(held: HeldText, pieces: list[str]) -> list[str]:
    """What is released after each piece."""
    text, shown = "", []

    async def run() -> None:
        nonlocal text
        for n, piece in enumerate(pieces):
            text += piece
            await held.put(piece, flush=n == len(pieces) - 1)
            shown.append(replace_passages(text[: held.released_chars], held.passages))

    asyncio.run(run())
    return shown


@pytest.mark.parametrize("text", ["", " ", CLEAN, "no end", "x" * 2000, "one word and " * 100, "零" * 900, "\n\n.\n!? …\n"])
@pytest.mark.parametrize("seed", range(3))
def test_a_clean_text_is_released_whole_and_bounded(judge: Recorder, text: str, seed: int) -> None:
    shown = release(judge.held(), pieces_of(text, seed) or [""])
    assert shown[-1] == text and all(text.startswith(part) for part in shown)
    length = 0
    for part, piece in zip(shown, pieces_of(text, seed), strict=False):
        length += len(piece)
        assert length - len(part) <= MAX_HELD_CHARS + LOOK_AHEAD_CHARS
    assert all(len(judged) <= MAX_HELD_CHARS + LOOK_BACK_CHARS for judged in judge.texts)


TEXTS = [
    "Good. Then refuse it. And more.",
    "One refuse",
    f"{CLEAN}redact this. {CLEAN}",
    "a redact b redact. redact! c",
    "vague. Yes",
    f"{'word ' * 100}refuse {'word ' * 100}",
    f"{'word ' * 63}redact{' word' * 100}",
    f"{'零' * 316}redact{'零' * 500}",
    "review. flag. review redact.",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_is_released_does_not_depend_on_the_pieces(judge: Recorder, text: str) -> None:
    ends = {release(judge.held(), pieces)[-1] for pieces in ([text], list(text), *(pieces_of(text, n) for n in range(5)))}
    assert len(ends) == 1
    assert not any(word in min(ends) for word in ("refuse", "redact ", "vague"))


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("seed", range(3))
def test_nothing_leaves_before_it_is_judged(judge: Recorder, text: str, seed: int) -> None:
    held, pieces = judge.held(), pieces_of(text, seed)

    async def run() -> None:
        grown = ""
        for n, piece in enumerate(pieces):
            grown += piece
            await held.put(piece, flush=n == len(pieces) - 1)
            end = grown[: held.released_chars].strip()[-1:]
            assert any(end in judged for judged in judge.texts) or not end
            shown = replace_passages(grown[: held.released_chars], held.passages)
            assert "refuse" not in shown and "redact" not in shown.replace("[redacted]", "")

    asyncio.run(run())


def test_a_sentence_leaves_when_it_ends_and_the_next_waits(judge: Recorder) -> None:
    held = judge.held()
    assert release(held, ["The fox", " is quick", ".", " Is", " it", "? ", "狐狸", "。", "它"]) == [
        *["", "", ""], "The fox is quick. ", "The fox is quick. ", "The fox is quick. Is it? ", "The fox is quick. Is it? ",
        "The fox is quick. Is it? 狐狸。", "The fox is quick. Is it? 狐狸。它",
    ]  # fmt: skip
    assert judge.texts[1] == "The fox is quick. Is it? "  # with the sentence before


@pytest.mark.parametrize(("first", "second"), [("ref", "use"), ("We re", "fuse. ")])
def test_a_passage_over_two_sentences_or_over_the_context_is_seen(judge: Recorder, first: str, second: str) -> None:
    held = judge.held(max_held_chars=160, context=first)
    assert release(held, [second, "More."])[-1] == "" and held.refusal is not None


def test_a_passage_that_has_been_decided_is_not_decided_again(judge: Recorder) -> None:
    held = judge.held(context="refuse redact flag ")
    assert release(held, ["One. ", "Two review. ", "Three."])[-1] == "One. Two review. Three."
    assert [decision.categories for decision, _ in held.decisions] == [["illicit"]]


def test_after_a_refusal_nothing_is_judged(judge: Recorder) -> None:
    held = judge.held()
    assert set(release(held, ["Fine. ", "refuse. ", *["More. "] * 5])) == {"Fine. "}
    assert len(judge.texts) == 2


def test_a_failed_judge_refuses(judge: Recorder) -> None:
    async def fail(text: str, stage: Stage, question: str) -> Decision:
        return judge.policy.fail(stage, "the judge ended")

    held = HeldText(fail, judge.policy, "answer")
    assert release(held, ["Fine. "]) == [""] and held.refusal is not None and held.refusal.failed


def test_a_long_prompt_is_judged_in_few_parts(judge: Recorder) -> None:
    held = judge.held(max_held_chars=1000, by_sentence=False)
    text = "A sentence. " * 300
    assert release(held, [text])[-1] == text
    assert len(judge.texts) == 4
