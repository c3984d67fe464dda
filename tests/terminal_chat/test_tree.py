from collections.abc import Generator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from lmcraft.errors import RunError, UserError
from lmcraft.language_model import LanguageModel
from lmcraft.terminal_chat.local import LocalBackend
from lmcraft.terminal_chat.tree import AnswerChunk, ChatMessages, Conversation, TooLongError


def test_ctrl_c_stops_the_answer_and_keeps_it(plain_model: Path) -> None:
    conversation = Conversation(LocalBackend(LanguageModel.load(plain_model), {"max_new_tokens": 50, "seed": 1}))
    pieces: list[str] = []

    def on_chunk(chunk: AnswerChunk) -> None:
        pieces.append(chunk.text)
        if len(pieces) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conversation.answer("Once", on_chunk)
    assert [message.content for message in conversation.messages] == ["Once", "".join(pieces)]


@dataclass
class FakeBackend:
    """Answers with the number of the attempt; there is room for `fits` messages."""

    context: int | None = None
    fits: int = 100
    broken: bool = False
    requests: list[ChatMessages] = field(default_factory=list)

    def stream(self, messages: ChatMessages, attempt: int) -> Generator[AnswerChunk, None, None]:
        self.requests.append(messages)
        if len(messages) > self.fits:
            raise TooLongError("too long")
        if self.broken:
            raise RunError("no answer")
        yield AnswerChunk("answer ")
        yield AnswerChunk(str(attempt), "stop", {"prompt_tokens": len(messages), "completion_tokens": 2})


def ask(conversation: Conversation, text: str) -> str:
    conversation.answer(text, lambda text: None)
    assert conversation.last is not None
    return conversation.last.content


def test_branches_share_their_messages() -> None:
    backend = FakeBackend()
    conversation = Conversation(backend, system="S")
    assert ask(conversation, "a") == "answer 0"
    conversation.regenerate(lambda text: None)
    assert conversation.last is not None and conversation.last.content == "answer 1"
    assert [message.content for message in conversation.branches] == ["answer 0", "answer 1"]
    ask(conversation, "b")
    assert [message["content"] for message in backend.requests[-1]] == ["S", "a", "answer 1", "b"]
    assert conversation.back().content == "b" and len(conversation.branches) == 2
    assert conversation.last.usage == {"prompt_tokens": 2, "completion_tokens": 2}


def test_turns_that_were_dropped_stay_dropped_in_their_branch(capsys: pytest.CaptureFixture[str]) -> None:
    backend = FakeBackend(fits=3)
    conversation = Conversation(backend)
    for text in ("a", "b", "c", "d"):
        ask(conversation, text)
    assert [len(messages) for messages in backend.requests] == [1, 3, 5, 3, 5, 3]
    assert capsys.readouterr().err.count("its oldest turn is forgotten") == 2
    backend.fits = 0
    with pytest.raises(TooLongError):
        ask(Conversation(backend), "a")


def test_a_question_without_an_answer_is_not_kept() -> None:
    conversation = Conversation(FakeBackend(broken=True))
    with pytest.raises(RunError):
        ask(conversation, "a")
    assert conversation.messages == [] and conversation.last is None
    for method in (
        lambda: conversation.regenerate(lambda text: None),
        conversation.back,
        lambda: conversation.save(Path("x")),
    ):
        with pytest.raises(UserError, match=r"nothing|no answer"):
            method()
