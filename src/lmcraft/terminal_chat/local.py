"""A backend that loads the model into this process."""

from collections.abc import Generator
from typing import Any

from lmcraft.language_model import LanguageModel
from lmcraft.terminal_chat.tree import AnswerChunk, ChatMessages, TooLongError


class LocalBackend:
    """Answers conversations with a loaded model.

    Args:
        model: without a chat template, it continues the messages as plain text.
        settings: fields of `GenerationConfig`.
        adapter: name of one of the model's adapters; empty: none.
    """

    def __init__(self, model: LanguageModel, settings: dict[str, Any], *, adapter: str = "") -> None:
        self.model = model
        self.context: int = model.transformer.config.max_position_embeddings
        self._settings = {**model.generation_config.chat_defaults, **settings, "num_return_sequences": 1}
        self._adapter = adapter
        # Reserve max_new_tokens for the answer, but at most half of the context.
        max_new_tokens = model.generation_config.updated(self._settings).max_new_tokens
        self._max_prompt_length = self.context - min(max_new_tokens or self.context, self.context // 2)

    def stream(self, messages: ChatMessages, attempt: int) -> Generator[AnswerChunk, None, None]:
        """Answer the last message; see `lmcraft.terminal_chat.tree.Backend`."""
        ids = self.prompt_ids(messages)
        if len(ids) > self._max_prompt_length and any(message["role"] == "assistant" for message in messages):
            raise TooLongError(f"the conversation has {len(ids)} tokens: drop the oldest turn")
        settings = dict(self._settings)
        if settings.get("seed") is not None:
            settings["seed"] = (settings["seed"] + attempt) % 2**63
        for count, token in enumerate(self.model.tokens(ids, adapter=self._adapter, **settings), start=1):
            yield AnswerChunk(token.text, token.finish_reason, {"prompt_tokens": len(ids), "completion_tokens": count})

    def prompt_ids(self, messages: ChatMessages) -> list[int]:
        """The tokens of the conversation up to the start of the next answer."""
        tokenizer = self.model.tokenizer
        if tokenizer.chat_template is None:
            return tokenizer.encode("".join(message["content"] + "\n" for message in messages))
        return tokenizer.encode(tokenizer.apply_chat_template(messages), parse_special=True)
