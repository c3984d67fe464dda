"""Examples as tokens: the chat template applied, and a mask of the tokens whose prediction is trained.

A conversation is rendered and encoded as a whole, and the mask follows from where each token begins and ends in its text.

Shapes: n tokens of an example, K extra values of an example.
"""

from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmcraft.data.loader import IGNORE_INDEX, Int64
from lmcraft.errors import UserError
from lmcraft.finetuning.examples import Conversation
from lmcraft.finetuning.messages import Message, is_learned
from lmcraft.finetuning.template_checks import added_system_message, check_rendered
from lmcraft.tokenizer.tokenizer import Tokenizer

# For a base model without a chat template: role names in plain text, and the model's own end token after an answer.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] }}"
    "{{ eos_token if message['role'] == 'assistant' else '' }}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\\n' }}{% endif %}"
)

STANDARD_ROLES = ("system", "user", "assistant", "tool")


class LongTextError(UserError):
    """A text cannot fit in the model's context."""


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
        max_tokens: of an example; texts that must have more are refused without being encoded. None: no limit.
    """

    def __init__(self, tokenizer: Tokenizer, end_ids: Collection[int], max_tokens: int | None = None) -> None:
        self.tokenizer, self.end_ids = tokenizer, frozenset(end_ids)
        # A longer text has more tokens than fit. It is not encoded, because encoding takes 250 times its size in memory.
        self.max_chars = None if max_tokens is None else (max_tokens + 1) * tokenizer.longest_token_chars
        self._added_ids = frozenset(tokenizer.special_tokens.values())

    # Tokens and masks

    def conversation(self, conversation: Conversation, *, last_answer_only: bool = False) -> MaskedTokens:
        """A conversation up to its last answer. All answers are trained, or only the last one, but none of weight 0.

        The tokens are those of the whole text, as at inference; a token that begins before an answer and ends in it is
        trained.

        Raises:
            UserError: there is nothing to learn, an answer's end is not trained, or the template leaves out a part of the
                conversation or rewrites earlier turns.
        """
        messages = [self._with_template_role(message) for message in conversation.messages]
        answers = [index for index, message in enumerate(messages) if is_learned(message)]
        if not answers:
            roles = ", ".join(str(message["role"]) for message in messages)
            if any(message["role"] == "assistant" for message in messages):
                raise UserError(
                    "every answer has weight 0, so there is nothing to learn: give one weight 1, or remove the row"
                )
            raise UserError(f"no message is the assistant's (roles: {roles}), so there is nothing to learn: add an answer")
        messages = messages[: answers[-1] + 1]
        self._check_length(sum(len(message["content"]) for message in messages))
        text = self._render(messages, conversation.tools)
        learned = answers[-1:] if last_answer_only else answers
        spans = [self._answer_span(messages, index, conversation, text) for index in learned]
        check_rendered(self._render, messages, conversation.tools, text, learned)
        self._check_length(len(text))
        ids, offsets = self.tokenizer.encode_with_offsets(text)
        loss_mask = np.zeros(len(ids), np.bool_)
        for begin, end in spans:
            self._mark_answer(ids, offsets, begin, end, text, loss_mask)
        length = int(loss_mask.nonzero()[0][-1]) + 1  # nothing after the last end token is needed
        return MaskedTokens(np.array(ids[:length], np.int64), loss_mask[:length])

    def prompt_ids(self, conversation: Conversation) -> list[int]:
        """The tokens before the answer that a model would generate in place of the last one, encoded as at inference."""
        messages = [self._with_template_role(message) for message in conversation.messages]
        last = max((n for n, message in enumerate(messages) if message["role"] == "assistant"), default=len(messages))
        self._check_length(sum(len(message["content"]) for message in messages[:last]))
        text = self._render(messages[:last], conversation.tools, prompt=True)
        check_rendered(partial(self._render, prompt=True), messages[:last], conversation.tools, text)
        self._check_length(len(text))
        return self.tokenizer.encode(text, parse_special=True)

    def spells_out_tools(self, conversation: Conversation) -> bool:
        """Whether tools, calls or results are written as text, because the chat template does not know them."""
        messages, tools = conversation.messages, conversation.tools or None
        try:
            alone = self.tokenizer.apply_chat_template(messages, False, tools=tools)
        except UserError:  # the template knows no role of tools
            return True
        return alone != self._render(messages, conversation.tools)

    def added_system_message(self) -> str:
        """The system message that the chat template adds by itself; empty if it adds none."""
        return added_system_message(self._render)

    def text(self, text: str) -> MaskedTokens:
        """A plain text followed by the end token, or the tokens that end an encoder's texts; every token is trained."""
        ids = [*self.tokenizer.begin_ids, *self.tokenizer.encode(text)]
        end = self.tokenizer.eos_token_id
        ids += self.tokenizer.end_ids if end is None else [end]
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
        ids = np.array(self.prompt_ids(conversation), np.int64)
        return TokenizedExample(ids, np.full_like(ids, IGNORE_INDEX), values=np.array([index], np.float32))

    def pair(
        self, first: Conversation, second: Conversation, *more_values: float, may_be_equal: bool = False
    ) -> TokenizedExample:
        """Two conversations as the two documents of a row, the last answer of each trained.

        The first two values are 0, to be replaced by the reference model's log-probabilities of the two answers.

        Raises:
            UserError: the conversations have the same tokens, unless they may.
        """
        both = [self.conversation(conversation, last_answer_only=True) for conversation in (first, second)]
        if not may_be_equal:
            _check_different(both)
        return _two_documents(
            [tokens.ids[:-1] for tokens in both], [tokens.targets()[:-1] for tokens in both], (0.0, 0.0, *more_values)
        )

    def pair_ends(self, first: Conversation, second: Conversation) -> TokenizedExample:
        """Two conversations as the two documents of a row, each with the target 0 at its last token.

        Raises:
            UserError: the conversations have the same tokens.
        """
        both = [self.conversation(conversation, last_answer_only=True) for conversation in (first, second)]
        _check_different(both)
        return _two_documents(
            [tokens.ids for tokens in both], [target_at_end(tokens.ids, 0).targets for tokens in both], (0.0, 0.0)
        )

    def text_with_target(self, text: str, target: int) -> TokenizedExample:
        """A plain text with `target`, a label's number, at its last token.

        The end token stays out if it is the padding token as well: transformers reads the last token that is no padding.
        """
        self._check_length(len(text))
        ids = self.text(text).ids
        if not len(ids):
            raise UserError("a text is empty, or the tokenizer has no token for any of its characters: leave it out")
        if not ends_classified_texts(self.tokenizer) and len(ids) > 1:
            ids = ids[:-1] if ids[-1] == self.tokenizer.eos_token_id else ids
        return target_at_end(ids, target)

    # Text

    def _render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], *, prompt: bool = False) -> str:
        return self.tokenizer.apply_chat_template(messages, prompt, tools=tools or None, spell_out_tools=True)

    def _with_template_role(self, message: Message) -> Message:
        """The message with a role that the template knows.

        Raises:
            UserError: it knows no such role.
        """
        role, template = message["role"], self.tokenizer.chat_template or ""
        if role in STANDARD_ROLES or role in template:
            return message
        if role == "developer":
            return {**message, "role": "system"}
        raise UserError(
            f"its role '{role}' is unknown: use {', '.join(STANDARD_ROLES)}, or a role that the chat template names"
        )

    def _answer_span(
        self, messages: Sequence[Message], index: int, conversation: Conversation, text: str
    ) -> tuple[int, int]:
        """Where an answer begins and ends in the text of the whole conversation."""
        after = self._render(messages[: index + 1], conversation.tools)
        reason = (
            "the chat template renders an answer differently from its generation prompt, or rewrites earlier turns: "
            "use conversations with a single answer, or another --chat-template"
        )
        if all(message["role"] == "system" for message in messages[:index]):
            reason = (
                f"its message {index + 1} (assistant) has no question before it, and the chat template renders no such "
                'answer: leave it out, or give it "weight": 0'
            )
        try:
            before = self._render(messages[:index], conversation.tools, prompt=True)
        except UserError as error:
            raise UserError(reason if index == 0 else str(error)) from error
        if not (text.startswith(after) and after.startswith(before)):
            raise UserError(reason)
        return len(before), len(after)

    def _mark_answer(
        self, ids: list[int], offsets: list[tuple[int, int]], begin: int, end: int, text: str, loss_mask: NDArray[np.bool_]
    ) -> None:
        """Mark the tokens of an answer up to its last end token as trained."""
        first = bisect_left(offsets, begin, key=itemgetter(0))
        ends = [n for n in range(first, bisect_left(offsets, end, key=itemgetter(0))) if ids[n] in self.end_ids]
        if not ends:
            raise UserError(
                "the end-of-turn token is never learned: the chat template puts none of the model's end tokens "
                f"({', '.join(map(repr, self.end_tokens()))}) after an answer; use a --chat-template that does"
            )
        if not text[begin : offsets[ends[0]][0]].strip():
            raise UserError(
                "its answer is empty, or only spells special tokens, which are removed: write one, or remove the row"
            )
        while first and offsets[first - 1][1] > begin and ids[first - 1] not in self._added_ids:
            first -= 1  # begins before the answer and ends in it
        if first == ends[0]:
            raise UserError("the tokenizer has no token for any character of its answer: remove the row")
        loss_mask[first : ends[-1] + 1] = True

    def _check_length(self, num_chars: int) -> None:
        """Raise LongTextError if a text of so many characters cannot fit in the context."""
        if self.max_chars is not None and num_chars > self.max_chars:
            raise LongTextError(f"a text of {num_chars:,} characters is longer than the model's context: shorten it")


def _check_different(pair: Sequence[MaskedTokens]) -> None:
    if np.array_equal(pair[0].ids, pair[1].ids):
        raise UserError(
            "its two answers are the same in the chat template, which removes spellings of special tokens: remove the row"
        )


def ends_classified_texts(tokenizer: Tokenizer) -> bool:
    """Whether the end token follows a text that is to be classified."""
    return tokenizer.eos_token_id is not None and tokenizer.eos_token_id != tokenizer.pad_token_id


def target_at_end(ids: Int64, target: int) -> TokenizedExample:
    """A text whose only target is at its last token."""
    targets = np.full_like(ids, IGNORE_INDEX)
    targets[-1] = target
    return TokenizedExample(ids, targets)


def _two_documents(ids: Sequence[Int64], targets: Sequence[Int64], values: Sequence[float]) -> TokenizedExample:
    document_ids = np.repeat(np.arange(len(ids)), [len(document) for document in ids])
    return TokenizedExample(np.concatenate(ids), np.concatenate(targets), document_ids, np.array(values, np.float32))
