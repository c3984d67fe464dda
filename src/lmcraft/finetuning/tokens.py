"""Conversations as tokens, and which of them are to be learned: what the assistant says, to the end of its turn.

A prompt is encoded as it will be when the model serves, and an answer by itself after it, as it will be generated.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.loader import IGNORE_INDEX, Int64
from lmcraft.errors import UserError
from lmcraft.finetuning.examples import Conversation, Message
from lmcraft.tokenizer.chat_template import strip_special_tokens
from lmcraft.tokenizer.tokenizer import Tokenizer

# For a model that was never tuned for chat: plain words, and its own end token after an answer.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Tokens:
    """A text's tokens, each array (n,)."""

    ids: Int64
    learned: NDArray[np.bool_]
    """Which of them are to be predicted."""

    def targets(self) -> Int64:
        """The token after each, where it is to be learned; else IGNORE_INDEX."""
        following = np.full_like(self.ids, IGNORE_INDEX)
        following[:-1] = np.where(self.learned[1:], self.ids[1:], IGNORE_INDEX)
        return following


class Encoder:
    """Turns conversations into tokens by a tokenizer's chat template.

    Args:
        tokenizer: has a chat template.
        end_ids: the tokens that end a turn; the model must learn one after each answer.
    """

    def __init__(self, tokenizer: Tokenizer, end_ids: Collection[int]) -> None:
        self.tokenizer, self.end_ids = tokenizer, frozenset(end_ids)
        self._special = tokenizer.special_tokens

    def conversation(self, conversation: Conversation, *, last_answer_only: bool = False) -> Tokens:
        """All of a conversation up to its last answer; every answer is learned, or the last alone.

        Raises:
            UserError: nobody answers, an answer's end is not learned, or the template rewrites earlier turns.
        """
        messages = [self._clean(message) for message in conversation.messages]
        answers = [place for place, message in enumerate(messages) if message["role"] == "assistant"]
        if not answers:
            roles = ", ".join(str(message["role"]) for message in messages)
            raise UserError(f"no answer in it is the assistant's (its roles are {roles}): nothing could be learned")
        whole = self._text(messages[: answers[-1] + 1], conversation, prompt=False)
        ids: list[int] = []
        learned: list[bool] = []
        done = 0
        for place in answers:
            before = self._text(messages[:place], conversation, prompt=True)
            after = self._text(messages[: place + 1], conversation, prompt=False)
            if not (whole.startswith(after) and after.startswith(before) and done <= len(before)):
                raise UserError(
                    "the chat template renders an answer otherwise than it asks for one, or rewrites earlier turns: "
                    "give conversations of one answer, or set another chat_template in tokenizer_config.json"
                )
            if last_answer_only and place != answers[-1]:
                continue
            question = self._encoded(whole[done : len(before)])
            answer = self._encoded(whole[len(before) : len(after)])
            ends = [n for n, token in enumerate(answer) if token in self.end_ids]
            if not ends:
                raise UserError(
                    "the end-of-turn token is never learned: the chat template puts none of the model's end tokens "
                    f"({', '.join(map(repr, self.end_texts()))}) after an answer; give --chat-template one that does"
                )
            stop = ends[-1] + 1
            ids += question + answer
            learned += [False] * len(question) + [True] * stop + [False] * (len(answer) - stop)
            done = len(after)
        used = len(learned) - learned[::-1].index(True)  # what follows the last end token is of no use
        return Tokens(np.array(ids[:used], np.int64), np.array(learned[:used]))

    def text(self, text: str) -> Tokens:
        """A text as it is, whose every token is learned, with the end token after it."""
        ids = [*self.tokenizer.begin_ids, *self.tokenizer.encode(text)]
        end = self.tokenizer.eos_token_id
        ids += [] if end is None else [end]
        return Tokens(np.array(ids, np.int64), np.ones(len(ids), bool))

    def end_texts(self) -> list[str]:
        """The end tokens as they are spelled."""
        return [self.tokenizer.decode([token], skip_special_tokens=False) for token in sorted(self.end_ids)]

    def _text(self, messages: Sequence[Message], conversation: Conversation, *, prompt: bool) -> str:
        return self.tokenizer.apply_chat_template(messages, prompt, tools=conversation.tools or None)

    def _encoded(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, parse_special=True)

    def _clean(self, message: Message) -> Message:
        return {**message, "content": strip_special_tokens(self._special, str(message["content"]))}
