"""Quantile-conditioned tuning: the loss against the formula, and answers that become like the best ones."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from lmcraft.errors import UserError
from lmcraft.finetuning.objectives.quantile import Quantile, QuantileLoss, find_quantiles, quality_line
from lmcraft.finetuning.reference_model import frozen_model
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import to_device
from tests.finetuning.chat import chat_model, chat_tokenizer, message
from tests.finetuning.objectives.conformance import CHATS, ObjectiveConformance, all_rows
from tests.finetuning.objectives.test_rollouts import build_sampler

QUANTILES, BETA = 2, 0.2
LINES = [chat_tokenizer().encode(quality_line(n, QUANTILES)) for n in (1, 2)]


def naive_loss(
    model: Transformer, start: Transformer, question: list[int], answers: list[tuple[list[int], int]], beta: float
) -> float:
    """Cross-entropy after the line of the quantile, and KL from the starting model without a line, token by token."""
    losses = []
    for answer, quantile in answers:
        labeled, plain = [*LINES[quantile - 1], *question, *answer], [*question, *answer]
        p, q = (
            m(torch.tensor([ids]))[0, -len(answer) - 1 : -1].log_softmax(-1) for m, ids in ((model, labeled), (start, plain))
        )
        kl = (q.exp() * (q - p)).sum(-1)
        losses += (F.nll_loss(p, torch.tensor(answer), reduction="none") + beta * kl).tolist()
    return sum(losses) / len(losses)


class TestQuantile(ObjectiveConformance):
    name = "quantile"
    rows = [{"messages": messages} for messages in CHATS]  # noqa: RUF012

    def settings(self, folder: Path) -> dict[str, Any]:
        (folder / "reward.py").write_text("def length(example, answer):\n    return len(answer)\n")
        return {"reward": f"{folder / 'reward.py'}:length", "group_size": 3, "beta": BETA, "quantiles": QUANTILES}

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        sampler = build_sampler(
            reward=lambda example, answer: len(answer),
            examples=run.data.examples,
            eos_token_ids=run.eos_token_ids,
            group_size=3,
            generation=GenerationConfig(do_sample=True, temperature=1.0, max_new_tokens=3),
        )
        prompts = sampler.prompts(to_device(all_rows(run), model.device))
        groups = [sampler.sample(model, *prompt, int(torch.randint(2**31, (1,)))) for prompt in prompts]
        quantiles = iter(find_quantiles(torch.cat([rewards for _, rewards in groups]), QUANTILES))
        total = 0.0
        for (prompt, _), (answers, _) in zip(prompts, groups, strict=True):
            assert prompt[: len(LINES[1])] == LINES[1], "prompts ask for the best"
            labeled = [(answer, next(quantiles)) for answer in answers]
            total += naive_loss(model, start, prompt[len(LINES[1]) :], labeled, BETA)
        return total


@pytest.mark.parametrize(
    ("rewards", "count", "expected"),
    [
        ([0.0, 1.0, 2.0, 3.0], 4, [1, 2, 3, 4]),
        ([3.0, 0.0, 2.0, 1.0], 2, [2, 1, 2, 1]),
        ([0.0, 1.0, 1.0, 1.0], 4, [1, 4, 4, 4]),
        ([5.0, 5.0], 3, [3, 3]),
        ([1.0], 4, [4]),
    ],
)
def test_quantiles(rewards: list[float], count: int, expected: list[int]) -> None:
    assert find_quantiles(torch.tensor(rewards), count) == expected


def test_the_loss_of_answers_is_the_formula() -> None:
    model, start = chat_model(), chat_model(seed=1)
    loss = QuantileLoss(build_sampler(), frozen_model(start), 0.3, lines=LINES)
    question, answers = [5, 6, 7], [([8, 9], 2), ([10, 11, 12], 1)]
    actual = loss.answers_loss(model, [*LINES[1], *question], answers)
    assert actual.item() == pytest.approx(naive_loss(model, start, question, answers, 0.3), rel=1e-4)
    with pytest.raises(UserError, match="the tokenizer joins the line that names the quality with the chat template"):
        loss.answers_loss(model, question, answers)


def test_answers_become_likely_after_the_line_of_their_quantile_only() -> None:
    torch.manual_seed(0)
    model, question, good, bad = chat_model(), [5, 6, 7], [20], [30]
    loss = QuantileLoss(build_sampler(), frozen_model(chat_model()), 0.01, lines=LINES)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimizer.zero_grad()
        loss.answers_loss(model, [*LINES[1], *question], [(good, 2), (bad, 1)]).backward()
        optimizer.step()
    p = [model(torch.tensor([[*line, *question]]), last_only=True)[0, 0].softmax(-1) for line in LINES]
    assert p[1][good[0]] > 0.8 > 0.2 > p[1][bad[0]]
    assert p[0][bad[0]] > 0.8 > 0.2 > p[0][good[0]]


def test_the_saved_template_asks_for_the_best() -> None:
    objective = Quantile(quantiles=3)
    tokenizer = objective.adapt_tokenizer(chat_tokenizer())
    text = tokenizer.apply_chat_template([message("user", "hi")])
    assert text == "Quality 3 of 3.\n" + chat_tokenizer().apply_chat_template([message("user", "hi")])
    assert objective.adapt_tokenizer(tokenizer) is tokenizer
