"""Sampling answers and scoring them with a reward function."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import RunError, UserError
from lmcraft.finetuning.encoding import ExampleEncoder
from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.objectives.reward_function import compute_reward, load_reward
from lmcraft.finetuning.objectives.rollouts import RolloutSampler, answer_batch
from lmcraft.finetuning.packing import PackedRows
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.training.batch import TensorBatch, to_device
from tests.finetuning.chat import chat_model, chat_tokenizer, message

EXAMPLES = [Conversation((message("user", f"Say {word}"), message("assistant", word))) for word in ("e", "fox")]


def prompt_rows() -> PackedRows:
    encoder = ExampleEncoder(chat_tokenizer(), [0])
    return PackedRows([encoder.prompt(example, index) for index, example in enumerate(EXAMPLES)], 64)


def prompt_batch() -> TensorBatch:
    return to_device(prompt_rows().batch([0, 1]), torch.device("cpu"))


def build_sampler(**settings: Any) -> RolloutSampler:
    return RolloutSampler(
        **{
            "reward": lambda example, answer: len(answer),
            "examples": EXAMPLES,
            "tokenizer": chat_tokenizer(),
            "eos_token_ids": (0,),
            "group_size": 8,
            "generation": GenerationConfig(do_sample=True, max_new_tokens=3),
        }
        | settings
    )


def test_a_prompt_ends_where_the_answer_begins() -> None:
    prompts = {tuple(ids): example for ids, example in build_sampler().prompts(prompt_batch())}
    for example in EXAMPLES:
        text = chat_tokenizer().apply_chat_template(example.messages[:1])
        assert prompts[tuple(chat_tokenizer().encode(text, parse_special=True))] == example


def test_sampling_depends_on_the_seed_and_restores_the_mode() -> None:
    model = chat_model()
    model.train()
    groups = []
    for seed in (3, 3, 4):
        groups.append(build_sampler().sample(model, [5, 6], EXAMPLES[0], seed)[0])
    assert groups[0] == groups[1] != groups[2] and model.training


def test_the_reward_function_gets_the_example_and_the_answer_as_text() -> None:
    calls: list[tuple[Conversation, str]] = []

    def reward(example: Conversation, answer: str) -> float:
        calls.append((example, answer))
        return 0.0

    for prompt, example in build_sampler(reward=reward).prompts(prompt_batch()):
        build_sampler(reward=reward).sample(chat_model(), prompt, example, 0)
    assert len(calls) == 16 and {example.messages[1]["content"] for example, _ in calls} == {"e", "fox"}
    assert not any("<|im_end|>" in answer for _, answer in calls)


def test_a_failing_reward_function_is_reported() -> None:
    def broken(example: Conversation, answer: str) -> float:
        raise KeyError("price")

    with pytest.raises(RunError, match=r"the reward function failed \(KeyError\('price'\)\) on the answer"):
        build_sampler(reward=broken).sample(chat_model(), [5, 6], EXAMPLES[0], 0)


class Broken:
    def __float__(self) -> float:
        raise RuntimeError("no number")

    def __repr__(self) -> str:
        raise RuntimeError("no text")


async def later() -> float:
    return 1.0


def quits(example: Conversation, answer: str) -> float:
    raise SystemExit(3)


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        (
            lambda example, answer: float("nan"),
            "the reward function returned nan for the answer 'x': return a finite number",
        ),
        (lambda example, answer: float("-inf"), "returned -inf"),
        (lambda example, answer: None, "returned None"),
        (lambda example, answer: "3", "returned '3'"),
        (lambda example, answer: [1.0, 2.0], r"returned \[1.0, 2.0\]"),
        (lambda example, answer: 1j, "returned 1j"),
        (lambda example, answer: 10**400, "returned 1000.*return a finite number, at most 1e\\+30"),
        (lambda example, answer: 10**9999, "returned a value of type int, which cannot be shown"),
        (lambda example, answer: -1e300, "returned -1e\\+300"),
        (lambda example, answer: Broken(), r"returned a value of type Broken, which cannot be shown \(no text\)"),
        (lambda example, answer: later(), "returned <coroutine object later"),
        (quits, r"failed \(SystemExit\(3\)\) on the answer 'x'"),
    ],
)
def test_a_reward_that_is_not_a_finite_number_is_named(reward: Any, message: str) -> None:
    with pytest.raises(RunError, match=message):
        compute_reward(reward, EXAMPLES[0], "x")


@pytest.mark.filterwarnings("error::UserWarning")
@pytest.mark.parametrize("value", [2, 2.0, np.float32(2), torch.tensor(2.0)])
def test_a_reward_is_any_number(value: Any) -> None:
    assert compute_reward(lambda example, answer: value, EXAMPLES[0], "x") == 2.0


def test_answers_of_a_batch_follow_the_prompt() -> None:
    batch = answer_batch([5, 6], [[8], [9, 10]], torch.device("cpu"))
    assert batch.input_ids.tolist() == [[5, 6, 8, 0], [5, 6, 9, 10]]
    assert batch.targets.tolist() == [[IGNORE_INDEX, 8, IGNORE_INDEX, IGNORE_INDEX], [IGNORE_INDEX, 9, 10, IGNORE_INDEX]]


def test_a_reward_function_is_loaded_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "reward.py"
    file.write_text("LIMIT = 3\n\n\ndef short(example, answer):\n    return len(answer) < LIMIT\n")
    assert load_reward(f"{file}:short")(EXAMPLES[0], "ab") == 1
    for address, text in (
        ("", "names no function: give FILE.py:NAME"),
        (str(file), "names no function"),
        (f"{file}:", "names no function"),
        (f"{tmp_path / 'none.py'}:short", r"the file '.*/none.py' does not exist: check the path"),
        (f"{tmp_path / 'none.txt'}:short", "names no function"),
        ("~nobody/none.py:short", "does not exist"),
        (f"{file}:long", "has no function 'long'"),
        (f"{file}:LIMIT", "has no function 'LIMIT'"),
    ):
        with pytest.raises(UserError, match=text):
            load_reward(address)
    file.write_text("def short(:\n")
    with pytest.raises(UserError, match=r"reward.py.*SyntaxError.*fix it"):
        load_reward(f"{file}:short")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("async def f(example, answer): return 1.0", "is asynchronous: write `def f` instead of `async def f`"),
        ("class F:\n    async def __call__(self, example, answer): return 1.0\nf = F()", "is asynchronous"),
        ("def f(answer): return 1.0", "is called with an example and an answer: too many positional arguments"),
        ("def f(**settings): return 1.0", "is called with an example and an answer"),
        ("def f(example, answer, weight): return 1.0", "missing a required argument: 'weight'"),
        ("import sys\nsys.exit(1)", r"cannot be run \(SystemExit\(1\)\): fix it"),
    ],
)
def test_a_reward_function_that_cannot_be_called_is_refused(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "r.py").write_text(source)
    with pytest.raises(UserError, match=message):
        load_reward(f"{tmp_path / 'r.py'}:f")


def test_a_reward_file_runs_once_until_it_changes(tmp_path: Path) -> None:
    file, log = tmp_path / "r.py", tmp_path / "log"
    source = f"open({str(log)!r}, 'a').write('x')\ndef f(example, answer): return 1.0\n"
    file.write_text(source)
    for _ in range(3):
        assert load_reward(f"{file}:f")(EXAMPLES[0], "") == 1.0
    assert log.read_text() == "x"
    file.write_text(source.replace("1.0", "2.0"))
    os.utime(file, ns=(1, 1))
    assert load_reward(f"{file}:f")(EXAMPLES[0], "") == 2.0


def test_rewards_of_any_size_give_finite_losses() -> None:
    sampler = build_sampler(reward=lambda example, answer: 1e30 * (-1) ** len(answer))
    _, rewards_G = sampler.sample(chat_model(), [5, 6], EXAMPLES[0], 0)
    assert bool(rewards_G.std().isfinite())
