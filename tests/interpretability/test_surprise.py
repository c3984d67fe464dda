import pytest
import torch

from lmcraft import LanguageModel
from lmcraft.errors import RunError, UserError
from lmcraft.interpretability import choices
from lmcraft.interpretability.surprise import measure_surprise
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT, tiny_model

IDS = [5, 17, 3, 60, 22, 255]


def small_model() -> LanguageModel:
    return LanguageModel(tiny_model(vocab_size=310), train_bpe([TEXT], vocab_size=300))


@pytest.mark.parametrize("rows", [2**24, 600])
def test_surprise_is_the_loss_of_each_token(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "ROWS_TOGETHER", rows)
    model = small_model()
    surprise = measure_surprise(model, IDS, alternatives=3)
    logits = model.compute_logits(IDS)
    losses = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(IDS[1:]), reduction="none")
    assert surprise.nats[0] is None
    assert surprise.nats[1:] == pytest.approx(losses.tolist(), rel=1e-4)
    assert surprise.alternatives[0] == []
    for row, listed in zip(logits, [*surprise.alternatives[1:], surprise.next_tokens], strict=True):
        assert [choice.id for choice in listed] == row.topk(3).indices.tolist()
        assert [choice.probability for choice in listed] == pytest.approx(row.softmax(0).topk(3).values.tolist(), rel=1e-4)


def test_one_token_has_no_surprise() -> None:
    surprise = measure_surprise(small_model(), [7])
    assert (surprise.nats, surprise.alternatives, len(surprise.next_tokens)) == ([None], [[]], 5)


def test_tokens_are_spelled_whatever_they_are() -> None:
    model = small_model()
    assert choices.token_text(model.tokenizer, 305) == ""  # the model pads its vocabulary
    spelled = [choices.token_text(model.tokenizer, token) for token in model.tokenizer.encode("龍 a")]
    assert "".join(spelled).encode().decode("unicode_escape").encode("latin-1").decode() == "龍 a"


def test_invalid_texts_and_damaged_models_are_refused() -> None:
    model = small_model()
    for ids in ([], [310], [0] * 65):
        with pytest.raises(UserError):
            measure_surprise(model, ids)
    with torch.no_grad():
        model.transformer.norm.weight[0] = torch.nan
    with pytest.raises(RunError, match="not numbers"):
        measure_surprise(model, IDS)
