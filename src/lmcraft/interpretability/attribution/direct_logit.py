"""Direct logit attribution: a difference of logits as a sum over everything that was written to the residual stream.

The final norm is linear once its scale is frozen at the value that it has on the text ("A mathematical framework for
transformer circuits", 2021), and so are the norms after attention of Gemma and OLMo 2.

A component's effects through later blocks count for those, not for itself: that is what the checks measure.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from operator import index

import torch

from lmcraft.errors import UserError
from lmcraft.interpretability.attribution.comparison import check_named
from lmcraft.interpretability.attribution.edited_runs import Edit, EditedRuns, in_float32
from lmcraft.interpretability.attribution.question import Contrast, Question, ask, check_numbers, read_ids
from lmcraft.interpretability.choices import token_text
from lmcraft.interpretability.explanation import Check, Contribution, LogitAttribution
from lmcraft.interpretability.interventions import list_heads
from lmcraft.interpretability.residual_stream import BIAS, ResidualStream, freeze_norm
from lmcraft.language_model import LanguageModel
from lmcraft.model.transformer import Transformer

HEADS_POINT, FEED_FORWARD_POINT = "attn.hook_z", "hook_mlp_out"


def attribute_logit(
    model: LanguageModel,
    ids: str | Sequence[int],
    *,
    position: int = -1,
    target: int | None = None,
    contrast: Contrast = None,
    seed: int = 0,
) -> LogitAttribution:
    """What each component adds to the logit of a token, compared with that of another one.

    Components are the embedding, each attention head, each feed-forward layer with its bias, and all other biases.

    Args:
        model: it computes in float32 here, whatever its type.
        ids: the text, or its token ids.
        position: of the token after which the target is predicted; negative: from the end.
        target: None: the token that the model would write next.
        contrast: None: the most likely other token. "mean": the mean of all logits.
        seed: of the components that the checks compare with.

    Returns:
        The contributions, with two checks: of the head, and of the feed-forward layer, that add most. Its output at the
        position is replaced with its mean over the text's tokens, and so are others' (two at once in a model of 9 to 19).

    Raises:
        UserError: the text is empty or too long, or there is no such position or token.
        RunError: the model's outputs are not numbers.
    """
    listed = read_ids(model, ids)
    if not -len(listed) <= index(position) < len(listed):
        raise UserError(f"position={position} is outside the text: use 0 to {len(listed) - 1}, or -1 for the last token")
    listed = listed[: index(position) % len(listed) + 1]
    transformer = in_float32(model.transformer)
    layers = range(transformer.config.num_hidden_layers)
    points = [f"blocks.{layer}.{point}" for layer in layers for point in (HEADS_POINT, FEED_FORWARD_POINT)]
    runs = EditedRuns(transformer, listed, points, first_token=len(listed) - 1)
    check_numbers(model.transformer, runs.logits)
    question = ask(runs.logits, target, contrast)
    logits = contribute(transformer, listed, question)
    return LogitAttribution(
        position=len(listed) - 1,
        target=token_text(model.tokenizer, question.target),
        contrast="" if question.contrast is None else token_text(model.tokenizer, question.contrast),
        total=float(runs.hidden @ question.direction(transformer)),
        contributions=[Contribution(name, logit) for name, logit in logits.items()],
        checks=_check(runs, question, logits, question.describe(model.tokenizer), seed),
    )


def _check(runs: EditedRuns, question: Question, logits: Mapping[str, float], measure: str, seed: int) -> list[Check]:
    """Ablate the head, and the feed-forward layer, that add most."""
    config = runs.model.config
    check = partial(
        check_named,
        runs=runs,
        direction=question.direction(runs.model),
        action="ablated",
        measure=measure,
        seed=seed,
    )
    return [
        check(
            {head: logits[f"head {head[0]}.{head[1]}"] for head in list_heads(config)},
            edit=lambda head: [ablate_at_end(runs, f"blocks.{head[0]}.{HEADS_POINT}", head[1])],
            kind="head",
        ),
        check(
            {layer: logits[f"feed-forward {layer}"] for layer in range(config.num_hidden_layers)},
            edit=lambda layer: [ablate_at_end(runs, f"blocks.{layer}.{FEED_FORWARD_POINT}")],
            kind="feed-forward",
        ),
    ]


@torch.no_grad()
def contribute(transformer: Transformer, ids: Sequence[int], question: Question) -> dict[str, float]:
    """What each component adds to a difference of logits after the text, by its name, in the order of the forward pass."""
    layers = transformer.config.num_hidden_layers
    stream = ResidualStream(transformer, ids)
    parts_NC = stream.parts(layers, [len(ids) - 1])[:, 0]
    norm = freeze_norm(transformer.norm, parts_NC.sum(0, keepdim=True))
    direction = question.direction(transformer)
    logits = dict(zip(stream.names(layers), (norm.apply(parts_NC) @ direction).tolist(), strict=True))
    if norm.bias is not None:
        logits[BIAS] += float(norm.bias @ direction)
    return logits


def ablate_at_end(runs: EditedRuns, point: str, head: int | None = None) -> Edit:
    """Replace an activation at the last token with its mean over the text's tokens.

    The first token is left out if there are others: at it, many models write values a thousand times as large as
    elsewhere, whatever the text (arXiv 2402.17762).
    """
    values = runs.activations[point] if head is None else runs.activations[point][:, head]
    return Edit(point, (runs.length - 1,), values[min(1, runs.length - 1) :].mean(0, keepdim=True), head)
