"""Learning from a reward: the answers that are worth more become likelier."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.errors import RunError, UserError
from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.grpo import GroupRelative, load_reward
from lmcraft.finetuning.guided import guide_of
from lmcraft.finetuning.packing import PackedRows
from lmcraft.finetuning.pieces import Pieces
from lmcraft.finetuning.tokens import Encoder
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.training.loop import to_device
from lmcraft.training.objective import TensorBatch
from tests.finetuning.chat import chat_model, chat_tokenizer, says

EXAMPLES = [Conversation((says("user", f"Say {word}"), says("assistant", word))) for word in ("e", "fox")]


def batch() -> TensorBatch:
    pieces = Pieces(Encoder(chat_tokenizer(), [0]), "grpo").of(EXAMPLES)
    return to_device(PackedRows(pieces, 64).batch([0, 1]), torch.device("cpu"))


def objective(**settings: Any) -> GroupRelative:
    return GroupRelative(
        **{
            "reward": lambda example, answer: len(answer),
            "examples": EXAMPLES,
            "tokenizer": chat_tokenizer(),
            "eos_token_ids": (0,),
            "start": None,
            "beta": 0.0,
            "answers": 8,
            "generation": GenerationConfig(do_sample=True, max_new_tokens=3),
        }
        | settings
    )


def test_a_prompt_ends_where_the_answer_begins() -> None:
    some = batch()
    prompts = {tuple(ids): example for ids, example in objective()._prompts(some)}
    for example in EXAMPLES:
        text = chat_tokenizer().apply_chat_template(example.messages[:1])
        assert prompts[tuple(chat_tokenizer().encode(text, parse_special=True))] == example
    assert objective().count(PackedRows([*Pieces(Encoder(chat_tokenizer(), [0]), "grpo").of(EXAMPLES)], 64).batch([0])) == 1


def test_a_token_that_is_rewarded_becomes_likelier() -> None:
    torch.manual_seed(0)
    model, some = chat_model(), batch()
    with torch.no_grad():
        model.embed_tokens.weight.mul_(0.1)  # so that every token is about as likely
    generation = GenerationConfig(do_sample=True, max_new_tokens=1)
    learner = objective(reward=lambda example, answer: answer == "e", answers=128, generation=generation)
    (wanted,) = chat_tokenizer().encode("e")
    prompts = [torch.tensor([ids]) for ids, _ in learner._prompts(some)]

    def share() -> float:
        with torch.no_grad():
            return float(sum(model(ids, last_only=True).softmax(-1)[0, 0, wanted] for ids in prompts) / len(prompts))

    optimizer, before = torch.optim.Adam(model.parameters(), lr=0.01), share()
    for _ in range(15):
        optimizer.zero_grad()
        (learner.loss(model, some) / 2).backward()
        optimizer.step()
    assert share() > before + 0.5
    assert len(learner.rewards) == 30 and np.mean(learner.rewards[-4:]) > np.mean(learner.rewards[:4]) + 0.5


def test_answers_that_are_worth_the_same_teach_nothing() -> None:
    model = chat_model()
    loss = objective(reward=lambda example, answer: 1.0).loss(model, batch())
    loss.backward()
    assert loss == 0 and not any(p.grad is not None and p.grad.any() for p in model.parameters())


def test_the_starting_model_holds_back() -> None:
    found = []
    for beta in (0.0, 0.5):
        torch.manual_seed(0)
        model = chat_model(seed=1)
        found.append(objective(start=guide_of(chat_model(seed=0)), beta=beta).loss(model, batch()).item())
    assert found[1] > found[0]
    torch.manual_seed(0)
    same = objective(reward=lambda example, answer: 1.0, start=guide_of(chat_model(seed=0)), beta=0.5)
    assert same.loss(chat_model(seed=1), batch()).item() > 0
    torch.manual_seed(0)
    itself = objective(start=guide_of(chat_model(seed=1)), beta=0.5).loss(chat_model(seed=1), batch()).item()
    assert itself == pytest.approx(found[0], abs=1e-4)


def test_the_loss_is_the_formula() -> None:
    model, learner = chat_model(), objective(start=guide_of(chat_model(seed=1)), beta=0.3)
    start, prompt, answers = chat_model(seed=1), [5, 6, 7], [[8, 9], [10, 11, 0]]
    advantages, expected = [1.0, -0.5], 0.0
    for answer, advantage in zip(answers, advantages, strict=True):
        ids = torch.tensor([[*prompt, *answer]])
        log_p, log_q = (m(ids)[0, 2:-1].log_softmax(-1).gather(1, ids[0, 3:, None]) for m in (model, start))
        apart = (log_q - log_p).exp() - (log_q - log_p) - 1
        expected += float((-advantage + 0.3 * apart).mean().detach())
    found = learner._loss_of(model, prompt, answers, torch.tensor(advantages))
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_a_step_draws_by_its_seed_and_leaves_the_mode_as_it_was() -> None:
    model, some = chat_model(), batch()
    model.train()
    losses = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        losses.append(objective().loss(model, some).item())
    assert losses[0] == losses[1] != losses[2] and model.training


def test_validation_is_the_mean_reward_with_its_sign_turned() -> None:
    assert objective(reward=lambda example, answer: 2.5).measure(chat_model(), batch()).item() == -5.0


def test_the_reward_sees_the_example_and_the_answer_as_text() -> None:
    seen: list[tuple[Conversation, str]] = []

    def reward(example: Conversation, answer: str) -> float:
        seen.append((example, answer))
        return 0.0

    objective(reward=reward).measure(chat_model(), batch())
    assert len(seen) == 16 and {example.messages[1]["content"] for example, _ in seen} == {"e", "fox"}
    assert not any("<|im_end|>" in answer for _, answer in seen)


def test_a_reward_that_fails_is_one_sentence() -> None:
    def broken(example: Conversation, answer: str) -> float:
        raise KeyError("price")

    with pytest.raises(RunError, match=r"the reward function failed \(KeyError\('price'\)\) on the answer"):
        objective(reward=broken).loss(chat_model(), batch())


def test_a_reward_is_a_function_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "reward.py"
    file.write_text("LIMIT = 3\n\n\ndef short(example, answer):\n    return len(answer) < LIMIT\n")
    assert load_reward(f"{file}:short")(EXAMPLES[0], "ab") == 1
    for address, message in (
        ("", "names no function: give FILE.py:NAME"),
        (str(file), "names no function"),
        (f"{tmp_path / 'none.py'}:short", "names no function"),
        (f"{file}:long", "has no function 'long'"),
        (f"{file}:LIMIT", "has no function 'LIMIT'"),
    ):
        with pytest.raises(UserError, match=message):
            load_reward(address)
    file.write_text("def short(:\n")
    with pytest.raises(UserError, match=r"reward.py.*SyntaxError.*repair it"):
        load_reward(f"{file}:short")
