"""`lmcraft chat` as a person sees and uses it: the real program in a terminal."""

import re
from pathlib import Path

import pytest

from tests.terminal_chat.fake_server import FakeServer, server
from tests.terminal_chat.pseudo_terminal import ALT_ENTER, CTRL_C, CTRL_D, ENTER, Terminal, chat_at_terminal

__all__ = ["server"]

WORDS = [f"word{n} " for n in range(60)]


def questions(server: FakeServer) -> list[str]:
    return [request["messages"][-1]["content"] for request in server.requests]


def leave(terminal: Terminal) -> None:
    terminal.wait_for_prompt()
    terminal.type(CTRL_D)
    assert terminal.wait_for_end() == 0


@pytest.mark.parametrize(
    ("keys", "question"),
    [
        ("\x1b[200~one\ntwo\r\nthree\n\x1b[201~" + ENTER, "one\ntwo\nthree"),
        ("one" + ALT_ENTER + "two" + ENTER, "one\ntwo"),
        ('"""one' + ENTER + "/two" + ENTER + ENTER + '"""' + ENTER, "one\n/two"),
        ('"""/help"""' + ENTER, "/help"),
        ('""" one """' + ENTER, " one "),
        ("\x1b[200~/* a comment */\nint x;\x1b[201~" + ENTER, "/* a comment */\nint x;"),
        ("\x1b[200~if x:\n\ty()\x1b[201~" + ENTER, "if x:\n\ty()"),
        ("从前，有一只猫。" + ENTER, "从前，有一只猫。"),
        ("typed" + CTRL_C + "other" + ENTER, "other"),
        ("hello\n", "hello"),  # a line feed, as programs send it
    ],
)
def test_what_is_typed_is_one_message(server: FakeServer, tmp_path: Path, keys: str, question: str) -> None:
    with chat_at_terminal(tmp_path, server.url) as terminal:
        terminal.wait_for_prompt()
        terminal.type(keys)
        terminal.wait_for("从前\n")
        leave(terminal)
    assert questions(server) == [question]


def test_a_line_that_ctrl_c_cleared_is_in_the_history(server: FakeServer, tmp_path: Path) -> None:
    with chat_at_terminal(tmp_path, server.url) as terminal:
        terminal.wait_for_prompt()
        terminal.type("typed")
        terminal.wait_for("> typed")
        terminal.type(CTRL_C)
        terminal.wait_for("Ctrl-C again")
        terminal.type("\x1b[A")
        terminal.wait_for("> typed")
        terminal.type(ENTER)
        terminal.wait_for("从前\n")
        leave(terminal)
    assert questions(server) == ["typed"]


def test_ctrl_c_stops_an_answer_and_leaves_only_when_pressed_twice(server: FakeServer, tmp_path: Path) -> None:
    server.pieces, server.seconds_between_pieces, server.endless = WORDS, 0.02, True
    with chat_at_terminal(tmp_path, server.url) as terminal:
        terminal.wait_for_prompt()
        terminal.type("Hi" + ENTER)
        terminal.wait_for("word20")
        terminal.type(CTRL_C)
        terminal.wait_for("[Stopped: /continue goes on]")
        terminal.wait_for_prompt()
        terminal.type(CTRL_C)
        terminal.wait_for("Ctrl-C again or Ctrl-D leaves")
        terminal.type("x")
        terminal.wait_until_gone("again or")
        terminal.type(CTRL_C)
        terminal.wait_for("Ctrl-C again or Ctrl-D leaves")
        terminal.type(CTRL_C)
        assert terminal.wait_for_end() == 0
        shown = re.findall(r"word\d+", terminal.text)
    assert shown == [word.strip() for word in WORDS[: len(shown)]]
    assert server.disconnected.wait(60)


def test_an_answer_without_a_word_leaves_the_question_to_be_edited(server: FakeServer, tmp_path: Path) -> None:
    server.pieces, server.seconds_between_pieces, server.endless = [""], 0.05, True
    with chat_at_terminal(tmp_path, server.url) as terminal:
        terminal.wait_for_prompt()
        terminal.type("Helo" + ENTER)
        terminal.wait_for("Ctrl-C stops")  # beside the sign that the program waits
        terminal.wait_until(lambda: bool(server.requests), "the question to arrive")
        terminal.type(CTRL_C)
        terminal.wait_for("> Helo", count=2)
        server.pieces, server.endless = ["Hi."], False
        terminal.type("\x7flo" + ENTER)
        terminal.wait_for("Hi.")
        leave(terminal)
    assert questions(server) == ["Helo", "Hello"]


def test_a_conversation_is_kept_word_for_word_when_the_program_is_killed(server: FakeServer, tmp_path: Path) -> None:
    with chat_at_terminal(tmp_path, server.url, "--system", "S", "--temperature", "0.5") as terminal:
        terminal.wait_for_prompt()
        server.pieces = ["First answer."]
        terminal.type("First question" + ENTER)
        terminal.wait_for("First answer.")
        terminal.wait_for_prompt()
        server.pieces, server.seconds_between_pieces, server.endless = WORDS, 0.02, True
        terminal.type("Second question" + ENTER)
        terminal.wait_for("word25")
        terminal.kill()
        shown = re.findall(r"word\d+", terminal.text)
    server.pieces, server.seconds_between_pieces, server.endless = ["and the end."], 0, False
    with chat_at_terminal(tmp_path, "--continue") as terminal:
        terminal.wait_for("[1 earlier turn]", "> Second question", shown[-1], "/continue goes on")
        terminal.wait_for_prompt()
        terminal.type("/continue" + ENTER)
        terminal.wait_for("and the end.")
        leave(terminal)
    request = server.requests[-1]
    *earlier, partial = request["messages"]
    assert [message["content"] for message in earlier] == ["S", "First question", "First answer.", "Second question"]
    assert re.findall(r"word\d+", partial["content"])[: len(shown)] == shown
    assert request["continue_final_message"] and request["temperature"] == 0.5
    with chat_at_terminal(tmp_path, "--continue") as terminal:
        terminal.wait_for("and the end.")
        leave(terminal)


def test_a_question_that_was_killed_before_its_answer_is_a_draft(server: FakeServer, tmp_path: Path) -> None:
    server.pieces, server.seconds_between_pieces, server.endless = [""], 0.05, True
    with chat_at_terminal(tmp_path, server.url) as terminal:
        terminal.wait_for_prompt()
        terminal.type("Are you there?" + ENTER)
        terminal.wait_for("Ctrl-C stops")
        terminal.wait_until(lambda: bool(server.requests), "the question to arrive")
        terminal.kill()
    with chat_at_terminal(tmp_path, "--continue") as terminal:
        terminal.wait_for("> Are you there?")


def test_kept_conversations_are_listed_and_loaded(server: FakeServer, tmp_path: Path) -> None:
    for question in ("About cats", "About dogs"):
        server.pieces = [f"{question}: an answer."]
        with chat_at_terminal(tmp_path, server.url) as terminal:
            terminal.wait_for_prompt()
            terminal.type(question + ENTER)
            terminal.wait_for("an answer.")
            leave(terminal)
            assert "Kept: `lmcraft chat --resume " in terminal.text
    with chat_at_terminal(tmp_path, server.url) as terminal:
        terminal.wait_for_prompt()
        terminal.type("/load" + ENTER)
        terminal.wait_for("About cats", "About dogs")
        terminal.type("/load 2" + ENTER)
        terminal.wait_for("About cats: an answer.")
        terminal.wait_for_prompt()
        terminal.type("More" + ENTER)
        terminal.wait_for("About dogs: an answer.")
        leave(terminal)
    assert [message["content"] for message in server.requests[-1]["messages"]] == [
        "About cats", "About cats: an answer.", "More",
    ]  # fmt: skip
    files = list((tmp_path / "chats").iterdir())
    assert len(files) == 2 and {file.stat().st_mode & 0o777 for file in files} == {0o600}


def test_no_keep_leaves_no_trace(server: FakeServer, tmp_path: Path) -> None:
    with chat_at_terminal(tmp_path / "data", server.url, "--no-keep") as terminal:
        terminal.wait_for_prompt()
        terminal.type("Hi" + ENTER)
        terminal.wait_for("从前\n")
        leave(terminal)
        assert "Kept" not in terminal.text
    assert not (tmp_path / "data").exists()


def test_words_are_never_broken(server: FakeServer, tmp_path: Path) -> None:
    server.pieces = [piece for n in range(200) for piece in (f"wo{n}", "rd", "s ")]
    for flags in ((), ("--plain",)):
        with chat_at_terminal(tmp_path, server.url, *flags, columns=37, rows=10) as terminal:
            terminal.wait_for_prompt()
            terminal.type("Hi" + ENTER)
            terminal.wait_for("wo199rds")
            leave(terminal)
            assert [line for line in terminal.text.split() if line.startswith("wo")] == [f"wo{n}rds" for n in range(200)]


def test_thoughts_are_dim_and_stay_out_of_other_servers_prompts(server: FakeServer, tmp_path: Path) -> None:
    server.thoughts, server.pieces = ["Let me ", "think."], ["The ", "**answer**."]
    with chat_at_terminal(tmp_path, server.url) as terminal:
        terminal.wait_for_prompt()
        terminal.type("Hi" + ENTER)
        terminal.wait_for("Let me think.", "Thought for", "The answer.")
        assert b"\x1b[2mLet me" in terminal.output
        assert terminal.style_of("answer.").bold and not terminal.style_of("The answer").bold
        terminal.wait_for_prompt()
        terminal.type("More" + ENTER)
        terminal.wait_for("The answer.", count=2)
        leave(terminal)
    assert "reasoning_format" not in server.requests[0]
    answer = server.requests[1]["messages"][1]
    assert answer == {"role": "assistant", "content": "The **answer**.", "reasoning_content": "Let me think."}


def test_settings_models_and_limits(server: FakeServer, tmp_path: Path) -> None:
    server.finish_reason = "length"
    with chat_at_terminal(tmp_path, server.url, "--max-new-tokens", "2") as terminal:
        terminal.wait_for_prompt()
        terminal.type("/set temperature 0.5" + ENTER + "/set stop \\n\\n" + ENTER + "/set temperatur 1" + ENTER)
        terminal.wait_for("temperature = 0.5", "is it temperature?")
        terminal.type("/set top-p 7" + ENTER + "/set temperature hot" + ENTER + "/set min-length 3" + ENTER)
        terminal.wait_for(
            "top_p=7.0 must be above 0", "temperature='hot' is not a finite number", "there is no setting min-length"
        )
        terminal.type("Hi" + ENTER)
        terminal.wait_for("[Stopped at the limit of 2 tokens")
        terminal.type("/set max_tokens default" + ENTER + "/model #base" + ENTER)
        terminal.wait_for("max-new-tokens: as the model says", f"The model is {server.url}#base.")
        terminal.type("/model nonsense://x" + ENTER)
        terminal.wait_for("nonsense://x")
        leave(terminal)
    request = server.requests[0]
    assert request["temperature"] == 0.5 and request["stop"] == ["\n\n"] and request["max_tokens"] == 2


def test_errors_are_notices_and_leave_the_question_to_be_edited(server: FakeServer, tmp_path: Path) -> None:
    with chat_at_terminal(tmp_path, server.url) as terminal:
        terminal.wait_for_prompt()
        server.fits = 0
        terminal.type("Hi" + ENTER)
        terminal.wait_for("too long: shorten it", "> Hi\n")
        server.fits, server.broken = 9, True
        terminal.type(ENTER)
        terminal.wait_for("was cut off", "What came of the answer is kept: /continue goes on")
        terminal.wait_for_prompt()
        server.broken = False
        terminal.type("/continue" + ENTER)
        terminal.wait_for("从前\n", count=2)
        leave(terminal)


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "NO_COLOR": "1"}])
def test_poor_terminals(server: FakeServer, tmp_path: Path, environment: dict[str, str]) -> None:
    server.pieces = ["plain ", "words"]
    with chat_at_terminal(tmp_path, server.url, environment={"PYTHONCOERCECLOCALE": "0", **environment}) as terminal:
        terminal.wait_for(">")
        terminal.type("Hi" + ENTER)
        terminal.wait_for("plain words\n")
        terminal.type("/quit" + ENTER)
        assert terminal.wait_for_end() == 0 and "Traceback" not in terminal.text


def test_what_is_typed_during_an_answer_waits_for_its_end(server: FakeServer, tmp_path: Path) -> None:
    server.pieces, server.seconds_between_pieces = WORDS, 0.01
    with chat_at_terminal(tmp_path, server.url) as terminal:
        terminal.wait_for_prompt()
        terminal.type("Hi" + ENTER)
        terminal.wait_for("word5")
        terminal.type("Next" + ENTER)
        terminal.wait_for("word59", count=2)
        leave(terminal)
        assert (
            " ".join(re.findall(r"word\d+|Next", terminal.text))
            == " ".join(["".join(WORDS), "Next", "".join(WORDS)]).replace("  ", " ").strip()
        )
    assert questions(server) == ["Hi", "Next"]
