"""What a model computes for one text, in PyTorch: logits and activations.

Shapes: T tokens, V vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.inference.prompt import check_token_ids, list_prompt_ids
from lmcraft.model.hooks import HookFunction, NameFilter
from lmcraft.model.transformer import Transformer
from lmcraft.tokenizer.token_ids import list_token_ids
from lmcraft.tokenizer.tokenizer import Tokenizer


class InspectedModel:
    """A network and its tokenizer, without generation."""

    transformer: Transformer
    tokenizer: Tokenizer

    def compute_logits(self, input_ids: Sequence[int]) -> Tensor:
        """The logits after each token of a text, in PyTorch, (T, V).

        Raises:
            UserError: there are no token ids, too many, or some outside the vocabulary.
            RunError: the model's outputs are not numbers.
        """
        with torch.inference_mode():
            logits_1TV: Tensor = self.transformer(self._as_row(list_token_ids(input_ids)))
        if not bool(logits_1TV.float().logsumexp(dim=-1).isfinite().all()):
            raise damaged_model_error(self.transformer)
        return logits_1TV[0]

    def compute_outputs(self, input_ids: Sequence[int]) -> Tensor:
        """What `compute_logits` returns and raises, or the hidden states of an encoder, which has no logits, (T, C)."""
        if not self.transformer.config.bidirectional:
            return self.compute_logits(input_ids)
        with torch.inference_mode():
            hidden_TC = self.transformer.hidden_states(self._as_row(list_token_ids(input_ids)))[0]
        if not bool(hidden_TC.isfinite().all()):
            raise damaged_model_error(self.transformer)
        return hidden_TC

    def run_with_hooks(
        self, prompt: str | Sequence[int], fwd_hooks: Sequence[tuple[NameFilter, HookFunction]] = ()
    ) -> Tensor:
        """The logits after each token of a prompt, (1, T, V), while functions read or replace activations (docs/hooks.md).

        Args:
            prompt: text, or token ids; a text begins with the tokens that begin every text.
            fwd_hooks: as in `Transformer.run_with_hooks`.

        Raises:
            UserError: as in `compute_logits` and `Transformer.run_with_hooks`.
        """
        return self.transformer.run_with_hooks(self._as_row(list_prompt_ids(self.tokenizer, prompt)), fwd_hooks)

    def run_with_cache(
        self,
        prompt: str | Sequence[int],
        names_filter: NameFilter | None = None,
        *,
        fwd_hooks: Sequence[tuple[NameFilter, HookFunction]] = (),
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits after each token of a prompt, (1, T, V), and the activations by the names of their points.

        Arguments and errors as in `run_with_hooks` and `Transformer.run_with_cache`.
        """
        row = self._as_row(list_prompt_ids(self.tokenizer, prompt))
        return self.transformer.run_with_cache(row, names_filter, fwd_hooks=fwd_hooks)

    def _as_row(self, ids: Sequence[int]) -> Tensor:
        check_token_ids(ids, self.transformer.config.vocab_size)
        return torch.tensor([list(ids)], device=self.transformer.device)
