"""Sampling answers to a prompt and scoring them with a reward function, for reinforcement learning.

Shapes: G answers to a prompt, T tokens of the longest row.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.errors import RunError, UserError
from lmcraft.finetuning.examples import Conversation
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.plain_generation import generate
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.batch import TensorBatch

RewardFunction = Callable[[Conversation, str], float]
"""The reward of an answer, given the example whose prompt it answers."""


def load_reward(address: str) -> RewardFunction:
    """The function NAME of a Python file, from "FILE.py:NAME".

    Raises:
        UserError: there is no such function, or the file cannot be run.
    """
    file, _, name = address.rpartition(":")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file) if file and Path(file).is_file() else None
    if spec is None or spec.loader is None:
        raise UserError(f"reward='{address}' names no function: give FILE.py:NAME, with the path of a Python file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # user code
        raise UserError(f"reward='{address}': '{file}' cannot be run ({error!r}): fix it") from error
    if not callable(function := getattr(module, name, None)):
        raise UserError(f"reward='{address}': '{file}' has no function '{name}'")
    return function  # type: ignore[no-any-return]


@dataclass(frozen=True)
class RolloutSampler:
    """Samples a group of answers to each prompt."""

    reward: RewardFunction
    examples: Sequence[Conversation]
    tokenizer: Tokenizer
    eos_token_ids: tuple[int, ...]
    group_size: int
    generation: GenerationConfig

    def prompts(self, batch: TensorBatch) -> list[tuple[list[int], Conversation]]:
        """The prompt of each row with its example, whose index is the row's value."""
        assert batch.values is not None
        mask_BT = (
            batch.document_ids == 0 if batch.document_ids is not None else torch.ones_like(batch.input_ids, dtype=torch.bool)
        )
        return [
            (row[mask].tolist(), self.examples[int(index)])
            for row, mask, index in zip(batch.input_ids, mask_BT, batch.values[:, 0], strict=True)
        ]

    @torch.no_grad()
    def sample(
        self, model: Transformer, prompt: list[int], example: Conversation, seed: int
    ) -> tuple[list[list[int]], Tensor]:
        """G answers, with their end tokens, and their rewards, (G,); the same seed gives the same answers.

        Raises:
            RunError: the reward function raises an exception.
        """
        training = model.training
        model.eval()
        config = self.generation.updated({"num_return_sequences": self.group_size, "seed": seed})
        answers: list[list[int]] = [[] for _ in range(self.group_size)]
        for token in generate(model, prompt, config, eos_token_ids=self.eos_token_ids, tokenizer=self.tokenizer):
            answers[token.row].append(token.id)
        model.train(training)
        texts = [self.tokenizer.decode([token for token in row if token not in self.eos_token_ids]) for row in answers]
        return answers, torch.tensor([compute_reward(self.reward, example, text) for text in texts])


def compute_reward(reward: RewardFunction, example: Conversation, answer: str) -> float:
    """The reward of an answer.

    Raises:
        RunError: the function raises an exception or returns something other than a finite number.
    """
    try:
        value: Any = reward(example, answer)
    except (Exception, SystemExit) as error:  # user code
        raise RunError(f"the reward function failed ({error!r}) on the answer {answer!r:.200}: correct it") from error
    try:
        number = nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = nan
    if not isfinite(number):
        raise RunError(f"the reward function returned {value!r:.100} for the answer {answer!r:.200}: return a finite number")
    return number


def answer_batch(prompt: list[int], answers: list[list[int]], device: torch.device) -> TensorBatch:
    """A prompt with each of its answers as a row of (G, T); the answers' tokens are the targets."""
    length = len(prompt) + max(map(len, answers))
    ids = torch.zeros(len(answers), length, dtype=torch.int64, device=device)
    targets = torch.full_like(ids, IGNORE_INDEX)
    for number, answer in enumerate(answers):
        row = torch.tensor([*prompt, *answer], device=device)
        ids[number, : len(row)] = row
        targets[number, len(prompt) - 1 : len(row) - 1] = row[len(prompt) :]
    return TensorBatch(ids, targets, None)
