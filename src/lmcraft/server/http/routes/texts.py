"""What a model says of texts without writing any: tokens, vectors, labels, harm."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from lmcraft.inference.engine import Engine
from lmcraft.server.engine.registry import Served
from lmcraft.server.http.errors import ApiError
from lmcraft.server.http.openai_format import head, spelled
from lmcraft.server.http.protocol.chat import Conversation, Message, TokenizeRequest
from lmcraft.server.http.protocol.completions import (
    ClassifyRequest,
    DetokenizeRequest,
    EmbeddingRequest,
    ModerationRequest,
    listed,
)
from lmcraft.server.http.request_builder import check_length, conversation_ids, prompt_ids
from lmcraft.server.http.state import call, serving_of

router = APIRouter()
moderating = APIRouter()
"""A gateway's too: the classifier is ours."""


@router.post("/tokenize")
async def tokenize(body: TokenizeRequest, request: Request) -> dict[str, Any]:
    """The tokens of a text, or of a conversation as the model's template puts it."""
    served = await serving_of(request).model(body.model)
    if (body.prompt is None) == (body.messages is None):
        raise ApiError(400, "give prompt or messages, one of them", param="prompt")
    if body.prompt is not None:
        ids = await run_in_threadpool(lambda: prompt_ids(served, body.prompt or "", begin=body.add_special_tokens))
    else:
        ids = await run_in_threadpool(conversation_ids, served, body, body.tools or [])
    found: dict[str, Any] = {"count": len(ids), "max_model_len": served.context, "tokens": ids}
    strings = [spelled(served.model.tokenizer, i) for i in ids] if body.return_token_strs else None
    return {**found, "token_strs": strings}


@router.post("/detokenize")
async def detokenize(body: DetokenizeRequest, request: Request) -> dict[str, str]:
    """The text of tokens, special ones spelled out."""
    served = await serving_of(request).model(body.model)
    return {"prompt": await run_in_threadpool(served.model.tokenizer.decode, body.tokens, skip_special_tokens=False)}


@router.post("/v1/embeddings")
async def embeddings(body: EmbeddingRequest, request: Request) -> dict[str, Any]:
    """Each text as the mean of the model's last hidden states, of length 1."""
    served = await serving_of(request).model(body.model)
    width = served.language_model().transformer.config.hidden_size
    if body.dimensions is not None and body.dimensions > width:
        raise ApiError(400, f"dimensions={body.dimensions} is more than the model's {width}: lower it", param="dimensions")
    prompts = [await run_in_threadpool(prompt_ids, served, text) for text in listed(body.input)]
    data, count = [], 0
    for n, ids in enumerate(prompts):
        check_length(served, len(ids), 0)
        vector = await call(request, served, lambda engine, ids=ids: embed(engine, ids, served.adapter), len(ids))  # type: ignore[misc]
        data.append({"object": "embedding", "index": n, "embedding": _vector(vector, body)})
        count += len(ids)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return {"object": "list", "model": served.name, "data": data, "usage": usage}


@torch.inference_mode()
def embed(engine: Engine, ids: Sequence[int], adapter: str) -> list[float]:
    """The mean of a text's last hidden states, after the final norm, scaled to length 1; (C,) as a list."""
    model = engine.models[adapter]
    x_1TC = model.hidden_states(torch.tensor([list(ids)], device=model.device))
    vector: list[float] = F.normalize(x_1TC[0].float().mean(dim=0), dim=0).tolist()
    return vector


def _vector(vector: list[float], body: EmbeddingRequest) -> list[float] | str:
    values = np.array(vector, dtype="<f4")
    if body.dimensions is not None:  # a part of a vector, of length 1 again
        values = values[: body.dimensions] / max(float(np.linalg.norm(values[: body.dimensions])), 1e-12)
    return base64.b64encode(values.tobytes()).decode() if body.encoding_format == "base64" else values.tolist()


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


def answer_logprobs(engine: Engine, prompt: Sequence[int], answers: Sequence[Sequence[int]], adapter: str) -> list[float]:
    """The log-probability of each answer after a prompt, a mean over its tokens so that long ones are not worse off."""
    found = []
    for answer in answers:
        logprobs_TV = engine.score([*prompt, *answer], adapter).log_softmax(dim=-1)
        own = logprobs_TV[len(prompt) - 1 : -1].gather(1, torch.tensor(list(answer))[:, None])
        found.append(float(own.mean()))
    return found


@moderating.post("/v1/moderations")
async def moderations(body: ModerationRequest, request: Request) -> dict[str, Any]:
    """Whether texts are harmful, by a classifier whose labels are the categories; "safe" and "none" are not flagged."""
    serving = serving_of(request)
    if not (name := body.model or serving.moderator):
        raise ApiError(404, "this server has no moderation model: start it with --moderation FOLDER", code="model_not_found")
    served = await serving.model(name)
    labels = served.classifier().labels
    texts = [body.input] if isinstance(body.input, str) else body.input
    results = []
    for shares in (await _by_head(request, served, texts))[0]:
        scores = {label: share for label, share in shares.items() if label.lower() not in ("safe", "none", "ok")}
        likeliest = max(shares, key=lambda label: shares[label])
        flags = {label: share > 0.5 if labels.several else label == likeliest for label, share in scores.items()}
        results.append({"flagged": any(flags.values()), "categories": flags, "category_scores": scores})
    return {"id": head("modr", "", "")["id"], "model": served.name, "results": results}
