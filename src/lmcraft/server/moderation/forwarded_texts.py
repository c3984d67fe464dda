"""The texts in the JSON of requests that a gateway forwards, and of their answers."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lmcraft.server.errors import ApiError
from lmcraft.server.moderation.message_texts import STRUCTURAL_KEYS, MessageText, fixed_text, message_texts
from lmcraft.server.moderation.reviews import Chat, user_message

Json = dict[str, Any]
TEXT_TYPES = (
    "custom_tool_call_output", "function_call", "function_call_output", "input_text", "item_reference", "message",
    "output_text", "reasoning", "reasoning_text", "redacted_thinking", "refusal", "summary_text", "text", "thinking",
    "tool_result", "tool_use",
)  # fmt: skip
MEDIA_KEYS = (
    "audio", "audio_url", "file", "file_data", "file_id", "image", "image_embeds", "image_url", "input_audio", "source",
    "video_url",
)  # fmt: skip
TOKEN_FIELDS = ("logprobs", "top_logprobs", "prompt_logprobs", "return_token_ids")
TOKEN_KEYS = frozenset({"logprobs", "prompt_logprobs", "token_ids", "prompt_token_ids", "prompt_text"})
"""What of an answer would show its tokens before their text has been judged."""
FIXED_FIELDS = ("tools", "functions", "chat_template_kwargs")
"""What of a request a template shows besides messages."""


@dataclass(frozen=True)
class TextSlot:
    """A text in a JSON value, which another one may replace."""

    parent: Any
    key: str | int
    path: str

    @property
    def text(self) -> str:
        return str(self.parent[self.key])

    def replace(self, text: str) -> None:
        """Put another text in its place."""
        self.parent[self.key] = text


def text_slots(value: Any, path: str = "") -> Iterator[TextSlot]:
    """The texts in a JSON value that somebody wrote, in their order."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        inner = f"{path}.{key}" if path else str(key)
        if key in STRUCTURAL_KEYS:
            continue
        if isinstance(item, str):
            yield TextSlot(value, key, inner)
        else:
            yield from text_slots(item, inner)


def remove_token_fields(body: Json) -> list[str]:
    """Remove the fields that ask for tokens or their probabilities from a request; returns their names."""
    names = [name for name in TOKEN_FIELDS if body.get(name) is not None and body[name] is not False]
    for name in names:
        del body[name]
    return names


def remove_tokens(value: Any) -> None:
    """Remove the tokens and their probabilities from an answer."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        if key in TOKEN_KEYS:
            value[key] = [] if isinstance(item, list) else None
        else:
            remove_tokens(item)


def prompt_texts(body: Mapping[str, Any]) -> list[list[MessageText]]:
    """The texts of a request that the policy judges, of each of its prompts.

    Raises:
        ApiError: the request has something that cannot be judged, such as images or token ids.
    """
    if "prompt" in body and "messages" not in body:
        suffix = [MessageText((body["suffix"],))] if body.get("suffix") else []
        return [[MessageText((prompt,)), *suffix] for prompt in _prompts(body["prompt"])]
    texts = [text for name in FIXED_FIELDS for text in fixed_text(body.get(name))]
    for field in ("system", "instructions"):
        _check_media(body.get(field), field)
        texts += message_texts([body.get(field)])
    field = "messages" if "messages" in body else "input"
    messages = body.get(field)
    messages = messages if isinstance(messages, list) else [messages]
    for n, message in enumerate(messages):
        if n == len(messages) - 1 or not _is_models(message):
            _check_media(message, f"{field}[{n}]")
            texts += fixed_text(message.get("name")) if isinstance(message, Mapping) else []
            texts += message_texts([message])
    return [texts]


def prompt_chats(body: Mapping[str, Any]) -> list[Chat]:
    """The messages of each prompt of a request, as people read them."""
    if "prompt" in body and "messages" not in body:
        return [(user_message(prompt),) for prompt in _prompts(body["prompt"])]
    messages = body.get("messages", body.get("input"))
    read = messages if isinstance(messages, list) else [{"role": "user", "content": messages}]
    return [tuple(_plain_message(message) for message in read if isinstance(message, Mapping) and "role" in message)]


def _plain_message(message: Mapping[str, Any]) -> Mapping[str, str]:
    texts = message_texts([message.get("content")])
    return {"role": str(message["role"]), "content": "\n".join("".join(text.parts) for text in texts)}


def _prompts(prompt: Any) -> list[str]:
    prompts = prompt if isinstance(prompt, list) else [prompt]
    if not all(isinstance(text, str) for text in prompts):
        message = "prompt has token ids, which the policy of this server cannot judge; send text"
        raise ApiError(400, message, code="not_judged", param="prompt")
    return prompts


def _is_models(message: Any) -> bool:
    """Whether the model wrote a message."""
    if not isinstance(message, Mapping):
        return False
    kind = str(message.get("type"))
    return message.get("role") == "assistant" or kind == "reasoning" or kind.endswith("_call")


def _check_media(value: Any, path: str) -> None:
    """Raise ApiError if a message has something else than text."""
    if isinstance(value, list):
        for n, item in enumerate(value):
            _check_media(item, f"{path}[{n}]")
    elif isinstance(value, Mapping):
        media = [key for key in MEDIA_KEYS if value.get(key)]
        if media or value.get("type", "text") not in TEXT_TYPES:
            kind = media[0] if media else value["type"]
            message = f"{path} has {str(kind)[:40]!r}, which the policy of this server cannot judge; send text"
            raise ApiError(400, message, code="not_judged", param=path)
        for key in ("content", "output"):
            _check_media(value.get(key), f"{path}.{key}")
