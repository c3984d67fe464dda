"""GRPO: answers with higher rewards become more likely, and the KL penalty holds the model back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.head import Labels
from lmcraft.finetuning.objectives.grpo import GRPO, GroupRelativeLoss
from lmcraft.finetuning.reference_model import frozen_model
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.model.transformer import Transformer
from lmcraft.training.batch import to_device
from tests.finetuning.chat import chat_model, chat_tokenizer
from tests.finetuning.objectives.conformance import CHATS, ObjectiveConformance, all_rows, log_probs
from tests.finetuning.objectives.test_rollouts import EXAMPLES, build_sampler, prompt_batch, prompt_rows


def build_loss(reference: Any = None, beta: float = 0.0, **settings: Any) -> GroupRelativeLoss:
    return GroupRelativeLoss(build_sampler(**settings), reference, beta)


class TestGRPO(ObjectiveConformance):
    name = "grpo"
    rows = [{"messages": messages} for messages in CHATS]  # noqa: RUF012

    def settings(self, folder: Path) -> dict[str, Any]:
        (folder / "reward.py").write_text("def length(example, answer):\n    return len(answer)\n")
        return {"reward": f"{folder / 'reward.py'}:length", "group_size": 3, "beta": 0.2}

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        folder = Path(run.config.model).parent
        sampler = build_sampler(
            reward=lambda example, answer: len(answer),
            examples=run.data.examples,
            eos_token_ids=run.eos_token_ids,
            group_size=3,
            generation=GenerationConfig(do_sample=True, temperature=1.0, max_new_tokens=3),
        )
        assert (folder / "reward.py").exists()
        total = 0.0
        for prompt, example in sampler.prompts(to_device(all_rows(run), model.device)):
            answers, rewards = sampler.sample(model, prompt, example, int(torch.randint(2**31, (1,))))
            for answer, advantage in zip(answers, (rewards - rewards.mean()) / (rewards.std() + 1e-4), strict=True):
                ids = torch.tensor([*prompt, *answer])
                log_p, log_q = (log_probs(m, ids)[len(prompt) - 1 :] for m in (model, start))
                kl = (log_q - log_p).exp() - (log_q - log_p) - 1
                total += float((-advantage + 0.2 * kl).mean()) / 3
        return total


def test_a_rewarded_token_becomes_more_likely() -> None:
    torch.manual_seed(0)
    model, batch = chat_model(), prompt_batch()
    with torch.no_grad():
        model.embed_tokens.weight.mul_(0.1)  # so that all tokens are about equally likely
    generation = GenerationConfig(do_sample=True, max_new_tokens=1)
    loss = build_loss(reward=lambda example, answer: answer == "e", group_size=128, generation=generation)
    (token,) = chat_tokenizer().encode("e")
    prompts = [torch.tensor([ids]) for ids, _ in loss.sampler.prompts(batch)]

    def probability() -> float:
        with torch.no_grad():
            return float(sum(model(ids, last_only=True).softmax(-1)[0, 0, token] for ids in prompts) / len(prompts))

    optimizer, before = torch.optim.Adam(model.parameters(), lr=0.01), probability()
    for _ in range(15):
        optimizer.zero_grad()
        (loss.loss(model, batch) / 2).backward()
        optimizer.step()
    assert probability() > before + 0.5
    assert len(loss.rewards) == 30 and np.mean(loss.rewards[-4:]) > np.mean(loss.rewards[:4]) + 0.5


def test_equal_rewards_teach_nothing() -> None:
    model = chat_model()
    loss = build_loss(reward=lambda example, answer: 1.0).loss(model, prompt_batch())
    loss.backward()
    assert loss == 0 and not any(p.grad is not None and p.grad.any() for p in model.parameters())


def test_the_kl_penalty_pulls_towards_the_starting_model() -> None:
    losses = []
    for beta in (0.0, 0.5):
        torch.manual_seed(0)
        loss = build_loss(frozen_model(chat_model(seed=0)), beta)
        losses.append(loss.loss(chat_model(seed=1), prompt_batch()).item())
    assert losses[1] > losses[0]
    torch.manual_seed(0)
    equal = build_loss(frozen_model(chat_model(seed=0)), 0.5, reward=lambda example, answer: 1.0)
    assert equal.loss(chat_model(seed=1), prompt_batch()).item() > 0
    torch.manual_seed(0)
    unmoved = build_loss(frozen_model(chat_model(seed=1)), 0.5).loss(chat_model(seed=1), prompt_batch()).item()
    assert unmoved == pytest.approx(losses[0], abs=1e-4)


def test_the_loss_of_a_group_is_the_formula() -> None:
    model, start = chat_model(), chat_model(seed=1)
    prompt, answers, advantages, expected = [5, 6, 7], [[8, 9], [10, 11, 0]], [1.0, -0.5], 0.0
    for answer, advantage in zip(answers, advantages, strict=True):
        log_p, log_q = (log_probs(m, torch.tensor([*prompt, *answer]))[2:] for m in (model, start))
        kl = (log_q - log_p).exp() - (log_q - log_p) - 1
        expected += float((-advantage + 0.3 * kl).mean().detach())
    loss = build_loss(frozen_model(start), 0.3).group_loss(model, prompt, answers, torch.tensor(advantages))
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_validation_is_the_negative_mean_reward_of_each_prompt() -> None:
    loss = build_loss(reward=lambda example, answer: 2.5)
    assert loss.measure(chat_model(), prompt_batch()).item() == -5.0 and loss.count(prompt_rows().batch([0, 1])) == 2


def test_examples_are_prompts_without_targets() -> None:
    tokens = GRPO().encode(EXAMPLES, ExampleEncoder(chat_tokenizer(), [0]), Labels(), 5)
    assert all((example.targets < 0).all() for example in tokens)
    assert [float(example.values[0]) for example in tokens if example.values is not None] == [5, 6]


def test_measuring_a_model_again_gives_the_same_number() -> None:
    model, batch, loss = chat_model(), prompt_batch(), build_loss()
    first = loss.measure(model, batch)
    torch.manual_seed(99)
    assert loss.measure(model, batch) == first
