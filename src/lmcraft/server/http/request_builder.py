"""From a request's words to what the engine takes. It may take long, so it runs in threads, not on the event loop."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmcraft.inference.request import Request
from lmcraft.inference.request import Sequence as Growing
from lmcraft.language_model import LanguageModel
from lmcraft.server.engine.registry import Served
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.chat import ChatRequest, Conversation, Message, NamedTool, Tool
from lmcraft.server.http.protocol.completions import CompletionRequest
from lmcraft.server.http.protocol.sampling import Sampling
from lmcraft.server.http.protocol.tokenize import TokenizeRequest
from lmcraft.server.http.tool_calls import call_schema
from lmcraft.server.limits import Limits
from lmcraft.tokenizer.chat_template import without

MIDDLES = (  # how vocabularies spell prefix, suffix and middle
    ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>"),
    ("<fim_prefix>", "<fim_suffix>", "<fim_middle>"),
    ("<fim-prefix>", "<fim-suffix>", "<fim-middle>"),
    ("▁<PRE>", "▁<SUF>", "▁<MID>"),
)


@dataclass(frozen=True)
class Asked:
    """Texts that are to grow, ready for the engine."""

    prompts: tuple[tuple[int, ...], ...]
    sequences: tuple[Growing, ...]
    """Of the first prompt n, then of the second n, and so on."""
    n: int

    @property
    def prompt_tokens(self) -> int:
        """Of all prompts; each counts once, however often it is continued."""
        return sum(map(len, self.prompts))

    @property
    def most_tokens(self) -> int:
        """Of prompts and all that may be added."""
        return self.prompt_tokens + sum(sequence.room for sequence in self.sequences)


def ask_chat(served: Served, request: ChatRequest, owner: str, limits: Limits) -> Asked:
    """A conversation's answer.

    Raises:
        ApiError, UserError: the request does not fit the model.
    """
    request.check()
    model = served.language_model()
    prompt = tuple(conversation_ids(served, request, request.offered))
    settings = {"max_new_tokens": request.most_tokens(), **request.settings()}
    if request.forces_call:
        named = request.tool_choice.function.name if isinstance(request.tool_choice, NamedTool) else None
        settings["json_schema"] = call_schema(request.offered, named)
    return _asked(served, model, [prompt], request, settings, owner, limits, (request.top_logprobs or 0))


def ask_completion(
    served: Served, request: CompletionRequest, prompts: Sequence[Sequence[int]], owner: str, limits: Limits
) -> Asked:
    """The continuations of prompts that are tokens already (`prompt_ids`).

    Raises:
        ApiError, UserError: the request does not fit the model.
    """
    settings = {"max_new_tokens": request.max_tokens or 0, **request.settings()}
    return _asked(served, served.language_model(), prompts, request, settings, owner, limits, request.logprobs or 0)


def _asked(
    served: Served,
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    request: Sampling,
    settings: dict[str, Any],
    owner: str,
    limits: Limits,
    top_logprobs: int,
) -> Asked:
    n = request.n or 1
    if (texts := n * len(prompts)) > limits.max_texts:
        raise ApiError(
            400, f"{len(prompts)} prompts times n={n} are {texts} texts: ask for at most {limits.max_texts}", param="n"
        )
    config = model.generation_config.updated(settings)
    engine, deadline = served.worker.engine, time.monotonic() + limits.request_timeout
    if engine is None:
        raise ApiError(503, f"the engine of '{served.name}' is being started again: try again", headers={"Retry-After": "2"})
    ends = frozenset() if request.ignore_eos else frozenset(model.eos_token_ids)
    salt = "\0".join((owner, request.user or "", request.cache_salt or ""))
    sequences = []
    for prompt in prompts:
        check_length(served, len(prompt), settings["max_new_tokens"])
        for row in range(n):
            sequences.append(
                engine.prepare(
                    Request(
                        prompt_ids=tuple(prompt),
                        config=config,
                        eos_token_ids=ends,
                        tokenizer=model.tokenizer,
                        row=row,
                        adapter=served.adapter,
                        top_logprobs=top_logprobs,
                        owner=salt,
                        deadline=deadline,
                    )
                )
            )
    return Asked(tuple(map(tuple, prompts)), tuple(sequences), n)


def check_length(served: Served, prompt_tokens: int, max_tokens: int) -> None:
    """Raise ApiError, with both numbers, where a prompt and what is asked for do not fit the context."""
    if prompt_tokens + max(1, max_tokens) > served.context:
        wanted = f" and max_tokens={max_tokens} more are asked for" if max_tokens else ""
        raise ApiError(
            400,
            f"the model's context is {served.context} tokens, but the prompt has {prompt_tokens}{wanted}: shorten "
            f"{'one of them' if max_tokens else 'it'}",
            code="context_length_exceeded",
            param="max_tokens" if max_tokens and prompt_tokens < served.context else "messages",
        )


def conversation_ids(served: Served, said: Conversation | TokenizeRequest, tools: Sequence[Tool] = ()) -> list[int]:
    """The tokens of a conversation as the model's template puts it.

    Raises:
        ApiError: the model has no template, or this one continues no message.
        UserError: the template refuses these messages.
    """
    tokenizer = served.language_model().tokenizer
    if tokenizer.chat_template is None:
        raise ApiError(
            400,
            f"'{served.name}' has no chat template: use /v1/completions, or a model that was tuned for chat",
            param="model",
        )
    special, messages = tokenizer.special_tokens, said.messages or []
    clean = [_plain(message, special) for message in messages]
    variables: dict[str, Any] = dict(said.chat_template_kwargs or {})
    if reserved := variables.keys() & {"messages", "tools", "add_generation_prompt", "documents"}:
        name = min(reserved)
        raise ApiError(
            400, f"chat_template_kwargs cannot set '{name}': use the field of that name", param="chat_template_kwargs"
        )
    offered = [tool.model_dump(exclude_none=True) for tool in tools] or None
    if not said.continue_final_message:
        text = tokenizer.apply_chat_template(clean, said.add_generation_prompt, tools=offered, **variables)
        return tokenizer.encode(text, parse_special=True)
    begun = clean[-1]["content"]
    text = tokenizer.apply_chat_template(clean, False, tools=offered, **variables)
    if not begun.strip() or (at := text.rfind(begun.strip())) < 0:
        raise ApiError(400, "continue_final_message=true needs words to go on from, kept by the template", param="messages")
    return tokenizer.encode(text[:at] + begun.lstrip(), parse_special=True)


def _plain(message: Message, special: Sequence[str] | dict[str, int]) -> dict[str, Any]:
    """A message as templates read it, without the spellings of special tokens."""
    found: dict[str, Any] = {
        "role": "system" if message.role == "developer" else message.role,
        "content": without(special, message.text()),
    }
    if message.tool_calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": without(special, call.function.name),
                    "arguments": _arguments(call.function.arguments, special),
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        found["tool_call_id"] = without(special, message.tool_call_id)
    if message.name is not None:
        found["name"] = without(special, message.name)
    return found


def _arguments(text: str, special: Sequence[str] | dict[str, int]) -> Any:
    """A call's arguments: templates expect the object itself, and render its JSON."""
    clean = without(special, text)
    try:
        return json.loads(clean)
    except ValueError:
        return clean


def prompt_ids(served: Served, prompt: str | Sequence[int], *, begin: bool = True) -> list[int]:
    """A prompt's tokens, after those that begin a text (`begin`).

    Raises:
        ApiError: it is empty.
    """
    tokenizer = served.model.tokenizer
    if not isinstance(prompt, str):
        most = served.model.transformer.config.vocab_size
        if outside := [token for token in prompt if token >= most]:
            raise ApiError(400, f"the prompt has token {outside[0]}, but the model's are 0 to {most - 1}", param="prompt")
        return list(prompt)
    ids = [*(tokenizer.begin_ids if begin else ()), *tokenizer.encode(prompt)]
    if not ids:
        start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        ids = [] if start is None else [start]
    if not ids:
        raise ApiError(
            400, "the prompt is empty, and the model has no token that begins a text: give some words", param="prompt"
        )
    return ids


def middle_ids(served: Served, prefix: str | Sequence[int], suffix: str) -> list[int]:
    """The tokens of fill-in-the-middle: what comes before and after, and the token that asks for what is between.

    Source: arXiv 2207.14255, in the order prefix, suffix, middle.

    Raises:
        ApiError: the model's vocabulary has no tokens for it.
    """
    tokenizer = served.model.tokenizer
    for names in MIDDLES:
        marks = [tokenizer.id_of(name) for name in names]
        if None not in marks:
            before = tokenizer.encode(prefix) if isinstance(prefix, str) else list(prefix)
            first, second, third = (mark for mark in marks if mark is not None)
            return [first, *before, second, *tokenizer.encode(suffix), third]
    raise ApiError(
        400,
        f"'{served.name}' cannot fill in the middle: it has no tokens for that; leave suffix out, or use a code model",
        param="suffix",
    )
