"""A backend that loads the model into this process."""

from collections.abc import Generator
from typing import Any

from lmcraft.conversation.tree import Piece, Spoken, TooLongError
from lmcraft.language_model import LanguageModel
from lmcraft.tokenizer.chat_template import without


class LocalBackend:
    """A model that is opened here."""

    def __init__(self, model: LanguageModel, settings: dict[str, Any], *, adapter: str = "") -> None:
        self.model = model
        self.context: int = model.transformer.config.max_position_embeddings
        self._settings = settings | {"num_return_sequences": 1}
        self._adapter = adapter
        # An answer shall have max_new_tokens, but leave half of the context to what was said before.
        wanted = model.generation_config.updated(self._settings).max_new_tokens
        self._longest_prompt = self.context - min(wanted or self.context, self.context // 2)

    def stream(self, messages: Spoken, draw: int) -> Generator[Piece, None, None]:
        """The answer to the last message, as `lmcraft.conversation.tree.Backend` has it."""
        ids = self.prompt_ids(messages)
        if len(ids) > self._longest_prompt and any(message["role"] == "assistant" for message in messages):
            raise TooLongError(f"the conversation has {len(ids)} tokens: forget a turn")
        settings = dict(self._settings)
        if settings.get("seed") is not None:
            settings["seed"] = (settings["seed"] + draw) % 2**63
        for count, token in enumerate(self.model.tokens(ids, adapter=self._adapter, **settings), start=1):
            yield Piece(token.text, token.finish_reason, {"prompt_tokens": len(ids), "completion_tokens": count})

    def prompt_ids(self, messages: Spoken) -> list[int]:
        """The conversation up to the answer to its last message."""
        tokenizer = self.model.tokenizer
        if tokenizer.chat_template is None:
            return tokenizer.encode("".join(message["content"] + "\n" for message in messages))
        special = tokenizer.special_tokens
        clean = [message | {"content": without(special, message["content"])} for message in messages]
        return tokenizer.encode(tokenizer.apply_chat_template(clean), parse_special=True)
