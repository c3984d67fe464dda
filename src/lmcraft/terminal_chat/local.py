"""A backend that loads the model into this process."""

from collections.abc import Generator, Mapping
from typing import Any

from lmcraft.inference.generation_settings import SETTINGS
from lmcraft.inference.thoughts import ThoughtParser, find_format
from lmcraft.language_model import LanguageModel
from lmcraft.terminal_chat.tree import AnswerChunk, ChatMessages, TooLongError


class LocalBackend:
    """Answers conversations with a loaded model.

    Args:
        model: without a chat template, it continues the messages as plain text.
        settings: fields of `GenerationConfig`. Unless they or the model's file limit an answer, the context alone does.
        name: of the model, as the user writes it.
        adapter: name of one of the model's adapters; empty: none.
        divides: tell what the model thinks apart from its answer; otherwise the text has both, with the tags.
    """

    is_remote = False

    def __init__(
        self, model: LanguageModel, settings: Mapping[str, Any], *, name: str = "", adapter: str = "", divides: bool = False
    ) -> None:
        self.model, self.name = model, name
        self.context: int = model.transformer.config.max_position_embeddings
        self._adapter, self._divides = adapter, divides
        self.use(settings)

    def use(self, settings: Mapping[str, Any]) -> None:
        """Answer with these settings from now on; see `lmcraft.terminal_chat.tree.Backend`."""
        own = self.model.generation_config
        changes = {**own.chat_defaults, **settings, "num_return_sequences": 1}
        if not own.max_length and own.max_new_tokens == SETTINGS["max_new_tokens"].default and "max_length" not in settings:
            changes.setdefault("max_new_tokens", 0)
        self.max_new_tokens = own.updated(changes).max_new_tokens
        self._settings = changes
        # Reserve max_new_tokens for the answer, but at most half of the context.
        self._max_prompt_length = self.context - min(self.max_new_tokens or self.context, self.context // 2)

    def stream(self, messages: ChatMessages, attempt: int) -> Generator[AnswerChunk, None, None]:
        """Answer the last message; see `lmcraft.terminal_chat.tree.Backend`."""
        ids = self.prompt_ids(messages)
        if len(ids) > self._max_prompt_length and any(message["role"] == "assistant" for message in messages[:-1]):
            raise TooLongError(f"the conversation has {len(ids)} tokens: drop the oldest turn")
        settings = dict(self._settings)
        if settings.get("seed") is not None:
            settings["seed"] = (settings["seed"] + attempt) % 2**63
        parser = self._thought_parser(messages, ids)
        tags = {} if parser is None else parser.hidden_tags(self.model.tokenizer)
        for count, token in enumerate(self.model.tokens(ids, adapter=self._adapter, **settings), start=1):
            thoughts, text = "", token.text
            if parser is not None:
                thoughts, text = parser.put(tags.get(token.id, "") + token.text)
                if token.finish_reason is not None:
                    thoughts, text = (piece + rest for piece, rest in zip((thoughts, text), parser.end(), strict=True))
            usage = {"prompt_tokens": len(ids), "completion_tokens": count}
            yield AnswerChunk(text, token.finish_reason, usage, thoughts)

    def prompt_ids(self, messages: ChatMessages) -> list[int]:
        """The tokens of the conversation up to the start of the next answer, or to the end of an answer to continue."""
        tokenizer, continues = self.model.tokenizer, messages[-1]["role"] == "assistant"
        if tokenizer.chat_template is None:
            text = "".join(message["content"] + "\n" for message in messages)
            return tokenizer.encode(text.removesuffix("\n") if continues else text)
        form, begun = find_format(tokenizer), messages[-1]
        if continues and form is not None and "reasoning_content" in begun:  # which a template may leave out, or end
            prompt = tokenizer.apply_chat_template(messages[:-1])
            thoughts, answer = tokenizer.special_spellings.remove([begun["reasoning_content"], begun["content"]])
            text = form.begin_answer(prompt, thoughts, answer)
        else:
            text = tokenizer.apply_chat_template(messages, continue_final_message=continues)
        return tokenizer.encode(text, parse_special=True)

    def _thought_parser(self, messages: ChatMessages, prompt_ids: list[int]) -> ThoughtParser | None:
        form, last = find_format(self.model.tokenizer), messages[-1]
        if not self._divides or form is None:
            return None
        thoughts = last.get("reasoning_content", "")
        begun = form.begin_answer("", thoughts, last["content"]) if thoughts else last["content"]
        return ThoughtParser.of(self.model.tokenizer, prompt_ids, begun if last["role"] == "assistant" else None)
