"""What of a request the policy judges as its prompt, and the request without what it redacts.

Judged is what people wrote and what tools returned. The system prompt is the operator's, and earlier answers are the
model's; the last one counts, too, if the answer continues or repeats it.
"""

from collections.abc import Iterator, Sequence

from fastapi import Request

from lmcraft.server.http.protocol.chat import ChatRequest, Message
from lmcraft.server.http.protocol.completions import CompletionRequest, as_prompt_list
from lmcraft.server.http.request_builder import encode_prompt
from lmcraft.server.http.state import prepare_in_thread, server_state
from lmcraft.server.moderation.guard import JudgedPrompt, replace_texts

JUDGED_ROLES = ("user", "tool")


async def judge_chat(request: Request, chat: ChatRequest) -> tuple[ChatRequest, JudgedPrompt | None]:
    """The chat as the model may read it, and the judged prompt; None if there is no policy."""
    judged = await _judge(request, list(_chat_texts(chat)))
    if judged is not None and judged.replacements:
        fields = replace_texts(chat.model_dump(exclude_unset=True, by_alias=True), judged.replacements)
        chat = ChatRequest.model_validate(fields)
    return chat, judged


async def judge_completion(request: Request, body: CompletionRequest) -> tuple[CompletionRequest, JudgedPrompt | None]:
    """The completion request as the model may read it, and the judged prompts with the suffix; None if there is no policy.

    Raises:
        ApiError: the model is not known, or has no such tokens.
    """
    if server_state(request).guard is None:
        return body, None
    prompts, suffix = as_prompt_list(body.prompt), [body.suffix] if body.suffix is not None else []
    texts = [prompt if isinstance(prompt, str) else await _decode(request, body.model, prompt) for prompt in prompts]
    judged = await _judge(request, [*texts, *suffix])
    if judged is not None and judged.replacements:
        fields = {"prompt": list(judged.released[: len(texts)]), "suffix": judged.released[-1] if suffix else None}
        body = body.model_copy(update=fields)
    return body, judged


async def _decode(request: Request, model: str, token_ids: Sequence[int]) -> str:
    served = await server_state(request).get_model(model)
    encode_prompt(served, token_ids)  # checks them
    return await prepare_in_thread(request, lambda: served.language_model.tokenizer.decode(token_ids))


def _chat_texts(chat: ChatRequest) -> Iterator[str]:
    """The texts of a chat to judge."""
    for message in chat.messages:
        if message.role in JUDGED_ROLES or (message.role == "assistant" and message is chat.messages[-1]):
            yield from _texts(message)


def _texts(message: Message) -> Iterator[str]:
    if isinstance(message.content, str):
        yield message.content
    else:
        yield from (part.text for part in message.content or ())
    yield from filter(None, (message.refusal, message.reasoning_content, message.reasoning))


def begun_answer(chat: ChatRequest) -> str:
    """The text that the answer continues."""
    last = chat.messages[-1]
    return f"{last.thoughts}{last.text()}" if chat.continue_final_message or chat.echo else ""


async def _judge(request: Request, texts: Sequence[str]) -> JudgedPrompt | None:
    guard = server_state(request).guard
    return None if guard is None else await guard.judge_prompt(texts, str(request.state.owner))
