"""Inputs and output gradients of the linear layers of a model, document by document, and gradients of all parameters.

The gradient of a linear layer's weight for a row of tokens is G^T A, with the layer's inputs A and the gradients G of its
outputs. Both are handed to a function during the backward pass, layer by layer, so no more is kept than autograd keeps.

Embeddings and the output projection, tied or not, are no linear layers here: `visit_gradients` leaves them out, as
arXiv 2308.03296 does (a factor of the output projection would have the size of the vocabulary squared).
`FullGradients` has all parameters, and a tied matrix once, with the sum of the gradients of both its uses.

Shapes: B rows, T tokens of a row, N tokens, I inputs (and 1 for a bias), O outputs, C width, V vocabulary.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.model.linear import Linear
from lmcraft.model.output_head import OutputHead
from lmcraft.model.transformer import Transformer, copy_sharing_weights
from lmcraft.training.cross_entropy import linear_cross_entropy

TOKENS_PER_BATCH = 4096
LOGITS_PER_DRAW = 2**22  # in memory at a time while labels are drawn
Visit = Callable[[str, Tensor, Tensor], None]
"""Gets the name of a linear layer, its inputs, (B, T, I), with ones at the end for a bias, and the gradients of its outputs,
(B, T, O)."""


@dataclass(frozen=True)
class DocumentRows:
    """Rows of tokens, each from one document; a document longer than a row has several."""

    owners: Sequence[int]
    """(B,) the number of each row's document."""
    input_ids: Tensor
    """(B, T)"""
    targets: Tensor
    """(B, T) the next tokens; -100 after a row's end."""

    def to(self, device: torch.device) -> "DocumentRows":
        """The same rows on a device."""
        return DocumentRows(self.owners, self.input_ids.to(device), self.targets.to(device))

    @property
    def target_count(self) -> int:
        """The number of targets."""
        return int((self.targets != IGNORE_INDEX).sum())


def text_rows(ids: Sequence[int], sequence_length: int, owner: int = 0) -> list[DocumentRows]:
    """A text as rows of one batch each: every token but the first is a target once.

    Args:
        ids: tokens of the text.
        sequence_length: maximum tokens of a row.
        owner: number of its document.
    """
    tokens = torch.as_tensor(ids, dtype=torch.int64)
    starts = range(0, len(tokens) - 1, sequence_length)
    parts = [tokens[start : start + sequence_length + 1] for start in starts]
    return [DocumentRows([owner], part[None, :-1], part[None, 1:]) for part in parts]


def document_batches(
    documents: Documents, numbers: Sequence[int], sequence_length: int, *, tokens: int = TOKENS_PER_BATCH
) -> Iterator[DocumentRows]:
    """Rows of some documents in batches of rows of similar length, long rows last. A document without targets has none.

    Args:
        documents: of the dataset.
        numbers: of the documents.
        sequence_length: maximum tokens of a row.
        tokens: maximum tokens of a batch, with padding; a batch has at least one row.
    """
    counts = documents.target_counts
    spans = [
        (min(sequence_length, int(counts[number]) - start), number, start)
        for number in numbers
        for start in range(0, int(counts[number]), sequence_length)
    ]
    batch: list[tuple[int, int, int]] = []
    for span in sorted(spans):
        if batch and span[0] * (len(batch) + 1) > tokens:
            yield _stack(documents, batch)
            batch = []
        batch.append(span)
    if batch:
        yield _stack(documents, batch)


def _stack(documents: Documents, spans: Sequence[tuple[int, int, int]]) -> DocumentRows:
    T = max(length for length, _, _ in spans)
    inputs = torch.zeros(len(spans), T, dtype=torch.int64)
    targets = torch.full((len(spans), T), IGNORE_INDEX)
    for row, (length, number, start) in enumerate(spans):
        tokens = torch.from_numpy(documents.sequence(number)[start : start + length + 1])
        inputs[row, :length], targets[row, :length] = tokens[:-1], tokens[1:]
    return DocumentRows([number for _, number, _ in spans], inputs, targets)


class GradientModel:
    """A copy of a model that shares its weights, in float32 or float64, for gradients of its linear layers."""

    def __init__(self, model: Transformer) -> None:
        """Copy a model; its weights, hooks and gradients are left as they are."""
        self.model = wide_copy(model)
        self.layers: Mapping[str, Linear] = {
            name: module for name, module in self.model.layers.named_modules() if isinstance(module, Linear)
        }
        """The linear layers of the blocks, by name."""
        self.mixes_rows = any(self.model.config.has_experts(n) for n in range(self.model.config.num_hidden_layers))
        """Whether a layer sees tokens without their rows, as experts do; then a batch has one row."""
        self._visit: Visit | None = None
        self.model.embed_tokens.register_forward_hook(lambda module, inputs, output: output.requires_grad_())
        for name, layer in self.layers.items():
            layer.register_forward_hook(self._hook(name))

    def sizes(self) -> dict[str, tuple[int, int]]:
        """O and I of each layer, by name."""
        return {
            name: (layer.out_features, layer.in_features + (layer.bias is not None)) for name, layer in self.layers.items()
        }

    @property
    def tokens_per_batch(self) -> int:
        """For `document_batches`."""
        return 1 if self.mixes_rows else TOKENS_PER_BATCH

    def _hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def keep(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if self._visit is None or not output.requires_grad:
                return
            visit, x = self._visit, _in_rows(inputs[0].detach())
            if layer.bias is not None:
                x = F.pad(x, (0, 1), value=1.0)
            output.register_hook(lambda gradient: visit(name, x, _in_rows(gradient)))  # type: ignore[no-untyped-call]

        return keep

    def visit_gradients(self, rows: DocumentRows, visit: Visit, *, generator: torch.Generator | None = None) -> float:
        """Call a function for each linear layer of the blocks; returns the loss, summed over the targets, in nats.

        Padding has gradients of 0. A layer that is used several times is visited several times.

        Args:
            rows: of documents; a single one if `mixes_rows`.
            visit: the function.
            generator: draws the targets from the model's own distribution, for the Fisher information (arXiv 1412.1193,
                section 5); None: the targets of the rows.
        """
        assert len(rows.owners) == 1 or not self.mixes_rows
        rows = rows.to(self.model.device)
        self._visit = visit
        try:
            with torch.enable_grad():
                x_BTC = self.model.hidden_states(rows.input_ids)
                targets = rows.targets
                if generator is not None:
                    drawn = draw_tokens(x_BTC.detach(), self.model.output_head, generator)
                    targets = torch.where(targets == IGNORE_INDEX, IGNORE_INDEX, drawn)
                loss = linear_cross_entropy(x_BTC.flatten(0, 1), self.model.output_head, targets.flatten())
                loss.backward()  # type: ignore[no-untyped-call]
        finally:
            self._visit = None
        return float(loss.detach())


def _in_rows(x: Tensor) -> Tensor:
    """(B, T, ...), of tokens without rows (N, ...) as one row."""
    return x if x.dim() == 3 else x[None]


@torch.no_grad()
def draw_tokens(x_BTC: Tensor, head: OutputHead, generator: torch.Generator) -> Tensor:
    """A token for each position, (B, T), drawn from the softmax of the logits, in chunks of bounded memory."""
    chunk = max(1, LOGITS_PER_DRAW // len(head.weight))
    x_NC = x_BTC.flatten(0, 1)
    draws = [
        head.logits(part).float().softmax(dim=-1).multinomial(1, generator=generator) for part in torch.split(x_NC, chunk)
    ]
    return torch.cat(draws).view(x_BTC.shape[:2])


def wide_copy(model: Transformer) -> Transformer:
    """A copy in `eval` mode, in float64 if the model is, else in float32; weights of that type are shared."""
    copy = copy_sharing_weights(model).eval()
    copy.compute_dtype = torch.float64 if copy.embed_tokens.weight.dtype == torch.float64 else torch.float32
    return copy.to(copy.compute_dtype)


class FullGradients:
    """Gradients of all parameters of a copy of a model; its gradients are those of the last document."""

    def __init__(self, model: Transformer) -> None:
        self.model = wide_copy(model).requires_grad_()

    def of(self, ids: Sequence[int], sequence_length: int) -> list[Tensor]:
        """The gradient of the loss of a text, summed over its tokens but the first, for each parameter.

        The tensors are overwritten by the next call.

        Args:
            ids: tokens of the text.
            sequence_length: maximum tokens of a row; a longer text is cut into rows.
        """
        self.model.zero_grad(set_to_none=False)
        with torch.enable_grad():
            for rows in text_rows(ids, sequence_length):
                x_BTC = self.model.hidden_states(rows.input_ids.to(self.model.device))
                targets = rows.targets.to(self.model.device).flatten()
                linear_cross_entropy(x_BTC.flatten(0, 1), self.model.output_head, targets).backward()  # type: ignore[no-untyped-call]
        return [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
