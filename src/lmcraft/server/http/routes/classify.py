"""`POST /v1/classify`."""

from collections.abc import Sequence
from typing import Any

import torch
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from lmcraft.inference.scoring import answer_logprobs
from lmcraft.server.engine.registry import Served
from lmcraft.server.errors import ApiError
from lmcraft.server.http.openai_format import head
from lmcraft.server.http.protocol.chat import Conversation, Message
from lmcraft.server.http.protocol.classify import ClassifyRequest
from lmcraft.server.http.request_builder import check_length, conversation_ids, prompt_ids
from lmcraft.server.http.state import call, serving_of

router = APIRouter()


@router.post("/v1/classify")
async def classify(body: ClassifyRequest, request: Request) -> dict[str, Any]:
    """Which label each text has: by a classifier's head, or of the given labels by what the model would rather answer."""
    served = await serving_of(request).model(body.model)
    texts = [body.input] if isinstance(body.input, str) else body.input
    if served.kind == "classifier":
        if body.labels is not None:
            raise ApiError(400, f"'{served.name}' has labels of its own: leave labels out", param="labels")
        found, count = await _by_head(request, served, texts)
        decided = [served.classifier().decided(shares) for shares in found]
    else:
        if body.labels is None:
            raise ApiError(400, f"'{served.name}' has no labels of its own: give them in labels", param="labels")
        found, count = await _by_answer(request, served, texts, body)
        decided = [max(shares, key=lambda label: shares[label]) for shares in found]
    data = [
        {"index": n, "label": label, "probs": list(shares.values()), "labels": list(shares), "num_classes": len(shares)}
        for n, (shares, label) in enumerate(zip(found, decided, strict=True))
    ]
    usage = {"prompt_tokens": count, "completion_tokens": 0, "total_tokens": count}
    return {**head("classify", "list", served.name), "data": data, "usage": usage}


async def _by_head(request: Request, served: Served, texts: Sequence[str]) -> tuple[list[dict[str, float]], int]:
    count = sum(map(len, await run_in_threadpool(served.model.tokenizer.encode_batch, list(texts))))
    found = await call(request, served, lambda classifier: classifier.probabilities(texts), count)
    return found, count


async def _by_answer(
    request: Request, served: Served, texts: Sequence[str], body: ClassifyRequest
) -> tuple[list[dict[str, float]], int]:
    """The probability of each label as the answer to a question, among those labels."""
    labels, tokenizer = body.labels or [], served.language_model().tokenizer
    found, count = [], 0
    for text in texts:
        asked = body.instruction.replace("{labels}", ", ".join(labels)).replace("{text}", text)
        if tokenizer.chat_template is None:
            ids = await run_in_threadpool(prompt_ids, served, asked + "\nLabel: ")
        else:
            said = Conversation(messages=[Message(role="user", content=asked)])
            ids = await run_in_threadpool(conversation_ids, served, said)
        answers = [tokenizer.encode(label) for label in labels]
        check_length(served, len(ids), max(map(len, answers)))
        tokens = sum(len(ids) + len(answer) for answer in answers)
        logprobs = await call(
            request,
            served,
            lambda engine, ids=ids, answers=answers: answer_logprobs(engine, ids, answers, served.adapter),  # type: ignore[misc]
            tokens,
        )
        shares = torch.tensor(logprobs).softmax(dim=0).tolist()
        found.append(dict(zip(labels, shares, strict=True)))
        count += tokens
    return found, count
