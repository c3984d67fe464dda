"""`POST /v1/classify`: labels from a classifier, or from a language model that is asked to choose one."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from fastapi import APIRouter, Request

from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.openai_format import response_fields
from lmcraft.server.http.protocol.base import MAX_TEXT_LENGTH
from lmcraft.server.http.protocol.chat import ChatInput, Message
from lmcraft.server.http.protocol.classify import ClassifyRequest
from lmcraft.server.http.request_builder import (
    PreparedRequest,
    build_reading,
    check_context,
    check_total_tokens,
    encode_conversation,
    encode_prompt,
)
from lmcraft.server.http.state import compute, server_state

router = APIRouter(route_class=JsonRoute)
FIELDS = re.compile(r"\{labels\}|\{text\}")  # of an instruction; a field that a text spells stays as it is
Probabilities = dict[str, float]
"""By label."""


@router.post("/v1/classify")
async def classify(body: ClassifyRequest, request: Request) -> dict[str, Any]:
    """Label each text: with a classifier's head, or with the one of `labels` that the model would most likely answer.

    The label is null if none is as likely as the threshold.
    """
    served = await server_state(request).get_model(body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    if served.kind == "classifier":
        if body.labels is not None:
            raise ApiError(400, f"'{served.name}' is a classifier with fixed labels; leave labels out", param="labels")
        probabilities, token_count = await classify_with_head(request, served, texts)
        labels = [served.classifier.choose_label(by_label, body.threshold) for by_label in probabilities]
        is_unsure = not served.classifier.labels.multi_label
    else:
        if body.labels is None:
            raise ApiError(
                400, f"'{served.name}' is not a classifier, so the request must list the labels; set labels", param="labels"
            )
        if repeated := [label for label, count in Counter(body.labels).items() if count > 1]:
            raise ApiError(400, f"labels has {repeated[0]!r} more than once; give each label once", param="labels")
        probabilities, token_count = await _classify_with_answers(request, served, texts, body)
        likeliest = [max(by_label.items(), key=lambda pair: pair[1]) for by_label in probabilities]
        labels = [label if probability >= (body.threshold or 0) else "" for label, probability in likeliest]
        is_unsure = True
    data = [
        {
            "index": n,
            "label": None if is_unsure and not label else label,
            "probs": list(by_label.values()),
            "labels": list(by_label),
            "num_classes": len(by_label),
        }
        for n, (by_label, label) in enumerate(zip(probabilities, labels, strict=True))
    ]
    usage = {"prompt_tokens": token_count, "completion_tokens": 0, "total_tokens": token_count}
    return {**response_fields("classify", "list", served.name), "data": data, "usage": usage}


async def classify_with_head(request: Request, served: ServedModel, texts: Sequence[str]) -> tuple[list[Probabilities], int]:
    """The label probabilities of each text from the classifier's head, and the number of tokens.

    Raises:
        ApiError: the model has no classification head; as in `compute`.
    """
    classifier, limits, owner = served.classifier, server_state(request).limits, request.state.owner

    def prepare(served: ServedModel) -> PreparedRequest:
        prompts = [classifier.encode(text) for text in texts]
        return build_reading(served, prompts, owner, limits, prompt_field="input", pooling=classifier.labels.pooling)

    computed = await compute(request, served.name, prepare)
    vectors = [sequence.pooled.vector for sequence in computed.prepared.sequences if sequence.pooled is not None]
    return [classifier.head_probabilities(vector) for vector in vectors], computed.prepared.prompt_tokens


async def _classify_with_answers(
    request: Request, served: ServedModel, texts: Sequence[str], body: ClassifyRequest
) -> tuple[list[Probabilities], int]:
    """The probability of each label as the answer to a question, relative to the other labels.

    A label's score is the mean log-probability of its tokens, so that its length does not count against it.
    """
    labels, limits, owner = body.labels or [], server_state(request).limits, request.state.owner

    def prepare(served: ServedModel) -> PreparedRequest:
        answers = _encode_labels(served, labels)
        prompts, first_scored = [], []
        for text in texts:
            question = _encode_question(served, body.instruction, labels, text)
            prompts += [[*question, *answer] for answer in answers]
            first_scored += [len(question)] * len(answers)
            check_total_tokens(prompts, "input")
        return build_reading(
            served, prompts, owner, limits, prompt_field="input", first_scored=first_scored, prompt_logprobs=0
        )

    computed = await compute(request, served.name, prepare)
    scores = [[score.logprob for score in sequence.prompt_scores] for sequence in computed.prepared.sequences]
    means_NL = torch.tensor([sum(logprobs) / len(logprobs) for logprobs in scores]).view(len(texts), len(labels))
    probabilities = [dict(zip(labels, row, strict=True)) for row in means_NL.softmax(dim=1).tolist()]
    return probabilities, computed.prepared.prompt_tokens


def _encode_labels(served: ServedModel, labels: Sequence[str]) -> list[list[int]]:
    answers = [served.language_model.tokenizer.encode(label) for label in labels]
    for label, answer in zip(labels, answers, strict=True):
        if not answer:
            raise ApiError(400, f"the label {label!r} has no tokens; write it otherwise", param="labels")
    return answers


def _encode_question(served: ServedModel, instruction: str, labels: Sequence[str], text: str) -> list[int]:
    """The tokens of the question about a text.

    Raises:
        ApiError: the question is too long.
    """
    label_list = ", ".join(labels)
    length = len(instruction) + instruction.count("{text}") * len(text) + instruction.count("{labels}") * len(label_list)
    if length > MAX_TEXT_LENGTH:  # before it is built: a field that is repeated often takes gigabytes
        message = f"the instruction with its text has {length} characters; shorten it to {MAX_TEXT_LENGTH}"
        raise ApiError(400, message, param="instruction")
    values = {"{labels}": label_list, "{text}": text}
    question = FIELDS.sub(lambda match: values[match[0]], instruction)
    if served.language_model.tokenizer.chat_template is None:
        ids = encode_prompt(served, question + "\nLabel: ", param="input")
    else:
        ids = encode_conversation(served, ChatInput(messages=[Message(role="user", content=question)]))
    check_context(served, len(ids), 0, prompt_field="input")
    return ids
