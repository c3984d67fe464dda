"""Quantile-conditioned tuning: reinforcement learning by conditional likelihood (Quark, arXiv 2205.13635).

In each step the model answers prompts several times, asked for the best quality. The answers of the step are sorted by
their reward into quantiles, and the model learns each answer after a line that names its quantile. Unlike in the paper, the
line is text rather than a new token, so that adapters can learn it, and the quantiles are those of a step's own answers
rather than of a growing pool, so that a resumed run repeats every number.

Shapes: G answers to a prompt, N tokens of answers, S answers of a step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from lmcraft.errors import UserError
from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.objectives.base import LossInputs, setting
from lmcraft.finetuning.objectives.grpo import GRPO, GroupRelativeLoss

if TYPE_CHECKING:
    from torch import Tensor

    from lmcraft.model.transformer import Transformer
    from lmcraft.tokenizer.tokenizer import Tokenizer
    from lmcraft.training.batch import TensorBatch
    from lmcraft.training.objective import Objective, Total

Answers = list[tuple[list[int], int]]
"""Answers to a prompt, each with its quantile."""


def quality_line(quantile: int, quantiles: int) -> str:
    """The text that begins a conversation whose answer is of a quantile, 1 to `quantiles`."""
    return f"Quality {quantile} of {quantiles}.\n"


@dataclass(frozen=True, kw_only=True)
class Quantile(GRPO):
    """-log p(answer | its quantile) + beta * KL(starting model || model), the mean over the tokens of a prompt's answers.

    The chat template that is saved asks for the best quantile.
    """

    summary = "give answers like the best of its own, as a Python function rewards them"
    paper = "2205.13635"

    quantiles: int = setting(4, "Number of quantiles of the answers' rewards.", at_least=2, at_most=9)

    def adapt_tokenizer(self, tokenizer: Tokenizer) -> Tokenizer:
        template = tokenizer.chat_template
        assert template is not None
        line = quality_line(self.quantiles, self.quantiles)
        return tokenizer if line[:-1] in template else tokenizer.with_chat_template(f"{{{{ {line!r} }}}}{template}")

    def build_loss(self, inputs: LossInputs) -> Objective:
        loss = super().build_loss(inputs)
        assert isinstance(loss, GroupRelativeLoss)
        lines = [inputs.tokenizer.encode(quality_line(n, self.quantiles)) for n in range(1, self.quantiles + 1)]
        return QuantileLoss(loss.sampler, loss.reference, loss.beta, lines=lines)


@dataclass(frozen=True)
class QuantileLoss(GroupRelativeLoss):
    """The loss over groups of sampled answers; each row of a batch is a prompt and one term."""

    lines: Sequence[Sequence[int]] = ()
    """The token ids of the line of each quantile, the worst first."""
    batches: Sequence[TensorBatch] = ()
    """Those of the step."""
    answers: dict[tuple[int, ...], Answers] = field(default_factory=dict)
    """The step's answers by prompt, filled in by the first loss."""

    def for_batches(self, model: Transformer, batches: Iterable[TensorBatch], total: Total) -> QuantileLoss:
        return replace(self, batches=list(batches), answers={})

    def loss(self, model: Transformer, batch: TensorBatch) -> Tensor:
        import torch

        if not self.answers:
            self.answers.update(self._sample(model, self.batches or [batch]))
        total = torch.zeros((), device=batch.input_ids.device)
        for prompt, _ in self.sampler.prompts(batch):
            total = total + self.answers_loss(model, prompt, self.answers[tuple(prompt)])
        return total

    def answers_loss(self, model: Transformer, prompt: list[int], answers: Answers) -> Tensor:
        """The mean over the tokens of some answers to one prompt, a scalar."""
        import torch

        from lmcraft.data.loader import IGNORE_INDEX
        from lmcraft.finetuning.objectives.divergence import CrossEntropyAndDivergence

        question = self._without_line(prompt)
        device = next(model.parameters()).device
        labeled = _rows([([*self.lines[quantile - 1], *question], answer) for answer, quantile in answers], device)
        plain = _rows([(question, answer) for answer, _ in answers], device)
        learned, compared = labeled.targets != IGNORE_INDEX, plain.targets != IGNORE_INDEX
        assert self.reference is not None
        with torch.no_grad():
            reference_GTC, reference_head = self.reference(plain)
        x_NC = model.hidden_states(labeled.input_ids)[learned]
        objective = CrossEntropyAndDivergence(self.reference, 1.0, self.beta)
        targets_N = labeled.targets[learned]
        total = objective.sum_over(x_NC, model.output_head, reference_GTC[compared], reference_head, targets_N)
        return total / max(1, len(targets_N))

    def _without_line(self, prompt: list[int]) -> list[int]:
        best = list(self.lines[-1])
        if prompt[: len(best)] != best:
            raise UserError(
                "the tokenizer joins the line that names the quality with the chat template: use another template"
            )
        return prompt[len(best) :]

    def _sample(self, model: Transformer, batches: Sequence[TensorBatch]) -> Mapping[tuple[int, ...], Answers]:
        """The answers to all prompts of a step, with their quantiles."""
        import torch

        prompts: dict[tuple[int, ...], Conversation] = {}
        for batch in batches:
            prompts |= {tuple(prompt): example for prompt, example in self.sampler.prompts(batch)}
        sampled = []
        for prompt, example in prompts.items():
            seed = int(torch.randint(2**31, (1,)))  # from the step's generator: a resumed run samples the same answers
            sampled.append(self.sampler.sample(model, list(prompt), example, seed))
        rewards_S = torch.cat([rewards_G for _, rewards_G in sampled])
        self.rewards.append(float(rewards_S.mean()))
        quantiles = iter(find_quantiles(rewards_S, len(self.lines)))
        return {
            prompt: [(answer, next(quantiles)) for answer in answers]
            for prompt, (answers, _) in zip(prompts, sampled, strict=True)
        }


def find_quantiles(rewards_S: Tensor, count: int) -> list[int]:
    """The quantile of each reward, 1 to `count`, by the share of rewards that are at most as high: equal ones share it."""
    share_S = (rewards_S[None, :] <= rewards_S[:, None]).double().mean(dim=1)
    return [int(quantile) for quantile in (share_S * count - 1e-9).ceil().clamp(1, count).tolist()]


def _rows(pairs: Sequence[tuple[Sequence[int], Sequence[int]]], device: object) -> TensorBatch:
    """A prompt and an answer in each row; the answers' tokens are the targets."""
    import torch

    from lmcraft.data.loader import IGNORE_INDEX
    from lmcraft.training.batch import TensorBatch

    length = max(len(prompt) + len(answer) for prompt, answer in pairs)
    ids = torch.zeros(len(pairs), length, dtype=torch.int64)
    targets = torch.full_like(ids, IGNORE_INDEX)
    for number, (prompt, answer) in enumerate(pairs):
        row = torch.tensor([*prompt, *answer])
        ids[number, : len(row)] = row
        targets[number, len(prompt) - 1 : len(row) - 1] = row[len(prompt) :]
    return TensorBatch(ids.to(device), targets.to(device), None)  # type: ignore[call-overload]
