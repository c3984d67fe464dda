"""How likely a model finds continuations of contexts, many at once.

Texts that begin alike share the computation of what they share: the choices of a question, the questions behind the same
examples. They are packed into rows as trees of tokens (`lmcraft.model.token_tree`), so that nothing is padded either. In a
model with recurrent layers they share nothing, because a state cannot branch: each text is a document of its row.

Shapes: T tokens of a row, N scored positions, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lmcraft.inference.damaged_model import damaged_model_error
from lmcraft.model.token_tree import TokenTree
from lmcraft.model.transformer import Transformer

ROW_TOKENS = 512  # of a packed row, unless a single text is longer; more tokens make the attention mask dominate
LOGITS_ROWS = 256  # scored at a time: the logits of a large vocabulary take a megabyte each


@dataclass(frozen=True)
class ScoredText:
    """A text, of which the tokens from `first_scored` on are scored."""

    ids: tuple[int, ...]
    first_scored: int


@dataclass(frozen=True)
class Likelihood:
    """How likely a model finds the scored tokens of a text."""

    logprobs: tuple[float, ...]
    """The log-probability of each scored token, in nats."""
    is_greedy: bool
    """Whether each scored token is the most likely one at its position."""

    @property
    def total(self) -> float:
        """The log-probability of the scored tokens together, in nats."""
        return sum(self.logprobs)


@torch.inference_mode()
def score_texts(model: Transformer, texts: Sequence[ScoredText], *, row_tokens: int = ROW_TOKENS) -> list[Likelihood]:
    """Score texts, which depend on each other only by rounding.

    Args:
        model: in `eval` mode.
        texts: each with at least one token before those that are scored, and no longer than the context.
        row_tokens: size of the rows that texts are packed into.

    Raises:
        UserError: a text is longer than the context.
        RunError: the model's outputs are not numbers.
    """
    likelihoods: list[Likelihood | None] = [None] * len(texts)
    config = model.config
    row_tokens = min(row_tokens, config.max_position_embeddings) if config.is_recurrent else row_tokens
    for numbers, tree, nodes in _rows(texts, row_tokens, shares=not config.is_recurrent):
        scored = [(n, node) for n, path in zip(numbers, nodes, strict=True) for node in path[texts[n].first_scored - 1 :]]
        targets = [token_id for n in numbers for token_id in texts[n].ids[texts[n].first_scored :]]
        logprobs, greedy = _score_nodes(model, tree, [node for _, node in scored], targets)
        start = 0
        for n in numbers:
            stop = start + len(texts[n].ids) - texts[n].first_scored
            likelihoods[n] = Likelihood(tuple(logprobs[start:stop]), all(greedy[start:stop]))
            start = stop
    return [likelihood for likelihood in likelihoods if likelihood is not None]


def _rows(
    texts: Sequence[ScoredText], row_tokens: int, *, shares: bool
) -> Iterator[tuple[list[int], TokenTree, list[list[int]]]]:
    """Pack texts into rows: the numbers of a row's texts, its tree, and the node of each of a text's tokens but the last.

    In alphabetical order each text shares the most with the one before it.
    """
    numbers: list[int] = []
    nodes: list[list[int]] = []
    ids: list[int] = []
    parents: list[int] = []
    previous: tuple[int, ...] = ()
    for n in sorted(range(len(texts)), key=lambda n: texts[n].ids):
        inputs = texts[n].ids[:-1]
        shared = _shared_length(previous, inputs) if numbers and shares else 0
        if numbers and len(ids) + len(inputs) - shared > row_tokens:
            yield numbers, TokenTree.build(ids, parents), nodes
            numbers, nodes, ids, parents, shared = [], [], [], [], 0
        path = nodes[-1][:shared] if shared else []
        for token_id in inputs[shared:]:
            parents.append(path[-1] if path else -1)
            path.append(len(ids))
            ids.append(token_id)
        numbers.append(n)
        nodes.append(path)
        previous = inputs
    if numbers:
        yield numbers, TokenTree.build(ids, parents), nodes


def _shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two texts share at their beginning."""
    pairs = enumerate(zip(first, second, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(first), len(second)))


def _score_nodes(
    model: Transformer, tree: TokenTree, nodes: Sequence[int], targets: Sequence[int]
) -> tuple[list[float], list[bool]]:
    """The log-probability of a target after each node, and whether it is the most likely token there."""
    hidden_TC = _hidden_states(model, tree)
    logprobs: list[float] = []
    greedy: list[bool] = []
    for start in range(0, len(nodes), LOGITS_ROWS):
        rows = torch.tensor(nodes[start : start + LOGITS_ROWS], device=model.device)
        targets_N1 = torch.tensor(targets[start : start + LOGITS_ROWS], device=model.device)[:, None]
        logits_NV = model.logits(hidden_TC[rows]).float()
        logsumexp_N = logits_NV.logsumexp(dim=-1)
        if not bool(logsumexp_N.isfinite().all()):
            raise damaged_model_error(model)
        targets_N = logits_NV.gather(1, targets_N1)[:, 0]
        logprobs += (targets_N - logsumexp_N).tolist()
        greedy += (targets_N == logits_NV.max(dim=-1).values).tolist()
    return logprobs, greedy


def _hidden_states(model: Transformer, tree: TokenTree) -> Tensor:
    """The residual stream after the final norm for each token of a tree, (T, C)."""
    if not model.config.is_recurrent:
        return model.tree_hidden_states(tree)
    ids_1T, document_ids_1T = torch.tensor([tree.ids]), (tree.positions == 0).cumsum(dim=0)[None]
    return model.hidden_states(ids_1T.to(model.device), document_ids=document_ids_1T.to(model.device))[0]
