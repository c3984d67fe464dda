"""Tokens that are held back until their text is judged."""

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lmcraft.inference.continuation import Continuation, Token
from lmcraft.inference.scoring import TokenScore
from lmcraft.inference.text_stream import TextStream
from lmcraft.moderation.decision import Decision, Stage
from lmcraft.moderation.policy import Policy, read_policy
from lmcraft.server.moderation.guard import JudgedPrompt
from lmcraft.server.moderation.held_answer import HeldAnswer, Piece, remove_harmful_alternatives
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.train import train_bpe
from tests.moderation import scripted_judge

TAG = "</think>"


class Guard:
    """A guard whose judge is in this process."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy

    async def judge(self, text: str, stage: Stage, question: str = "") -> Decision:
        return Decision.from_json(scripted_judge.decide(text, stage, self.policy.identity))

    def record(self, texts: Any, stage: Stage, flagged: Any) -> None:
        pass


@pytest.fixture
def prompt(tmp_path: Path) -> JudgedPrompt:
    guard = Guard(read_policy(scripted_judge.write_policy(tmp_path)))
    return JudgedPrompt(cast(Any, guard), "", ((),), (), (), frozenset(), "I refuse.", "")


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_bpe(["redact this and that, refuse nothing"], vocab_size=290, special_tokens=["<|endoftext|>", TAG])


def tokens_of(text: str, tokenizer: Tokenizer, stop: Sequence[str] = (), **fields: Any) -> list[Token]:
    """The tokens of an answer, with special tokens as the text spells them."""
    ids = [*tokenizer.encode(text, parse_special=True), 0]
    continuation = Continuation(0, 10_000, {0}, TextStream(tokenizer, stop))
    return [continuation.append(token_id, -1.0, **fields) for token_id in ids]


def release(prompt: JudgedPrompt, tokenizer: Tokenizer, tokens: Sequence[Token], seed: int = 0) -> list[Piece]:
    """What is shown of the tokens, which arrive in chunks of random sizes."""
    answer, sizes, rest = HeldAnswer(prompt, tokenizer), random.Random(seed), list(tokens)

    async def run() -> list[Piece]:
        pieces = []
        while rest and not answer.has_ended:
            size = sizes.randint(1, 6)
            pieces.append(await answer.put(rest[:size]))
            del rest[:size]
        return [piece for piece in pieces if piece is not None]

    return asyncio.run(run())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Plain. Text 狐狸。🦊 end", "Plain. Text 狐狸。🦊 end"),
        ("A redact b", "A [redacted] b"),
        ("redactredact. redact", "[redacted]. [redacted]"),
        ("狐redact狸🦊redact🦊", "狐[redacted]狸🦊[redacted]🦊"),
        (f"why redact{TAG}So redact.", f"why [redacted]{TAG}So [redacted]."),
        (f"{TAG}redact", f"{TAG}[redacted]"),
        ("", ""),
    ],
)
def test_the_tokens_spell_what_is_shown(
    prompt: JudgedPrompt, tokenizer: Tokenizer, text: str, shown: str, seed: int
) -> None:
    pieces = release(prompt, tokenizer, tokens_of(text, tokenizer), seed)
    tokens = [token for piece in pieces for token in piece.tokens]
    assert "".join(token.text for token in tokens) == shown.replace(TAG, "")
    assert tokenizer.decode([token.id for token in tokens[:-1]], skip_special_tokens=False) == shown
    assert [token.finish_reason for token in tokens] == [*[None] * (len(tokens) - 1), "stop"]
    assert all(piece.tokens for piece in pieces)


@pytest.mark.parametrize("seed", range(4))
def test_a_refusal_ends_the_answer_after_what_was_released(prompt: JudgedPrompt, tokenizer: Tokenizer, seed: int) -> None:
    pieces = release(prompt, tokenizer, tokens_of("Fine. 狐 refuse. Fine.", tokenizer), seed)
    assert "".join(piece.text for piece in pieces) == "Fine. "
    assert (pieces[-1].refusal, pieces[-1].finish_reason) == ("I refuse.", "content_filter")
    assert all(piece.refusal is None for piece in pieces[:-1])
    assert tokenizer.decode([token.id for piece in pieces for token in piece.tokens]) == "Fine. "


def test_the_bytes_of_a_character_wait_for_the_rest(prompt: JudgedPrompt, tokenizer: Tokenizer) -> None:
    tokens = tokens_of("Good. 🦊 refuse", tokenizer)
    for seed in range(8):
        shown = [token.id for piece in release(prompt, tokenizer, tokens, seed) for token in piece.tokens]
        assert tokenizer.decode(shown) == "Good. "


def test_a_stop_string_is_kept(prompt: JudgedPrompt, tokenizer: Tokenizer) -> None:
    tokens = tokens_of("One. redactEND", tokenizer, ["END"])
    last = release(prompt, tokenizer, tokens[: next(n for n, token in enumerate(tokens) if token.stop) + 1])[-1].tokens[-1]
    assert (last.stop, last.finish_reason) == ("END", "stop")


def test_alternatives_that_are_harmful_by_themselves_are_left_out(prompt: JudgedPrompt) -> None:
    words = ["refuse", "redact", "fine", " ", "\n"]
    tokenizer = SimpleNamespace(special_tokens={}, decode=lambda ids: words[ids[0]])
    alternatives = tuple((n, -1.0) for n in range(len(words)))
    tokens = [Token(0, 2, -1.0, "fine", "stop", alternatives)]
    [piece] = release(prompt, cast(Any, tokenizer), tokens)
    assert [token_id for token_id, _ in piece.tokens[0].alternatives] == [2, 3, 4]
    scores = [TokenScore(-1.0, 1, alternatives), TokenScore(-1.0, 1, ((2, -1.0),))]
    asyncio.run(remove_harmful_alternatives(prompt, cast(Any, tokenizer), scores))
    assert [len(score.alternatives) for score in scores] == [3, 1]
