"""`POST /v1/classify`: labels from a classifier, or from a language model that is asked to choose one."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from lmcraft.inference.scoring import score_answers
from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.errors import ApiError
from lmcraft.server.http.json_route import JsonRoute
from lmcraft.server.http.openai_format import response_fields
from lmcraft.server.http.protocol.chat import ChatInput, Message
from lmcraft.server.http.protocol.classify import ClassifyRequest
from lmcraft.server.http.request_builder import check_context, encode_conversation, encode_prompt
from lmcraft.server.http.state import call_engine, server_state

router = APIRouter(route_class=JsonRoute)
Probabilities = dict[str, float]
"""By label."""


@router.post("/v1/classify")
async def classify(body: ClassifyRequest, request: Request) -> dict[str, Any]:
    """Label each text: with a classifier's head, or with the one of `labels` that the model would most likely answer."""
    served = await server_state(request).get_model(body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    if served.kind == "classifier":
        if body.labels is not None:
            raise ApiError(400, f"'{served.name}' is a classifier with fixed labels; leave labels out", param="labels")
        probabilities, token_count = await classify_with_head(request, served, texts)
        labels = [served.classifier.choose_label(by_label) for by_label in probabilities]
    else:
        if body.labels is None:
            raise ApiError(
                400, f"'{served.name}' is not a classifier, so the request must list the labels; set labels", param="labels"
            )
        probabilities, token_count = await _classify_with_answers(request, served, texts, body)
        labels = [max(by_label, key=lambda label: by_label[label]) for by_label in probabilities]
    data = [
        {
            "index": n,
            "label": label,
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
        ApiError: the model has no classification head.
    """
    classifier = served.classifier
    token_count = sum(map(len, await run_in_threadpool(classifier.tokenizer.encode_batch, list(texts))))
    probabilities = await call_engine(request, served, lambda: classifier.probabilities(texts), token_count)
    return probabilities, token_count


async def _classify_with_answers(
    request: Request, served: ServedModel, texts: Sequence[str], body: ClassifyRequest
) -> tuple[list[Probabilities], int]:
    """The probability of each label as the answer to a question, relative to the other labels."""
    labels, tokenizer = body.labels or [], served.language_model.tokenizer
    probabilities, token_count = [], 0
    for text in texts:
        question = body.instruction.replace("{labels}", ", ".join(labels)).replace("{text}", text)
        if tokenizer.chat_template is None:
            ids = await run_in_threadpool(encode_prompt, served, question + "\nLabel: ")
        else:
            conversation = ChatInput(messages=[Message(role="user", content=question)])
            ids = await run_in_threadpool(encode_conversation, served, conversation)
        answers = [tokenizer.encode(label) for label in labels]
        check_context(served, len(ids), max(map(len, answers)))
        tokens = sum(len(ids) + len(answer) for answer in answers)
        logprobs = await call_engine(request, served, partial(_score, served, ids, answers), tokens)
        shares = torch.tensor(logprobs).softmax(dim=0).tolist()
        probabilities.append(dict(zip(labels, shares, strict=True)))
        token_count += tokens
    return probabilities, token_count


def _score(served: ServedModel, prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> list[float]:
    return score_answers(served.text_engine, prompt, answers, served.adapter)
