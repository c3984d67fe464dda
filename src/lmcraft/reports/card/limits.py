"""What a model cannot be expected to do, as its evidence says."""

from collections.abc import Iterator

from lmcraft.reports.card.markdown import escape
from lmcraft.reports.card.metadata import find_languages
from lmcraft.reports.evidence import Evidence

TOKENS_PER_PARAMETER = 20  # of compute-optimal training (arXiv 2203.15556, table 3)


def limits(evidence: Evidence) -> Iterator[str]:
    """One line of Markdown for each limit."""
    architecture = evidence.architecture
    if architecture is not None and "context" in architecture.rows:
        yield f"It reads at most {escape(architecture.rows['context'])} at a time."
    if evidence.kind == "text-generation":
        if architecture is not None and not architecture.has_chat_template:
            yield "It continues text. It was not trained to answer questions or to follow instructions."
        yield "What it writes can be false, and nothing checks it."
    if languages := find_languages(evidence):
        yield f"Its training data are in {', '.join(languages)} only; expect little in other languages."
    if evidence.is_adapter:
        yield "It works only with the base model that it was trained on, and has that model's limits, too."
    elif evidence.parents:
        yield "It has the limits of the model that it was made from, too."
    yield from _training(evidence)
    for result in evidence.evaluations:
        if result.overlap is not None and result.overlap.value:
            yield f"Its training data contain items of {escape(result.task)}, so that figure says less than it seems to."


def _training(evidence: Evidence) -> Iterator[str]:
    training = evidence.training
    if training is None or training.command != "pretrain" or evidence.architecture is None:
        return
    tokens, parameters = training.figures.get("tokens"), evidence.architecture.parameters.value
    if tokens is not None and not isinstance(tokens.value, str) and not isinstance(parameters, str) and parameters:
        share = tokens.value / parameters
        if share < TOKENS_PER_PARAMETER:
            yield (
                f"It has read {share:.2g} tokens per parameter; about {TOKENS_PER_PARAMETER} are usual for a model that is "
                "trained with the least compute for its loss."
            )
