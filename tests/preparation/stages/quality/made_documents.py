"""Documents that try every rule of quality, made from a seed: English and Chinese pages, lists, menus and repetitions."""

import random
import re
from collections.abc import Callable, Sequence
from functools import cache

ENGLISH = re.findall(
    r"\w+",
    "the of and to that with have be a in is was for on it as river mountain letter winter house people morning road story "
    "water garden question answer council paper history village window teacher market engine number evening island forest",
)
ODD = [
    *("#", "...", "…", "--", "•", "don't", "3.14", "os.path", "1,000", "x_y"),
    *("café", "naïve", "2024", "(", ")", '"so"', "★★", "—"),
]
CHINESE = "的年在月是和日了有被人中为他也而由山水风云天地春秋花月夜江城路门书信问答船马车桥楼树石"
LINES = [
    "We use cookies on this site to make it better for you.",
    "Please enable JavaScript in your browser to see the page.",
    "Home",
    "Read more ...",
    "- a point of the list that is short",
    "• another point that has a bullet",
    "As the report says [1] the council [edit] met again [citation needed].",
    "See our privacy policy and the terms of use for details.",
    "lorem ipsum dolor sit amet and so on to the end",
    "if (x) { return y; }",
    "one {",
    "   ",
    "",
    "and so it went on…",
    "What was the question?",
    "A word of many letters: " + "x" * 1001,
]


def english_sentence(draw: random.Random) -> str:
    """Words with a capital letter and a full stop."""
    words = draw.choices(ENGLISH, k=draw.randint(3, 18))
    for _ in range(draw.choice((0, 0, 0, 1, 2))):
        words.insert(draw.randrange(len(words) + 1), draw.choice(ODD))
    return " ".join(words).capitalize() + draw.choice((".", ".", ".", "!", "?", "...", ""))


def chinese_sentence(draw: random.Random) -> str:
    """Clauses of characters with marks between them."""
    clauses = ("".join(draw.choices(CHINESE, k=draw.randint(3, 12))) for _ in range(draw.randint(1, 4)))
    return "，".join(clauses) + draw.choice("。。。！？；") + draw.choice(("", "", "", "Linux 6.1", "（2024）", "……"))


@cache
def make_document(number: int) -> tuple[str, str]:
    """The language of a document, en or zh, and its text."""
    draw = random.Random(number)
    language = "zh" if number % 3 == 2 else "en"
    sentence: Callable[[random.Random], str] = chinese_sentence if language == "zh" else english_sentence
    stock = [sentence(draw) for _ in range(draw.choice((2, 6, 40, 200)))]
    joiner = draw.choice((" ", "\n", "\n\n", "\n\n\n")) if language == "en" else draw.choice(("", "\n", "\n\n"))
    parts: list[str] = []
    for _ in range(draw.choice((1, 8, 20, 40, 90))):
        parts.append(_part(draw, stock, sentence))
    text = _in_style(draw, joiner.join(parts))
    return language, draw.choice((text, text + "\n", "\n" + text, text.replace(". ", ".\n"))) or "the end"


def _in_style(draw: random.Random, text: str) -> str:
    """The text as it is, as a list, with numbers or signs among the words, or without its small words."""
    style = draw.choice(
        ("prose", "prose", "prose", "list", "numbers", "signs", "dots", "content words", "long words", "refrain")
    )
    if style == "list":
        return "\n".join(f"- {line}" for line in text.split("\n"))
    if style in ("numbers", "signs", "dots"):
        sign = {"numbers": " 12 34", "signs": " #", "dots": "..."}[style]
        return " ".join(word + (sign if draw.random() < 0.4 else "") for word in text.split(" "))
    if style == "long words":
        return "\n".join("".join(draw.choices("abcdefgh", k=40)) + "." for _ in range(20))
    if style == "refrain":
        return "\n\n".join([f"verse {n} {draw.random()}" for n in range(9)] + [text[:300]] * 2)
    if style == "content words":
        return " ".join(word for word in text.split(" ") if len(word) > 4)
    return text


def _part(draw: random.Random, stock: Sequence[str], sentence: Callable[[random.Random], str]) -> str:
    chance = draw.random()
    if chance < 0.15:
        return draw.choice(LINES)
    if chance < 0.5:
        return draw.choice(stock)
    return " ".join(sentence(draw) for _ in range(draw.randint(1, 6)))
