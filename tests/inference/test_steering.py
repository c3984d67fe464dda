"""Steered texts against a naive computation of the same logits, without caches."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from lmcraft import LanguageModel, generate
from lmcraft.errors import UserError
from lmcraft.inference.steering import Reader, Steering
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer import train_characters
from tests.tiny import TEXT, tiny_model

TOKENIZER = train_characters([TEXT[:3000]])
PROMPTS = [[5, 6, 7], [9], [12, 3, 4, 8, 20, 21]]


def make_model(seed: int, **settings: Any) -> LanguageModel:
    return LanguageModel(tiny_model(seed, vocab_size=TOKENIZER.vocab_size, **settings), TOKENIZER)


@pytest.fixture(scope="module")
def models() -> tuple[LanguageModel, LanguageModel, LanguageModel]:
    return make_model(1), make_model(2, num_hidden_layers=1), make_model(3)


def next_logits(model: LanguageModel, ids: list[int]) -> torch.Tensor:
    with torch.inference_mode():
        logits: torch.Tensor = model.transformer(torch.tensor([ids]))[0, -1]
    return logits.float()


def naive_steered(models: Any, ids: list[int], strength: float, top_p: float) -> torch.Tensor:
    """DExperts as in section 2 of the paper, one forward pass of the whole text per model, (V,)."""
    z, toward, away = (next_logits(model, ids) for model in models)
    order = z.softmax(0).argsort(descending=True)
    before = z.softmax(0)[order].cumsum(0) - z.softmax(0)[order]
    nucleus = order[before < top_p]
    steered = torch.full_like(z, -torch.inf)
    steered[nucleus] = (z + strength * (toward - away))[nucleus]
    return steered


def naive_greedy(models: Any, ids: list[int], *, strength: float, top_p: float, count: int) -> list[int]:
    ids = list(ids)
    for _ in range(count):
        ids.append(int(naive_steered(models, ids, strength, top_p).argmax()))
    return ids


@pytest.mark.parametrize("tier", ["eager", "engine", "native"])
@pytest.mark.parametrize(("strength", "top_p"), [(2.0, 0.9), (0.7, 0.5), (1.0, 1.0)])
def test_texts_are_those_of_the_formula(models: Any, tier: str, strength: float, top_p: float) -> None:
    base, toward, away = models
    model = LanguageModel(base.transformer, TOKENIZER, tier="native" if tier == "native" else "eager", weights=None)
    model = model.steered(Steering(toward, away, strength, top_p))
    expected = [naive_greedy(models, ids, strength=strength, top_p=top_p, count=12) for ids in PROMPTS]
    if tier == "engine":
        config = model.generation_config.updated({"do_sample": False, "max_new_tokens": 12})
        requests = [request for ids in PROMPTS for request in model._requests(ids, config, None, "", ())]
        texts = [sequence.tokens for sequence in model.engine.run(requests)]
    else:
        texts = model.generate(PROMPTS, do_sample=False, max_new_tokens=12)
    assert texts == expected
    assert texts != base.generate(PROMPTS, do_sample=False, max_new_tokens=12)


def test_without_one_of_the_guides_the_model_itself_takes_its_part(models: Any) -> None:
    base, _, away = models
    model = base.steered(Steering(away=away, strength=1.5))
    banned = base.generate([[5]], do_sample=False, max_new_tokens=1)[0][1]
    assert model.generate(PROMPTS[:1], do_sample=False, max_new_tokens=8) == [
        naive_greedy((base, base, away), PROMPTS[0], strength=1.5, top_p=0.9, count=8)
    ]
    assert banned not in model.generate([[5]], do_sample=False, max_new_tokens=8, suppress_tokens=[banned])[0][1:]


def test_rows_of_a_batch_that_end_at_different_steps(models: Any) -> None:
    """A processor after the steering sees the logits of each row, whose caches are reordered when a row ends."""
    base, toward, away = models
    counts = []

    def compare(tokens_BT: torch.Tensor, logits_BV: torch.Tensor) -> torch.Tensor:
        counts.append(len(tokens_BT))
        for ids, logits in zip(tokens_BT.tolist(), logits_BV, strict=True):
            torch.testing.assert_close(logits, naive_steered(models, ids, 1.0, 0.95))
        return logits_BV

    model = base.steered(Steering(toward, away, 1.0, 0.95))
    stop = ["e", "o", "a", "1", "2", "3", " "]
    for token in model.tokens(
        PROMPTS[0], max_new_tokens=12, stop=stop, num_return_sequences=6, seed=4, logits_processor=compare
    ):
        assert token.row in range(6)
    assert len(set(counts)) > 1


def test_a_reader_follows_rows_that_are_dropped_repeated_cut_and_replaced(models: Any) -> None:
    model: Transformer = models[1].transformer
    reader = Reader(model)
    for rows in (
        [[1, 2, 3]] * 3,
        [[1, 2, 3, 4], [1, 2, 3, 5], [1, 2, 3, 6]],
        [[1, 2, 3, 6, 7], [1, 2, 3, 4, 8]],
        [[1, 2, 3, 6, 7, 1], [1, 2, 3, 6, 7, 2], [1, 2, 3, 6, 7, 3], [1, 2, 3, 4, 8, 4]],
        [[1, 2, 3, 6], [1, 2, 3, 4]],
        [[9, 9]],
        [[9, 9, 1, 2, 3]],
    ):
        tokens = torch.tensor(rows)
        with torch.inference_mode():
            torch.testing.assert_close(reader.next_logits(tokens), model(tokens)[:, -1].float())


def test_a_beam_search_is_steered(models: Any) -> None:
    base, toward, away = models
    settings: dict[str, Any] = {"num_beams": 3, "max_new_tokens": 6}
    assert base.steered(Steering(toward, away)).generate([[5]], **settings) != base.generate([[5]], **settings)


def test_strength_0_and_the_likelihoods_of_texts_are_the_models_own(models: Any) -> None:
    base, toward, away = models
    model = base.steered(Steering(toward, away, strength=0.0))
    settings: dict[str, Any] = {"max_new_tokens": 12, "seed": 3}
    assert model.generate(PROMPTS, **settings) == base.generate(PROMPTS, top_p=0.9, **settings)
    assert torch.equal(base.steered(Steering(toward, away)).compute_logits([1, 2]), base.compute_logits([1, 2]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "steering has no model to steer by: name one to steer toward, or one to steer away from"),
        ({"away": 2, "strength": -1.0}, "steer_strength=-1 is out of range: use 0 or more"),
        ({"away": 2, "strength": float("nan")}, "steer_strength=nan is out of range"),
        ({"toward": 2, "top_p": 0.0}, "steer_top_p=0 is out of range"),
    ],
)
def test_numbers(models: Any, settings: Mapping[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Steering(**{name: models[value] if name in ("toward", "away") else value for name, value in settings.items()})


def test_guides_must_read_what_the_model_writes(models: Any) -> None:
    other = LanguageModel(tiny_model(), train_characters(["abc"]))
    with pytest.raises(UserError, match="steer_away has other tokens than the model: choose one with the same tokenizer"):
        models[0].steered(Steering(away=other))
    short = make_model(1, max_position_embeddings=32)
    with pytest.raises(UserError, match=r"steer_toward reads 32 tokens .*, and the model writes up to 64: choose one"):
        models[0].steered(Steering(toward=short))


def test_the_command_steers(models: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, toward, away = models
    for name, model in zip(("base", "toward", "away"), models, strict=True):
        model.save(tmp_path / name)
    paths: dict[str, Any] = {name: str(tmp_path / name) for name in ("base", "toward", "away")}
    settings: dict[str, Any] = {"max_new_tokens": 8, "do_sample": False}
    text = generate(paths["base"], "Line", steer_toward=paths["toward"], steer_away=paths["away"], **settings)
    steered = base.steered(Steering(toward, away))
    assert text == "Line" + steered.complete("Line", **settings)
    with pytest.raises(ValueError, match=r"steer_strength=3 needs a model to steer by: add --steer-away or --steer-toward"):
        generate(paths["base"], "Line", steer_strength=3.0, **settings)
