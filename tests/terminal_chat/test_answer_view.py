"""Answers on the screen of a terminal, while they grow and when they are complete."""

import io
import json
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest
from rich.console import Console

from lmcraft.terminal_chat import answer_view
from lmcraft.terminal_chat.answer_view import AnswerView
from lmcraft.terminal_chat.markdown import THEME, ChatMarkdown
from lmcraft.terminal_chat.tree import AnswerChunk

EXAMPLES = json.loads((Path(__file__).parents[1] / "server/pages/commonmark.json").read_text())
SAMPLE = """\
# Title

Hello *world* `x` [a](https://b.c "t") <b>html</b> <https://auto.link> ![pic](http://i.mg/x.png)
second line, which is **so long that it has to be broken somewhere, since no terminal** is wide enough

- a
  - b with `code`

    and more
- [x] done

7. seven
8. eight

```python
def f(a, b):
    return [i for i in range(10)]
```

| name | value |
|---|--:|
| 1 | 2 |

> quote of *someone*
> - list

The formula \\(a_1 * b * c\\) and $x*y*z$ cost $5 or $6.

\\[
a = b
- c
\\]

使用 Python 编程语言可以很方便地处理文本（例如 JSON、CSV 等格式），而且有非常丰富的第三方库，用起来也不难。
***
The end, with \x1b[2J, \x07 and a tab\t.
"""


class Screen(io.StringIO):
    """A terminal that standard output is."""

    encoding = "utf-8"

    def __init__(self, columns: int, rows: int) -> None:
        super().__init__()
        self._screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.Stream(self._screen)

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self._stream.feed(text.replace("\n", "\r\n"))
        return len(text)

    @property
    def text(self) -> str:
        columns = range(self._screen.columns)
        top = ["".join(line[column].data for column in columns) for line in self._screen.history.top]
        return "\n".join(line.rstrip() for line in [*top, *self._screen.display]).strip()


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("NO_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(answer_view, "MIN_SECONDS_BETWEEN_DRAWINGS", 0.0)
    monkeypatch.setattr(answer_view, "MAX_SHARE_OF_DRAWING", 1e9)
    yield


def show(
    pieces: list[str], monkeypatch: pytest.MonkeyPatch, *, columns: int = 60, rows: int = 500, markdown: bool = True
) -> str:
    """What the screen has after an answer in these pieces."""
    monkeypatch.setattr(sys, "stdout", screen := Screen(columns, rows))
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(rows))
    with AnswerView(draws_markdown=markdown) as view:
        for piece in pieces:
            view.add(AnswerChunk(piece))
    return screen.text


def pieces_of(text: str, seed: int) -> list[str]:
    cuts = random.Random(seed)
    pieces, start = [], 0
    while start < len(text):
        end = start + cuts.randint(1, 7)
        pieces.append(text[start:end])
        start = end
    return pieces


@pytest.mark.parametrize("markdown", [True, False])
@pytest.mark.parametrize(("columns", "rows"), [(60, 500), (60, 24), (23, 500), (200, 60)])
def test_an_answer_looks_the_same_however_it_arrives(
    columns: int, rows: int, markdown: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = show([SAMPLE], monkeypatch, columns=columns, markdown=markdown)
    for seed in range(3):
        grown = show(pieces_of(SAMPLE, seed), monkeypatch, columns=columns, rows=rows, markdown=markdown)
        assert grown == whole


def test_markdown_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (
        show([SAMPLE], monkeypatch)
        == """\
Title

Hello world x a (https://b.c "t") <b>html</b>
https://auto.link pic (http://i.mg/x.png)
second line, which is so long that it has to be broken
somewhere, since no terminal is wide enough

 • a
    • b with code
      and more
 • [x] done

 7. seven
 8. eight

```python
def f(a, b):
    return [i for i in range(10)]
```

name  value
───────────
1         2

▌ quote of someone
▌  • list

The formula \\(a_1 * b * c\\) and $x*y*z$ cost $5 or $6.

\\[
a = b
- c
\\]

使用 Python 编程语言可以很方便地处理文本（例如 JSON、CSV 等
格式），而且有非常丰富的第三方库，用起来也不难。

-----------------------------------------------------------

The end, with \\x1b[2J, \\x07 and a tab   ."""
    )


def test_plain_text_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# a *b*\n\n\n  indented\n- x"
    assert show([text], monkeypatch, markdown=False) == text


def test_no_word_of_commonmark_is_left_out() -> None:
    console = Console(file=io.StringIO(), width=300, theme=THEME)

    def draw(source: str) -> str:
        with console.capture() as capture:
            console.print(ChatMarkdown(source))
        return capture.get()

    def words(text: str) -> Counter[str]:
        return Counter("".join(re.findall(r"[a-z]+", text.lower())))

    for _, source, _ in EXAMPLES:
        without_entities = re.sub(r"&#?\w+;", "", source)
        assert words(without_entities) <= words(draw(source)), source


def test_code_that_was_cut_off_goes_on_as_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", screen := Screen(60, 40))
    with AnswerView(draws_markdown=True, begun="Look:\n\n```python\ndef f(*a") as view:
        for piece in (", **b", "):\n", "    pass\n```\n"):
            view.add(AnswerChunk(piece))
    assert screen.text == "```python\ndef f(*a, **b):\n    pass\n```"


def test_a_text_that_takes_long_to_parse_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answer_view, "MAX_DRAWING_SECONDS", 0.0)
    assert show(["*a* ", "*b*\n\n", "# c"], monkeypatch) == "*a* *b*\n\n# c"


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b]0;title\x07\x1b[2J\x1bc\x9b31m",
        "[" * 3000,
        "> " * 300 + "x",
        "- " * 200 + "x",
        "*" * 5000,
        "`" * 999 + "x",
        "|" * 500 + "\n" + "|-" * 500 + "|",
        "$" * 2000,
        "\\(" * 800,
        "a\u202eb\u2066c\u200b\ufeff",
        "\ud800 half a pair",
        "x" * 10_000,
        "[a](javascript:alert(1)) ![](data:text/html,x)",
        "```no-such-language\nx\n",
        "```\x1b[31m\nx",
        "[bold]rich[/bold] :smile: [link=http://x]y[/link]",
        "\x1f\x1e\x1d",
        "&#27;[31m &#x9b;2J &NewLine; &#7;",
    ],
)
def test_hostile_answers_are_text(hostile: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for markdown in (True, False):
        pieces = pieces_of(hostile, 1) if len(hostile) < 500 else [hostile[:100], hostile[100:]]
        screen = show(pieces, monkeypatch, markdown=markdown, rows=60)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", screen)
