"""Turns request bodies into sequences for the engine: renders the template, tokenizes, merges settings, checks the context.

This can take a while (compiling a grammar, tokenizing a long text), so it runs in threads, not on the event loop.
"""

import time
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lmcraft.errors import UserError
from lmcraft.inference.grammar import StructureError, structured_output
from lmcraft.inference.prompt import check_token_ids
from lmcraft.inference.prompt import encode_prompt as encode_text
from lmcraft.inference.request import Request, SequenceState
from lmcraft.inference.thought_format import ThoughtFormat
from lmcraft.inference.thoughts import Thinking
from lmcraft.server.engine.registry import ServedModel
from lmcraft.server.errors import ApiError, structure_error
from lmcraft.server.http.document_answers import Citation
from lmcraft.server.http.protocol.chat import ChatInput, ChatRequest, Message, Tool
from lmcraft.server.http.protocol.completions import MAX_PROMPT_TOKENS, CompletionRequest
from lmcraft.server.http.protocol.sampling import Sampling
from lmcraft.server.http.protocol.tokenize import TokenizeRequest
from lmcraft.server.http.tool_calls import call_schema
from lmcraft.server.limits import Limits
from lmcraft.tokenizer.fill_in_middle import FillInMiddle
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.tool_messages import parse_arguments

ANSWER_SHARE = 8  # dropping old turns leaves this share of the context for an answer whose length the request leaves open
RESERVED_TEMPLATE_VARIABLES = {
    "messages", "tools", "add_generation_prompt", "continue_final_message", "documents", "spell_out_tools",
}  # fmt: skip


@dataclass(frozen=True)
class PreparedRequest:
    """A request's sequences, ready for the engine: those of `n` continuations of each prompt, or one that reads it."""

    prompts: tuple[tuple[int, ...], ...]
    sequences: tuple[SequenceState, ...]
    """n for the first prompt, then n for the second, and so on."""
    n: int
    thinking: Thinking | None = None
    """How the answers to a chat begin, if they may begin with thoughts."""
    measures_energy: bool = False
    """Whether the response reports the energy."""
    citations: tuple[Citation, ...] = ()
    """What the answer to a chat may cite."""

    @property
    def prompt_tokens(self) -> int:
        """Tokens of all prompts; each prompt counts once, even if it is continued n times."""
        return sum(map(len, self.prompts))

    @property
    def max_total_tokens(self) -> int:
        """Tokens of all prompts, plus the maximum number of generated tokens."""
        return self.prompt_tokens + sum(sequence.max_new_tokens for sequence in self.sequences)


def build_chat(
    served: ServedModel, request: ChatRequest, owner: str, limits: Limits, *, drops_old_turns: bool = False
) -> PreparedRequest:
    """The sequences of a chat completion.

    Args:
        drops_old_turns: leave out the oldest turns of a conversation that is too long for the model's context.

    Raises:
        ApiError, UserError: the request is invalid for this model.
    """
    request.check()
    encode = encode_newest_turns if drops_old_turns else encode_conversation
    prompt = encode(served, request, request.offered_tools)
    settings = {"max_new_tokens": request.max_new_tokens, **request.settings()}
    if request.forces_call:
        settings = {name: value for name, value in settings.items() if name not in ("regex", "grammar")}
        settings["json_schema"] = call_schema(request.callable_tools)
    thinking = find_thinking(request, prompt, served.language_model.tokenizer, served.thoughts)
    return _prepare(served, [prompt], request, settings, owner, limits, request.top_logprobs or 0, thinking=thinking)


def find_thinking(
    request: ChatRequest, prompt_ids: Sequence[int], tokenizer: Tokenizer, form: ThoughtFormat | None
) -> Thinking | None:
    """How the answer to a chat begins; None: without thoughts, as text of a given structure does."""
    if form is None or request.forces_call or request.has_structure:
        return None
    last = request.messages[-1] if request.continue_final_message else None
    if last is not None and last.thoughts and not last.text():
        return Thinking(form, is_open=True)
    return Thinking.after(prompt_ids, tokenizer, form, None if last is None else last.text())


def build_completion(
    served: ServedModel, request: CompletionRequest, prompts: Sequence[Sequence[int]], owner: str, limits: Limits
) -> PreparedRequest:
    """The sequences of a text completion, whose prompts are already encoded.

    Raises:
        ApiError, UserError: the request is invalid for this model.
    """
    settings = {"max_new_tokens": request.max_tokens or 0, **request.settings()}
    middle = None if request.suffix is None else FillInMiddle.of(served.model.tokenizer)
    echo_logprobs, generates = request.logprobs if request.echo else None, request.max_tokens != 0
    return _prepare(
        served,
        prompts,
        request,
        settings,
        owner,
        limits,
        request.logprobs or 0,
        echo_logprobs=echo_logprobs,
        generates=generates,
        more_end_ids=() if middle is None else middle.ends,
    )


def _prepare(
    served: ServedModel,
    prompts: Sequence[Sequence[int]],
    request: Sampling,
    settings: dict[str, Any],
    owner: str,
    limits: Limits,
    top_logprobs: int,
    *,
    echo_logprobs: int | None = None,
    generates: bool = True,
    thinking: Thinking | None = None,
    more_end_ids: Collection[int] = (),
) -> PreparedRequest:
    n = request.n or 1
    if generates and (texts := n * len(prompts)) > limits.max_texts:
        source = f"n={n} makes" if len(prompts) == 1 else f"{len(prompts)} prompts with n={n} make"
        message = f"{source} {texts} texts; ask for at most {limits.max_texts}"
        raise ApiError(400, message, param="n")
    prompt_logprobs = max((k for k in (echo_logprobs, request.prompt_logprobs) if k is not None), default=None)
    model = served.language_model
    config = model.generation_config.updated({**model.generation_config.chat_defaults, **settings})
    engine, deadline = served.engine, time.monotonic() + limits.request_timeout
    stop_token_ids = _stop_token_ids(served, request)
    # Text of a given structure needs an end token; ignore_eos makes it as long as the structure allows.
    has_ends = not request.ignore_eos or bool(structured_output(config)[0])
    eos_token_ids = frozenset((*model.eos_token_ids, *more_end_ids) if has_ends else ()) | stop_token_ids
    cache_owner = "\0".join((owner, request.user or "", request.cache_salt or ""))
    sequences: list[SequenceState] = []
    check_total_tokens(prompts, request.prompt_field)
    for prompt in prompts:
        fields = {"prompt_field": request.prompt_field, "length_field": request.length_field}
        check_context(served, len(prompt), settings["max_new_tokens"], **fields)
        for row in range(n):
            sequence = Request(
                prompt_ids=tuple(prompt),
                config=config,
                eos_token_ids=eos_token_ids,
                last_resort_ids=eos_token_ids - stop_token_ids if request.ignore_eos else frozenset(),
                tokenizer=model.tokenizer,
                row=row,
                adapter=served.adapter,
                top_logprobs=top_logprobs,
                prompt_logprobs=None if row else prompt_logprobs,
                generates=generates,
                thinking=thinking,
                structure_field=request.structure_field,
                client=owner,
                owner=cache_owner,
                deadline=deadline,
            )
            try:
                sequences.append(engine.prepare(sequence))
            except StructureError as error:
                raise structure_error(error.reason, request.structure_field) from error
    return PreparedRequest(tuple(map(tuple, prompts)), tuple(sequences), n, thinking, request.include_energy)


def _stop_token_ids(served: ServedModel, request: Sampling) -> frozenset[int]:
    """The tokens at which the request stops; checks those of `logit_bias`, too.

    Raises:
        ApiError: the vocabulary has no such token.
    """
    vocab_size = served.language_model.transformer.config.vocab_size
    fields: dict[str, Iterable[int]] = {
        "stop_token_ids": request.stop_token_ids or (),
        "logit_bias": map(int, getattr(request, "logit_bias", None) or ()),
    }
    for field, token_ids in fields.items():
        if (token_id := max(token_ids, default=0)) >= vocab_size:
            message = f"{field} names the token {token_id}, but the model's token ids are 0 to {vocab_size - 1}"
            raise ApiError(400, message, code="invalid_value", param=field)
    return frozenset(request.stop_token_ids or ())


def build_reading(
    served: ServedModel,
    prompts: Sequence[Sequence[int]],
    owner: str,
    limits: Limits,
    *,
    prompt_field: str,
    first_scored: Sequence[int] = (),
    **fields: Any,
) -> PreparedRequest:
    """Sequences that generate nothing, one for each prompt.

    Args:
        served: the model.
        prompts: encoded.
        owner: of the request.
        limits: limits on the request.
        prompt_field: the request field that has the prompts, for errors.
        first_scored: for each prompt, the position of the first token to score; empty: the second token.
        fields: what to read: further fields of `lmcraft.inference.request.Request`.

    Raises:
        ApiError, UserError: the prompts are too long, or too many.
    """
    engine, deadline = served.engine, time.monotonic() + limits.request_timeout
    common: dict[str, Any] = {
        "generates": False,
        "client": owner,
        "owner": owner,
        "deadline": deadline,
        "adapter": served.adapter,
    }
    check_total_tokens(prompts, prompt_field)
    for prompt in prompts:
        check_context(served, len(prompt), 0, prompt_field=prompt_field)
    positions = first_scored or [1] * len(prompts)
    requests = [
        Request(prompt_ids=tuple(prompt), first_scored=position, **common, **fields)
        for prompt, position in zip(prompts, positions, strict=True)
    ]
    return PreparedRequest(tuple(map(tuple, prompts)), tuple(map(engine.prepare, requests)), n=1)


def check_total_tokens(prompts: Iterable[Sequence[int]], prompt_field: str) -> None:
    """Raise ApiError if all prompts together are too long for one request."""
    if (total := sum(map(len, prompts))) > MAX_PROMPT_TOKENS:
        message = f"the texts have {total} tokens together, and one request may have {MAX_PROMPT_TOKENS}; send fewer"
        raise ApiError(400, message, param=prompt_field)


def check_context(
    served: ServedModel, prompt_tokens: int, max_tokens: int, *, prompt_field: str, length_field: str = "max_tokens"
) -> None:
    """Raise ApiError, with both numbers, if the prompt and the requested tokens exceed the model's context.

    Args:
        served: the model.
        prompt_tokens: length of the prompt.
        max_tokens: how many tokens may follow; 0: no limit.
        prompt_field: the request field that has the prompt.
        length_field: the request field that has `max_tokens`.
    """
    if prompt_tokens + max(1, max_tokens) > served.context:
        requested = f" and {length_field} is {max_tokens}" if max_tokens else ""
        raise ApiError(
            400,
            f"the model's context is {served.context} tokens, but the prompt has {prompt_tokens}{requested}; shorten "
            f"{'one of them' if max_tokens else 'it'}",
            code="context_length_exceeded",
            values={
                "context": served.context,
                "prompt_tokens": prompt_tokens,
                "max_tokens": max_tokens,
                "rule": "max_tokens" if max_tokens else "prompt",
            },
            param=length_field if max_tokens and prompt_tokens < served.context else prompt_field,
        )


def encode_conversation(served: ServedModel, body: ChatInput | TokenizeRequest, tools: Sequence[Tool] = ()) -> list[int]:
    """The tokens of a conversation in the model's chat template.

    Raises:
        ApiError: the model has no chat template, or the template cannot continue the last message.
        UserError: the template rejects these messages.
    """
    tokenizer = served.language_model.tokenizer
    if tokenizer.chat_template is None:
        message = f"'{served.name}' has no chat template; use /v1/completions, or a model that was tuned for chat"
        raise ApiError(400, message, code="no_chat_template", param="model", values={"model": served.name})
    messages = [_template_message(message) for message in body.messages or []]
    variables = body.template_variables
    if reserved := variables.keys() & RESERVED_TEMPLATE_VARIABLES:
        message = f"chat_template_kwargs cannot set '{min(reserved)}'; leave it out, or use the request's field of that name"
        raise ApiError(400, message, param="chat_template_kwargs")
    begun = None
    if body.continue_final_message and served.thoughts is not None and messages[-1].get("reasoning_content"):
        *messages, begun = messages  # a template may leave the thoughts out, or end them
    text = tokenizer.apply_chat_template(
        messages,
        body.add_generation_prompt or begun is not None,
        tools=[tool.as_json() for tool in tools] or None,
        continue_final_message=body.continue_final_message and begun is None,
        spell_out_tools=True,
        **variables,
    )
    if begun is not None and served.thoughts is not None:
        thoughts, answer = tokenizer.special_spellings.remove([begun["reasoning_content"], begun["content"]])
        text = served.thoughts.begin_answer(text, thoughts, answer)
    return tokenizer.encode(text, parse_special=True)


def encode_newest_turns(served: ServedModel, request: ChatRequest, tools: Sequence[Tool] = ()) -> list[int]:
    """The tokens of a conversation without as many of its oldest turns as leaves room for the answer.

    A turn begins with a message of the user. The system messages at the beginning and the last turn always stay.

    Raises:
        ApiError, UserError: as in `encode_conversation`.
    """
    room = served.context - (request.max_new_tokens or served.context // ANSWER_SHARE)
    messages = request.messages
    first = next((n for n, message in enumerate(messages) if message.role not in ("system", "developer")), 0)

    def encode_from(start: int) -> list[int]:
        kept = [*messages[:first], *messages[start:]]
        return encode_conversation(served, request.model_copy(update={"messages": kept}), tools)

    starts = [first, *(n for n in range(first + 1, len(messages)) if messages[n].role == "user")]
    n = bisect_left(starts, True, key=lambda start: start == starts[-1] or len(encode_from(start)) <= room)
    return encode_from(starts[n])


def _template_message(message: Message) -> dict[str, Any]:
    """A message in the form that templates read."""
    entry: dict[str, Any] = {
        "role": "system" if message.role == "developer" else message.role,
        "content": message.text(),
    }
    if message.thoughts:
        entry["reasoning_content"] = message.thoughts
    if message.tool_calls:
        entry["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {
                    "name": call.function.name,
                    "arguments": parse_arguments(call.function.arguments),
                },
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        entry["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        entry["name"] = message.name
    return entry


def encode_prompt(
    served: ServedModel, prompt: str | Sequence[int], *, add_special_tokens: bool = True, param: str = "prompt"
) -> list[int]:
    """A prompt's tokens, after the tokens that begin every text of this tokenizer.

    Args:
        served: the model.
        prompt: a text, or token ids, which are only checked.
        add_special_tokens: whether those tokens come first.
        param: the request's field, for errors.

    Raises:
        ApiError: it is empty, or has token ids outside the vocabulary.
    """
    try:
        if isinstance(prompt, str):
            return encode_text(served.model.tokenizer, prompt, add_special_tokens=add_special_tokens)
        check_token_ids(prompt, served.model.transformer.config.vocab_size)
        return list(prompt)
    except UserError as error:
        raise ApiError(400, str(error), param=param) from error


def encode_fill_in_middle(
    served: ServedModel, prefix: str | Sequence[int], suffix: str, *, add_special_tokens: bool = True
) -> list[int]:
    """The tokens of a fill-in-the-middle prompt, in the order prefix, suffix, middle (arXiv 2207.14255).

    Raises:
        ApiError: the model's vocabulary has no fill-in-the-middle tokens, or the prefix token ids outside the vocabulary.
    """
    tokens = FillInMiddle.of(served.model.tokenizer)
    if tokens is None:
        message = (
            f"'{served.name}' cannot fill in the middle: its vocabulary lacks the tokens; leave suffix out, or use a code "
            "model"
        )
        raise ApiError(400, message, param="suffix")
    if prefix and not isinstance(prefix, str):
        encode_prompt(served, prefix)  # checks them
    return tokens.prompt(served.model.tokenizer, prefix, suffix, add_special_tokens=add_special_tokens)
