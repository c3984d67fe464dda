"""What of a request the policy judges as its prompt, and the request without what it redacts.

Judged is what a client sends: messages, instructions, what tools are and what they returned, and what a template shows of
other fields. Earlier answers are the model's; the last one counts, too, if the answer continues or repeats it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from fastapi import Request

from lmcraft.server.http.protocol.chat import ChatRequest, Message
from lmcraft.server.http.protocol.completions import CompletionRequest, as_prompt_list
from lmcraft.server.http.request_builder import encode_prompt
from lmcraft.server.http.state import prepare_in_thread, server_state
from lmcraft.server.moderation.guard import JudgedPrompt
from lmcraft.server.moderation.message_texts import MessageText, fixed_text, replace_texts
from lmcraft.server.moderation.reviews import Chat, user_message
from lmcraft.tokenizer.tokenizer import Tokenizer


async def judge_chat(
    request: Request, chat: ChatRequest, blocks: Iterable[MessageText] = ()
) -> tuple[ChatRequest, JudgedPrompt | None]:
    """The chat as the model may read it, and the judged prompt; None if there is no policy.

    Args:
        request: the HTTP request.
        chat: the chat completion, or another request in its form.
        blocks: texts of the original request that the chat has in another form; they may be refused.
    """
    messages = tuple({"role": message.role, "content": message.text()} for message in chat.messages)
    judged = await _judge(request, [[*blocks, *_chat_texts(chat)]], [messages])
    if judged is None:
        return chat, None
    if judged.replacements:
        fields = replace_texts(chat.model_dump(exclude_unset=True, by_alias=True), judged.replacements)
        chat = ChatRequest.model_validate(fields)
    return chat, replace(judged, contexts=(_begun_answer(chat),))


async def judge_completion(
    request: Request, body: CompletionRequest, *, sends_to_review: bool = True
) -> tuple[CompletionRequest, JudgedPrompt | None]:
    """The completion request as the model may read it, and the judged prompts with the suffix; None if there is no policy.

    Args:
        request: the HTTP request.
        body: the completion request.
        sends_to_review: as in `Guard.judge_prompts`.

    Raises:
        ApiError: the model is not known, or has no such tokens.
    """
    if server_state(request).guard is None:
        return body, None
    prompts = [await _divide(request, body.model, prompt) for prompt in as_prompt_list(body.prompt)]
    suffix = [MessageText((body.suffix,))] if body.suffix is not None else []
    texts = [[*(MessageText((text,)) for text in prompt.texts), *suffix] for prompt in prompts]
    chats = [(user_message("".join(prompt.texts)),) for prompt in prompts]
    judged = await _judge(request, texts, chats, sends_to_review=sends_to_review)
    if judged is None:
        return body, None
    released = iter(judged.released)
    new_suffix = body.suffix
    for prompt in prompts:
        prompt.texts[:] = ["".join(next(released)) for _ in prompt.texts]
        new_suffix = "".join(next(released)) if suffix else None
    contexts = [] if suffix else [prompt.texts[-1] for prompt in prompts]
    if judged.replacements:
        body = body.model_copy(update={"prompt": [prompt.join() for prompt in prompts], "suffix": new_suffix})
    return body, replace(judged, contexts=tuple(contexts))


@dataclass
class _Prompt:
    """The prompt of a completion: a text, or the texts between the special tokens of its token ids."""

    texts: list[str]
    special_ids: list[int] = field(default_factory=list)
    tokenizer: Tokenizer | None = None
    """None: it is a text."""

    def join(self) -> str | list[int]:
        """The prompt with the texts as they are now."""
        if self.tokenizer is None:
            return self.texts[0]
        ids = self.tokenizer.encode(self.texts[0])
        for special_id, text in zip(self.special_ids, self.texts[1:], strict=True):
            ids += [special_id, *self.tokenizer.encode(text)]
        return ids


async def _divide(request: Request, model: str, prompt: str | list[int]) -> _Prompt:
    """The texts of a prompt, which may be token ids: special tokens are no text, and stay as they are."""
    if isinstance(prompt, str):
        return _Prompt([prompt])
    served = await server_state(request).get_model(model)
    encode_prompt(served, prompt)  # checks them
    tokenizer = served.language_model.tokenizer
    special = frozenset(tokenizer.special_tokens.values())

    def divide() -> _Prompt:
        parts: list[list[int]] = [[]]
        for token_id in prompt:
            if token_id in special:
                parts.append([])
            else:
                parts[-1].append(token_id)
        special_ids = [token_id for token_id in prompt if token_id in special]
        return _Prompt([tokenizer.decode(part) for part in parts], special_ids, tokenizer)

    return await prepare_in_thread(request, divide)


async def _judge(
    request: Request, prompts: Sequence[Sequence[MessageText]], chats: Sequence[Chat], *, sends_to_review: bool = True
) -> JudgedPrompt | None:
    guard = server_state(request).guard
    if guard is None:
        return None
    return await guard.judge_prompts(prompts, chats, sender=request.state.owner, sends_to_review=sends_to_review)


def _chat_texts(chat: ChatRequest) -> Iterator[MessageText]:
    """The texts of a chat to judge."""
    yield from fixed_text([tool.as_json() for tool in chat.offered_tools])
    yield from fixed_text(chat.chat_template_kwargs)
    for message in chat.messages:
        yield from fixed_text(message.name)
        if message.role != "assistant" or message is chat.messages[-1]:
            yield from _texts(message)


def _texts(message: Message) -> Iterator[MessageText]:
    if isinstance(message.content, str):
        yield MessageText((message.content,))
    elif message.content:
        yield MessageText(tuple(part.text for part in message.content))
    for text in filter(None, (message.refusal, message.reasoning_content, message.reasoning)):
        yield MessageText((text,))


def _begun_answer(chat: ChatRequest) -> str:
    """The text that the answer continues."""
    last = chat.messages[-1]
    return f"{last.thoughts}{last.text()}" if chat.continue_final_message or chat.echo else ""
