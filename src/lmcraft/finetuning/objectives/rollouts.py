"""Sampling answers to a prompt and scoring them with a reward function, for reinforcement learning.

Shapes: G answers to a prompt, T tokens of the longest row.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.objectives.reward_function import RewardFunction, compute_reward
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.plain_generation import generate
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.batch import TensorBatch


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
        """G answers, with their end tokens, and their rewards, (G,) float64; the same seed gives the same answers.

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
        rewards = [compute_reward(self.reward, example, text) for text in texts]
        return answers, torch.tensor(rewards, dtype=torch.float64)


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
