"""Examples as tokens: the chat template applied, and a mask of the tokens whose prediction is trained.

A prompt is encoded exactly as at inference. Each answer is encoded separately, since it will be generated after its prompt.

Shapes: n tokens of an example, K extra values of an example.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.loader import IGNORE_INDEX, Int64
from lmcraft.errors import UserError
from lmcraft.finetuning.examples import Conversation, Message
from lmcraft.tokenizer.tokenizer import Tokenizer

# For a base model without a chat template: role names in plain text, and the model's own end token after an answer.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)


@dataclass(frozen=True)
class MaskedTokens:
    """The tokens of a text, each array (n,)."""

    ids: Int64
    loss_mask: NDArray[np.bool_]
    """True for the tokens that the model learns to predict."""

    def targets(self) -> Int64:
        """The next token at each position, or IGNORE_INDEX where the next token is not trained."""
        following = np.full_like(self.ids, IGNORE_INDEX)
        following[:-1] = np.where(self.loss_mask[1:], self.ids[1:], IGNORE_INDEX)
        return following

    @property
    def prompt_ids(self) -> Int64:
        """The tokens before the first trained one."""
        return self.ids[: int(self.loss_mask.argmax())]


@dataclass(frozen=True)
class TokenizedExample:
    """An example ready for a row: one document, or several that must stay in the same row."""

    input_ids: Int64
    """(n,)"""
    targets: Int64
    """(n,), IGNORE_INDEX where nothing is learned."""
    document_ids: Int64 | None = None
    """(n,), 0, 1, ... for several documents; None: one document."""
    values: NDArray[np.float32] | None = None
    """(K,) other numbers that the loss needs; an example with values gets a row of its own."""

    def __len__(self) -> int:
        return len(self.input_ids)

    @property
    def num_documents(self) -> int:
        return 1 if self.document_ids is None else int(self.document_ids[-1]) + 1


class ExampleEncoder:
    """Turns examples into tokens, conversations by the tokenizer's chat template.

    Args:
        tokenizer: has a chat template, unless only plain texts are encoded.
        end_ids: the tokens that end a turn; the model must learn one of them after each answer.
    """

    def __init__(self, tokenizer: Tokenizer, end_ids: Collection[int]) -> None:
        self.tokenizer, self.end_ids = tokenizer, frozenset(end_ids)

    # Tokens and masks

    def conversation(self, conversation: Conversation, *, last_answer_only: bool = False) -> MaskedTokens:
        """A conversation up to its last answer; all answers are trained, or only the last one.

        Raises:
            UserError: there is no assistant message, an answer's end is not trained, or the template rewrites earlier turns.
        """
        messages = conversation.messages
        answers = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
        if not answers:
            roles = ", ".join(str(message["role"]) for message in messages)
            raise UserError(f"no message is the assistant's (roles: {roles}), so there is nothing to learn: add an answer")
        full_text = self._render(messages[: answers[-1] + 1], conversation, prompt=False)
        ids: list[int] = []
        loss_mask: list[bool] = []
        encoded_chars = 0
        for index in answers:
            before = self._render(messages[:index], conversation, prompt=True)
            after = self._render(messages[: index + 1], conversation, prompt=False)
            if not (full_text.startswith(after) and after.startswith(before) and encoded_chars <= len(before)):
                raise UserError(
                    "the chat template renders an answer differently from its generation prompt, or rewrites earlier turns: "
                    "use conversations with a single answer, or set another chat_template in tokenizer_config.json"
                )
            if last_answer_only and index != answers[-1]:
                continue
            question = self._encode(full_text[encoded_chars : len(before)])
            answer = self._encode(full_text[len(before) : len(after)])
            ends = [n for n, token in enumerate(answer) if token in self.end_ids]
            if not ends:
                raise UserError(
                    "the end-of-turn token is never learned: the chat template puts none of the model's end tokens "
                    f"({', '.join(map(repr, self.end_tokens()))}) after an answer; use a --chat-template that does"
                )
            stop = ends[-1] + 1
            ids += question + answer
            loss_mask += [False] * len(question) + [True] * stop + [False] * (len(answer) - stop)
            encoded_chars = len(after)
        length = len(loss_mask) - loss_mask[::-1].index(True)  # nothing after the last end token is needed
        return MaskedTokens(np.array(ids[:length], np.int64), np.array(loss_mask[:length]))

    def text(self, text: str) -> MaskedTokens:
        """A plain text followed by the end token; every token is trained."""
        ids = [*self.tokenizer.begin_ids, *self.tokenizer.encode(text)]
        end = self.tokenizer.eos_token_id
        ids += [] if end is None else [end]
        return MaskedTokens(np.array(ids, np.int64), np.ones(len(ids), bool))

    def end_tokens(self) -> list[str]:
        """The end tokens as text."""
        return [self.tokenizer.decode([token], skip_special_tokens=False) for token in sorted(self.end_ids)]

    # Examples for a row

    def answers(self, conversation: Conversation) -> TokenizedExample:
        """A conversation with all of its answers trained."""
        tokens = self.conversation(conversation)
        return TokenizedExample(tokens.ids[:-1], tokens.targets()[:-1])  # the last token has nothing to predict

    def prompt(self, conversation: Conversation, index: int) -> TokenizedExample:
        """The prompt of a conversation's last answer, without targets; its value is the example's index."""
        ids = self.conversation(conversation, last_answer_only=True).prompt_ids
        return TokenizedExample(ids, np.full_like(ids, IGNORE_INDEX), values=np.array([index], np.float32))

    def pair(self, first: Sequence[Message], second: Sequence[Message], *more_values: float) -> TokenizedExample:
        """Two conversations as the two documents of a row, the last answer of each trained.

        The first two values are 0, to be replaced by the reference model's log-probabilities of the two answers.
        """
        both = [self.conversation(Conversation(tuple(messages)), last_answer_only=True) for messages in (first, second)]
        return _two_documents(
            [tokens.ids[:-1] for tokens in both], [tokens.targets()[:-1] for tokens in both], (0.0, 0.0, *more_values)
        )

    def pair_ends(self, first: Sequence[Message], second: Sequence[Message]) -> TokenizedExample:
        """Two conversations as the two documents of a row, each with the target 0 at its last token."""
        ids = [self.conversation(Conversation(tuple(messages)), last_answer_only=True).ids for messages in (first, second)]
        return _two_documents(ids, [target_at_end(i, 0).targets for i in ids], (0.0, 0.0))

    def text_with_target(self, text: str, target: int) -> TokenizedExample:
        """A plain text with `target`, a label's number, at its last token."""
        return target_at_end(self.text(text).ids, target)

    def _render(self, messages: Sequence[Message], conversation: Conversation, *, prompt: bool) -> str:
        return self.tokenizer.apply_chat_template(messages, prompt, tools=conversation.tools or None)

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, parse_special=True)


def target_at_end(ids: Int64, target: int) -> TokenizedExample:
    """A text whose only target is at its last token."""
    targets = np.full_like(ids, IGNORE_INDEX)
    targets[-1] = target
    return TokenizedExample(ids, targets)


def _two_documents(ids: Sequence[Int64], targets: Sequence[Int64], values: Sequence[float]) -> TokenizedExample:
    document_ids = np.repeat(np.arange(len(ids)), [len(document) for document in ids])
    return TokenizedExample(np.concatenate(ids), np.concatenate(targets), document_ids, np.array(values, np.float32))
