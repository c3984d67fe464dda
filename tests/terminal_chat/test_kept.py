"""Conversations in the user's data folder."""

import os
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.terminal_chat.kept import ChatFile, data_folder, find_chat, kept_chats, read_chat
from lmcraft.terminal_chat.tree import AnswerChunk, Conversation
from tests.terminal_chat.test_tree import FakeBackend


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMCRAFT_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def ask(conversation: Conversation, text: str) -> None:
    conversation.answer(text, lambda chunk: None)


def reopened(file: ChatFile) -> Conversation:
    file.close()
    assert file.path is not None
    return read_chat(file.path).resume(FakeBackend(), ChatFile(file.path))


def test_a_conversation_is_the_same_after_it_was_kept() -> None:
    file = ChatFile()
    conversation = Conversation(FakeBackend(fits=3), record=file.add)
    conversation.system = "S"
    for text in ("a", "b\n从前\x1b", "c"):
        ask(conversation, text)
    conversation.regenerate(lambda chunk: None)
    conversation.back()
    again = reopened(file)
    assert again.system == "S" and again.last is not None and conversation.last is not None
    fields = ("role", "content", "thoughts", "dropped_turns", "finish_reason", "usage")
    for old, new in zip(conversation.messages, again.messages, strict=True):
        assert [getattr(old, name) for name in fields] == [getattr(new, name) for name in fields]
    assert len(again.branches) == len(conversation.branches)
    assert [m.content for m in again.last.path()] == [m.content for m in conversation.last.path()]
    ask(again, "d")
    assert again.last.parent is not None and again.last.parent.content == "d"


def test_every_piece_is_in_the_file_before_it_is_shown() -> None:
    file = ChatFile()
    conversation = Conversation(FakeBackend(), record=file.add)
    shown = ""

    def show(chunk: AnswerChunk) -> None:
        nonlocal shown
        shown += chunk.text
        assert file.path is not None
        kept = read_chat(file.path)
        assert kept.messages[kept.state["last"]].content == shown

    conversation.answer("a", show)
    assert shown == "answer 0"


def test_a_question_without_an_answer_is_a_draft() -> None:
    file = ChatFile()
    conversation = Conversation(FakeBackend(), record=file.add)
    ask(conversation, "a")
    conversation.backend = FakeBackend(broken=True)
    for question in ("lost?", "not lost"):
        with pytest.raises(Exception, match="no answer"):
            ask(conversation, question)
        assert conversation.draft == question
    again = reopened(file)
    assert again.draft == "not lost" and len(again.messages) == 2
    ask(again, "b")
    assert again.draft == "" and len(again.messages) == 4


def test_conversations_are_found_by_number_and_id(data: Path) -> None:
    with pytest.raises(UserError, match="no conversations"):
        find_chat("")
    paths = []
    for n, text in enumerate(("first " * 20, "second")):
        file = ChatFile()
        file.add({"model": "m"})
        ask(Conversation(FakeBackend(), record=file.add), text)
        file.close()
        assert file.path is not None
        os.utime(file.path, (1e9 + n, 1e9 + n))
        paths.append(file.path)
    assert [chat.path for chat in kept_chats()] == paths[::-1]
    assert kept_chats()[0].title == "second" and kept_chats()[1].title.endswith("...") and kept_chats()[0].model == "m"
    assert find_chat("") == find_chat("1") == find_chat(paths[1].stem) == paths[1] and find_chat("2") == paths[0]
    for name in ("3", "../x", "nonsense", "/etc/passwd", ".", "*"):
        with pytest.raises(UserError, match="there is no conversation"):
            find_chat(name)


def test_a_conversation_is_open_once() -> None:
    file = ChatFile()
    ask(Conversation(FakeBackend(), record=file.add), "a")
    assert file.path is not None
    with pytest.raises(UserError, match="open in another terminal"):
        ChatFile(file.path)
    file.close()
    ChatFile(file.path).close()


def test_an_empty_conversation_makes_no_file(data: Path) -> None:
    file = ChatFile()
    Conversation(FakeBackend(), record=file.add).system = "S"
    assert not file.is_written and not data.exists()


def test_a_folder_that_cannot_be_written_is_reported_once(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data.write_text("a file")
    file = ChatFile()
    conversation = Conversation(FakeBackend(), record=file.add)
    for text in ("a", "b"):
        ask(conversation, text)
    assert capsys.readouterr().err.count("cannot be kept") == 1 and not file.is_written
    assert conversation.last is not None and conversation.last.content == "answer 0"


@pytest.mark.parametrize(
    "rows",
    [
        '{"id": 0}',
        '{"id": 0, "role": "assistant", "parent": null}',
        '{"id": 0, "role": "user", "parent": 7}',
        '{"id": [], "role": "user", "parent": null}',
        '{"id": 0, "role": "user", "parent": null, "text": 5}',
        '{"settings": []}',
        '{"system": {}}',
        '{"last": "x"}',
        "nonsense",
    ],
)
def test_damaged_files_are_named(rows: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(rows + "\n{}\n")
    with pytest.raises(UserError, match=r"x\.jsonl"):
        read_chat(path)


def test_a_row_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text('{"id": 0, "role": "user", "parent": null, "text": "a"}\n{"id": 1, "role": "assis')
    chat = read_chat(path)
    assert [message.content for message in chat.messages.values()] == ["a"]
    file = ChatFile(path)
    conversation = chat.resume(FakeBackend(), file)
    ask(conversation, "b")
    file.close()
    assert [message.content for message in read_chat(path).messages.values()] == ["a", "b", "answer 0"]


def test_the_data_folder_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("LMCRAFT_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert data_folder() == tmp_path / "lmcraft"
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_folder() == tmp_path / ".local/share/lmcraft"
