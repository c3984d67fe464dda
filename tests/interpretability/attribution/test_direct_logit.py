"""Direct logit attribution: an exact sum in every family, and its checks."""

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.interpretability.attribution.direct_logit import attribute_logit, contribute
from lmcraft.interpretability.attribution.question import Question
from tests.interpretability.attribution.models import FAMILIES, random_model, random_transformer

IDS = [5, 17, 8, 3, 5, 17, 4, 2, 9]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_contributions_add_up_to_the_difference_of_the_logits(family: str) -> None:
    model = random_transformer(family)
    logits = model(torch.tensor([IDS]))[0, -1]
    for question, expected in ((Question(7, 11), logits[7] - logits[11]), (Question(7, None), logits[7] - logits.mean())):
        contributions = contribute(model, IDS, question)
        assert sum(contributions.values()) == pytest.approx(float(expected), rel=1e-5, abs=1e-5)
        assert len(contributions) == 3 * (4 + 1) + 2 + (model.embed_positions is not None)


def test_it_explains_the_next_token_against_the_runner_up() -> None:
    model = random_model()
    logits = model.compute_logits(IDS)
    attribution = attribute_logit(model, IDS)
    top = logits[-1].topk(2)
    assert attribution.total == pytest.approx(float(top.values[0] - top.values[1]), abs=1e-4)
    assert sum(part.logit for part in attribution.contributions) == pytest.approx(attribution.total, abs=1e-4)
    assert attribution.position == len(IDS) - 1
    earlier = attribute_logit(model, IDS, position=3)
    assert earlier.position == 3 and earlier == attribute_logit(model, IDS[:4])
    assert attribute_logit(model, IDS, contrast="mean").contrast == ""
    assert attribute_logit(model, "badge") == attribute_logit(model, model.tokenizer.encode("badge"))


def test_the_check_ablates_what_adds_most() -> None:
    attribution = attribute_logit(random_model(), IDS)
    logits = {part.component: part.logit for part in attribution.contributions}
    heads = sorted((name for name in logits if name.startswith("head")), key=lambda name: -logits[name])[:2]
    check = attribution.checks[0]
    assert (
        check.subject == "heads " + " and ".join(name.removeprefix("head ") for name in heads) and check.action == "ablated"
    )  # 12 heads: pairs
    assert len(check.random) == 10 * 9 / 2 and check.before == attribution.total != check.after
    assert not attribution.checks[1].is_possible  # three feed-forward layers


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": []}, "the text has no tokens"),
        ({"ids": [96]}, "token 96, but the model's token ids are 0 to 95"),
        ({"position": 9}, "position=9 is outside the text: use 0 to 8, or -1"),
        ({"target": 96}, "target=96 is not a token of the model: use 0 to 95"),
        ({"contrast": "all"}, "contrast='all' is not a token of the model: use 0 to 95"),
        ({"target": 5, "contrast": 5}, "same token, 5: choose another contrast"),
        ({"ids": [1] * 65}, "longer than the model's max_position_embeddings=64"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_bad_input_is_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        attribute_logit(random_model(), **({"ids": IDS} | arguments))  # type: ignore[arg-type]
