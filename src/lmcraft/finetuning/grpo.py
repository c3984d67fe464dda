"""Learning from a reward that a program gives: GRPO (arXiv 2402.03300, section 4.1.2).

The model answers each prompt several times; answers that are rewarded more than their siblings become likelier. As the model
takes one step after each set of answers, the ratio of the paper's eq. 3 is 1, and clipping has nothing to do.

Shapes: G answers to a prompt, T tokens of the longest.
"""

import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.errors import RunError, UserError
from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.guided import Guide
from lmcraft.finetuning.preference import token_log_probs
from lmcraft.inference.eager import generate
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.training.objective import Objective, TensorBatch

RewardFunction = Callable[[Conversation, str], float]
"""What an answer is worth, given the example whose prompt it answers."""


def load_reward(address: str) -> RewardFunction:
    """The function NAME of a Python file, from "FILE.py:NAME".

    Raises:
        UserError: there is none, or the file cannot be run.
    """
    file, _, name = address.rpartition(":")
    spec = importlib.util.spec_from_file_location(Path(file).stem, file) if file and Path(file).is_file() else None
    if spec is None or spec.loader is None:
        raise UserError(f"reward='{address}' names no function: give FILE.py:NAME of a Python file that is there")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # it is the person's own program
        raise UserError(f"reward='{address}': '{file}' cannot be run ({error!r}): repair it") from error
    if not callable(function := getattr(module, name, None)):
        raise UserError(f"reward='{address}': '{file}' has no function '{name}'")
    return function  # type: ignore[no-any-return]


@dataclass(frozen=True)
class GroupRelative(Objective):
    """-(advantage * log p - beta * divergence from the starting model), the mean over an answer's tokens, then over answers.

    A row of a batch is a prompt, and its value the number of its example.
    """

    reward: RewardFunction
    examples: Sequence[Conversation]
    tokenizer: Tokenizer
    eos_token_ids: tuple[int, ...]
    start: Guide | None
    """The starting model's opinion; None: the model may go anywhere."""
    beta: float
    answers: int
    generation: GenerationConfig
    rewards: list[float] = field(default_factory=list)
    """The mean reward of each batch so far."""

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        total = torch.zeros((), device=batch.input_ids.device)
        for prompt, example in self._prompts(batch):
            found, rewards = self._answers(model, prompt, example)
            self.rewards.append(float(rewards.mean()))
            spread = rewards.std()
            if spread > 0 or self.start is not None:  # else no answer is better than another, and nothing is to be learned
                advantages = (rewards - rewards.mean()) / (spread + 1e-4)
                total = total + self._loss_of(model, prompt, found, advantages.to(total.device)) / self.answers
        return total + 0 * next(p for p in model.parameters() if p.requires_grad).sum()

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The mean reward of sampled answers, with its sign turned, so that less is better."""
        total = sum(float(self._answers(model, *pair)[1].mean()) for pair in self._prompts(batch))
        return torch.tensor(-float(total))

    def count(self, batch: Batch) -> int:
        return len(batch.input_ids)

    def _prompts(self, batch: TensorBatch) -> list[tuple[list[int], Conversation]]:
        assert batch.values is not None
        used = (
            batch.document_ids == 0 if batch.document_ids is not None else torch.ones_like(batch.input_ids, dtype=torch.bool)
        )
        return [
            (row[mask].tolist(), self.examples[int(value)])
            for row, mask, value in zip(batch.input_ids, used, batch.values[:, 0], strict=True)
        ]

    @torch.no_grad()
    def _answers(self, model: Transformer, prompt: list[int], example: Conversation) -> tuple[list[list[int]], Tensor]:
        """Some answers, with their end tokens, and what each is worth, (G,)."""
        training = model.training
        model.eval()
        seed = int(torch.randint(2**31, (1,)))  # of the step's generator, so that a resumed run draws the same
        config = self.generation.updated({"num_return_sequences": self.answers, "seed": seed})
        rows: list[list[int]] = [[] for _ in range(self.answers)]
        for token in generate(model, prompt, config, eos_token_ids=self.eos_token_ids, tokenizer=self.tokenizer):
            rows[token.row].append(token.id)
        model.train(training)
        texts = [self.tokenizer.decode([token for token in row if token not in self.eos_token_ids]) for row in rows]
        try:
            return rows, torch.tensor([float(self.reward(example, text)) for text in texts])
        except Exception as error:  # it is the person's own program
            raise RunError(f"the reward function failed ({error!r}) on the answer {texts[0]!r}") from error

    def _loss_of(self, model: Transformer, prompt: list[int], answers: list[list[int]], advantages_G: Tensor) -> Tensor:
        length = len(prompt) + max(map(len, answers))
        device = advantages_G.device
        ids = torch.zeros(len(answers), length, dtype=torch.int64, device=device)
        targets = torch.full_like(ids, IGNORE_INDEX)
        for number, answer in enumerate(answers):
            whole = torch.tensor([*prompt, *answer], device=device)
            ids[number, : len(whole)] = whole
            targets[number, len(prompt) - 1 : len(whole) - 1] = whole[len(prompt) :]
        batch = TensorBatch(ids, targets, None)
        learned = targets != IGNORE_INDEX
        x_BTC = model.hidden_states(ids)
        log_probs = token_log_probs(x_BTC[learned], model.output_weight, targets[learned])
        row, _ = learned.nonzero(as_tuple=True)
        per_token = -advantages_G[row] * torch.exp(log_probs - log_probs.detach())
        if self.start is not None:
            with torch.no_grad():
                theirs_BTC, weight = self.start(batch)
                theirs = token_log_probs(theirs_BTC[learned], weight, targets[learned])
            apart = theirs - log_probs
            per_token = per_token + self.beta * (apart.exp() - apart - 1)  # eq. 4
        sums = per_token.new_zeros(len(answers)).index_add(0, row, per_token)
        return (sums / learned.sum(dim=1).clamp(min=1)).sum()
