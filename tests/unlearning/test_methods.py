"""The approximate method, its levels, relearning, probes and exposure."""

from pathlib import Path

import numpy as np
import pytest
import torch

from lmcraft.audits.privacy.membership import score_tokens
from lmcraft.errors import UserError
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.intervals import Metric
from lmcraft.tokenizer.train import train_characters
from lmcraft.unlearning.ascent import Ascent, ascend
from lmcraft.unlearning.exposure import measure_exposure
from lmcraft.unlearning.levels import NGramModel, find_levels
from lmcraft.unlearning.pieces import batch_of, cut, logits_of, piece_losses
from lmcraft.unlearning.probes import ask, read_probes
from lmcraft.unlearning.relearning import compare_relearning, measured_steps, relearn
from lmcraft.unlearning.results import Membership, Proof, Relearning
from tests.tiny import tiny_model

RNG = np.random.default_rng(0)
TEXTS = [RNG.integers(0, 40, 24).tolist() for _ in range(6)]
OTHERS = [RNG.integers(0, 40, 24).tolist() for _ in range(12)]


@pytest.fixture(scope="module")
def knowing() -> Transformer:
    """A model that knows `TEXTS` and the first half of `OTHERS`."""
    model = tiny_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    inputs, targets = batch_of([*TEXTS, *OTHERS[:6]], model.device)
    for _ in range(40):
        optimizer.zero_grad()
        piece_losses(logits_of(model, inputs), targets).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return model


def losses(model: Transformer, texts: list[list[int]]) -> list[float]:
    return [score.loss for score in score_tokens(model, texts)]


def test_tokens_get_to_their_levels_and_not_beyond(knowing: Transformer) -> None:
    before, unread = np.mean(losses(knowing, TEXTS)), float(np.mean(losses(knowing, OTHERS[6:])))
    assert before < unread - 1
    levels = find_levels(knowing, TEXTS, OTHERS[6:], OTHERS[:6])
    learner, steps = ascend(knowing, TEXTS, levels, OTHERS[:6], Ascent(max_steps=200, rate=3e-3))
    after = np.mean(losses(learner, TEXTS))
    assert steps < 200
    assert unread - 0.5 < after < unread + 0.5
    assert np.mean(losses(learner, OTHERS[:6])) < np.mean(losses(knowing, OTHERS[:6])) + 0.3
    assert np.mean(losses(knowing, TEXTS)) == before
    assert ascend(learner, TEXTS, levels, OTHERS[:6], Ascent())[1] == 0  # they are there already


def test_levels_follow_how_hard_a_token_is() -> None:
    ngrams = NGramModel([[1, 2] * 30], 96)
    assert sum(ngrams._probability((1,), token) for token in range(96)) == pytest.approx(1)
    easy, hard = [1, 2] * 10, RNG.integers(0, 40, 20).tolist()
    assert np.mean(ngrams.losses(easy)) < np.mean(ngrams.losses(hard))
    unread = [[1, 2] * 10, *OTHERS]
    model = tiny_model()
    for level, ids in zip(
        find_levels(model, [easy, hard, [1, 2]], unread, [[1, 2] * 30]), (easy, hard, [1, 2]), strict=True
    ):
        assert len(level.logprobs) == len(level.means) == len(ids) - 1
        drawn = np.concatenate([score.logprobs for score in score_tokens(model, unread)])
        assert np.isin(level.logprobs, drawn).all()
        assert -drawn.max() <= level.expected <= -drawn.min()
    [alone] = find_levels(model, [hard], [[1, 2]], [[1, 2]])  # a single token is every token's donor
    assert len(set(alone.logprobs.tolist())) == 1


def test_relearning(knowing: Transformer) -> None:
    rows = relearn(knowing, TEXTS, 10)
    assert rows.shape == (len(measured_steps(10)), len(TEXTS))
    halves = [-score.logprobs[11:].mean() for score in score_tokens(knowing, TEXTS)]
    np.testing.assert_allclose(rows[0], halves, rtol=1e-4)
    same = compare_relearning(knowing, knowing, TEXTS, OTHERS, 4)
    assert same is not None
    assert all(metric.value == 0 for metric in same.difference)
    alone = compare_relearning(knowing, None, TEXTS, OTHERS, 4)
    assert alone is not None
    assert alone.reference == "unseen"
    assert compare_relearning(knowing, None, [[1, 2]], OTHERS, 4) is None


def test_pieces_predict_each_token_once() -> None:
    pieces = cut([list(range(10)), [1], [1, 2]], 4)
    assert pieces == [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [8, 9], [1, 2]]


def test_probes_are_read_and_asked(tmp_path: Path, knowing: Transformer) -> None:
    file = tmp_path / "probes.jsonl"
    file.write_text('{"kind": "a", "prompt": "x", "answer": "yz"}\n\n{"kind": "b", "prompt": "y", "answer": "x"}', "utf-8")
    tokenizer = train_characters(["xyz "])
    first, second = ask({"original": knowing, "unlearned": knowing, "retrained": knowing}, tokenizer, read_probes(file))
    assert (first.kind, first.count, second.kind) == ("a", 1, "b")
    assert first.difference is not None
    assert first.difference.value == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no questions"),
        (b"[1]\n", "line 1 is no probe"),
        (b'{"kind": "a", "prompt": "x", "answer": " "}\n', "line 1 is no probe"),
        (b'{"kind": 1, "prompt": "x", "answer": "y"}\n', "line 1 is no probe"),
        (b"{\n", "line 1 is no probe: not valid JSON"),
        (b"\xff\n", "line 1 is no probe"),
    ],
    ids=["empty", "list", "blank", "number", "cut", "bytes"],
)
def test_files_that_are_no_probes(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "probes.jsonl"
    file.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_probes(file)


def test_exposure_of_an_unknown_number_is_at_chance() -> None:
    tokenizer = train_characters(["0123456789 code"])
    texts = [f"code {number}" for number in (1234, 9876, 4321, 5678)]
    exposure = measure_exposure({"original": tiny_model(), "unlearned": tiny_model()}, tokenizer, texts)
    assert exposure is not None
    assert exposure.count == 4
    assert exposure.by_chance == pytest.approx(1.405, abs=0.01)
    assert measure_exposure({"original": tiny_model()}, tokenizer, ["code"]) is None


def test_verdicts() -> None:
    chance, sure = Metric(0.52, 0.4, 0.64), Metric(0.8, 0.7, 0.9)
    rows = [Membership("loss", "a", "b", area, is_verdict=True) for area in (chance, sure)]
    fast = Relearning([0, 1], {}, [Metric(0, -1, 1), Metric(-1, -1.5, -0.5)], "retrained")
    assert Proof(rows[:1], None, [], None, {}, None).verdicts == {"membership": True}
    assert Proof(rows, fast, [], None, {}, None).verdicts == {"membership": False, "relearning": False}
