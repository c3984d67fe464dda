"""Group relative policy optimization (GRPO, arXiv 2402.03300, section 4.1.2).

The model answers each prompt several times, and a reward function scores the answers. Answers with a higher reward than the
rest of their group become more likely. The model takes one step per group, so the ratio of eq. 3 is 1 and is never clipped.

Shapes: G answers to a prompt, N tokens of all answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from operator import neg
from pathlib import Path
from typing import TYPE_CHECKING

from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.objectives.base import BatchLoss, FinetuneObjective, LossInputs, setting
from lmcraft.lineage.record import file_origin

if TYPE_CHECKING:
    from torch import Tensor

    from lmcraft.data.loader import Batch, Dataset
    from lmcraft.finetuning.encoding import ExampleEncoder, TokenizedExample
    from lmcraft.finetuning.head import Labels
    from lmcraft.finetuning.objectives.divergence import FrozenModel
    from lmcraft.finetuning.objectives.rollouts import RolloutSampler
    from lmcraft.lineage.document import Origin
    from lmcraft.model.transformer import Transformer
    from lmcraft.statistics.intervals import Metric
    from lmcraft.training.batch import TensorBatch
    from lmcraft.training.objective import Objective


@dataclass(frozen=True, kw_only=True)
class GRPO(FinetuneObjective):
    """-(advantage * log p - beta * KL to the starting model), the mean over an answer's tokens, then over answers."""

    summary = "give the answers that a Python function rewards"
    paper = "2402.03300"
    example_type = Conversation
    generates_answers = True

    reward: str = setting(
        "", "Reward function, as FILE.py:NAME; NAME(example, answer) returns a number, higher for a better answer."
    )
    group_size: int = setting(8, "Number of answers per prompt and step.", at_least=2)
    beta: float = setting(0.1, "Weight of the KL divergence from the starting model.", above=0)

    def check_files(self) -> None:
        from lmcraft.finetuning.objectives.reward_function import load_reward

        load_reward(self.reward)

    def encode_example(self, example: Conversation, encoder: ExampleEncoder, labels: Labels, index: int) -> TokenizedExample:
        return encoder.prompt(example, index)

    def hash_contents(self) -> dict[str, str]:
        from lmcraft.finetuning.objectives.reward_function import hash_reward

        return super().hash_contents() | {"reward": hash_reward(self.reward)}

    def data_origins(self) -> list[Origin]:
        file = Path(self.reward.rpartition(":")[0])
        return [file_origin("reward", file)] if file.is_file() else []

    def build_loss(self, inputs: LossInputs) -> Objective:
        from lmcraft.finetuning.objectives.reward_function import load_reward
        from lmcraft.finetuning.objectives.rollouts import RolloutSampler
        from lmcraft.inference.generation_config import GenerationConfig

        sampler = RolloutSampler(
            load_reward(self.reward),
            [example for example in inputs.examples if isinstance(example, Conversation)],
            inputs.tokenizer,
            inputs.eos_token_ids,
            self.group_size,
            GenerationConfig(do_sample=True, temperature=1.0, max_new_tokens=inputs.max_new_tokens),
        )
        return GroupRelativeLoss(sampler, inputs.load_reference(), self.beta)

    def metrics(self, model: Transformer, loss: Objective, rows: Dataset, labels: Labels) -> dict[str, Metric]:
        from lmcraft.finetuning.metrics import mean_loss

        return {"mean reward": mean_loss(model, loss, rows).mapped(neg)}


@dataclass(frozen=True)
class GroupRelativeLoss(BatchLoss):
    """The loss over groups of sampled answers; each row of a batch is a prompt and one term."""

    sampler: RolloutSampler
    reference: FrozenModel | None
    """The starting model; None: no KL penalty."""
    beta: float
    rewards: list[float] = field(default_factory=list)
    """The mean reward of each group so far."""

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        import torch

        total = torch.zeros((), device=batch.input_ids.device)
        for prompt, example in self.sampler.prompts(batch):
            seed = int(torch.randint(2**31, (1,)))  # from the step's generator: a resumed run samples the same answers
            answers, rewards_G = self.sampler.sample(model, prompt, example, seed)
            self.rewards.append(float(rewards_G.mean()))
            deviation = rewards_G.std()
            if deviation > 0 or self.reference is not None:  # otherwise there is nothing to learn
                advantages_G = (rewards_G - rewards_G.mean()) / (deviation + 1e-4)
                group_loss = self.group_loss(model, prompt, answers, advantages_G.to(total))
                total = total + group_loss / self.sampler.group_size
        return total + 0 * next(p for p in model.parameters() if p.requires_grad).sum()

    def measure(self, model: Transformer, batch: TensorBatch) -> Tensor:
        """The negative mean reward of sampled answers, so that lower is better.

        The seed of a prompt is its example's index, so that measuring a model again gives the same number.
        """
        import torch

        assert batch.values is not None
        pairs = zip(self.sampler.prompts(batch), batch.values[:, 0].tolist(), strict=True)
        groups = (self.sampler.sample(model, prompt, example, int(index)) for (prompt, example), index in pairs)
        return torch.tensor(-float(sum(float(rewards_G.mean()) for _, rewards_G in groups)))

    def count(self, batch: Batch) -> int:
        return len(batch.input_ids)

    def group_loss(self, model: Transformer, prompt: list[int], answers: list[list[int]], advantages_G: Tensor) -> Tensor:
        """The sum over the answers to one prompt (eq. 3, with the KL estimate of eq. 4), a scalar."""
        import torch

        from lmcraft.data.loader import IGNORE_INDEX
        from lmcraft.finetuning.objectives.log_probs import token_log_probs
        from lmcraft.finetuning.objectives.rollouts import answer_batch

        batch = answer_batch(prompt, answers, advantages_G.device)
        has_target = batch.targets != IGNORE_INDEX
        x_GTC = model.hidden_states(batch.input_ids)
        log_probs_N = token_log_probs(x_GTC[has_target], model.output_head, batch.targets[has_target])
        answer_N, _ = has_target.nonzero(as_tuple=True)
        losses_N = -advantages_G[answer_N] * torch.exp(log_probs_N - log_probs_N.detach())
        if self.reference is not None:
            with torch.no_grad():
                reference_GTC, weight_VC = self.reference(batch)
                reference_N = token_log_probs(reference_GTC[has_target], weight_VC, batch.targets[has_target])
            difference = reference_N - log_probs_N
            losses_N = losses_N + self.beta * (difference.exp() - difference - 1)
        sums_G = losses_N.new_zeros(len(answers)).index_add(0, answer_N, losses_N)
        return (sums_G / has_target.sum(dim=1).clamp(min=1)).sum()
