"""Junk to plant among good documents: boilerplate, garbled encodings, spam and repeated pages, in English and Chinese.

All of it follows from the seed. The two halves share no template (junk_phrases.toml), no good document, and only the kinds
of garbling, of which there are no more. Nothing here knows the rules of a filter.

python benchmarks/preparation/junk_generator.py --count 20 --seed 0 --half tuning     prints junk to read
"""

import argparse
import random
import re
import string
import sys
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from benchmarks.preparation.corpora import Document, Half, Language, good_documents, shingles_of

PHRASES = tomllib.loads((Path(__file__).parent / "junk_phrases.toml").read_text(encoding="utf-8"))
SLOT = re.compile(r"\{(\w+)\}")
FAMILIES = ("boilerplate", "garbled", "spam", "repeated")
BOILERPLATE = {  # lists of a page's lines: fewest and most
    "menu": {"menu": (25, 90), "share": (0, 4)},
    "cookies": {"cookies": (7, 15)},
    "missing": {"missing": (5, 12), "menu": (0, 15), "footer": (0, 4)},
    "footer": {"footer": (8, 16), "share": (2, 6), "menu": (0, 20)},
    "login": {"login": (10, 16), "menu": (0, 12), "footer": (0, 4)},
    "listing": {"menu": (4, 15), "listing": (15, 50), "footer": (1, 4)},
    "archive": {"menu": (4, 15), "archive": (15, 60), "share": (0, 4), "footer": (0, 3)},
}
SPAM = {"stuffing": ("stuffed", (6, 40)), "links": ("link", (10, 60)), "offers": ("offer", (5, 20))}
COPIES = (2, 3, 4, 6, 12, 30)  # of a repeated page
MIN_SIMILARITY = 0.82  # Jaccard of a copy and its page: below 0.8 two pages count as different


@dataclass(frozen=True)
class Junk:
    """A planted document."""

    family: str
    variant: str
    language: Language
    text: str
    origin: str = ""  # key of the good document that was garbled or repeated


class Writer:
    """Draws pages in one language from one half of the templates."""

    def __init__(self, language: Language, half: Half, draw: random.Random) -> None:
        self.language, self.draw = language, draw
        begin = 0 if half == "tuning" else 1
        self.lists: dict[str, list[str]] = {name: entries[begin::2] for name, entries in PHRASES[language].items()}
        self.values: dict[str, Callable[[], str]] = {
            "phone": self._phone,
            "url": self._url,
            "domain": self._domain,
            "email": lambda: f"{self._handle()}@{self._domain()}",
            "price": self._price,
            "date": self._date,
            "year": lambda: str(draw.randint(1998, 2025)),
            "count": lambda: str(draw.choice((draw.randint(2, 30), draw.randint(10, 999)))),
            "handle": self._handle,
            "qq": lambda: str(draw.randint(10**6, 10**10)),
            "wechat": lambda: draw.choice(("wx", "v", "")) + self._handle(),
        }

    def fill(self, template: str) -> str:
        """The template with its slots filled in."""
        while match := SLOT.search(template):
            name = match[1]
            value = self.values[name]() if name in self.values else self.draw.choice(self.lists[name])
            template = template[: match.start()] + value + template[match.end() :]
        return template

    def lines(self, name: str, fewest: int, most: int) -> list[str]:
        """Lines from a list: all different while it lasts."""
        count, entries = self.draw.randint(fewest, most), self.lists[name]
        drawn: list[str] = []
        while len(drawn) < count:
            drawn += self.draw.sample(entries, min(len(entries), count - len(drawn)))
        return [self.fill(line) for line in drawn]

    def boilerplate(self, variant: str) -> str:
        """A page without content; sometimes its blocks are one line each."""
        blocks = [self.lines(name, *bounds) for name, bounds in BOILERPLATE[variant].items()]
        joiner = self.draw.choice(("\n", "\n", "\n", " | ", " ", "\n\n"))
        if self.draw.random() < 0.5:
            self.draw.shuffle(blocks)
        return "\n".join(joiner.join(block) for block in blocks if block) + "\n"

    def spam(self, variant: str) -> str:
        """A page that sells something."""
        name, bounds = SPAM[variant]
        lines = self.lines(name, *bounds)
        if self.draw.random() < 0.3:
            lines = [line.upper() if self.draw.random() < 0.3 else line for line in lines]
        if self.draw.random() < 0.3:
            lines += self.lines("menu", 3, 10)
        space = "" if self.language == "zh" else " "
        return self.draw.choice(("\n", "\n", "\n\n", space)).join(lines) + "\n"

    def _handle(self) -> str:
        consonants, vowels = "bcdfghjklmnprstvz", "aeiou"
        syllables = (self.draw.choice(consonants) + self.draw.choice(vowels) for _ in range(self.draw.randint(2, 4)))
        return "".join(syllables) + self.draw.choice(("", "", str(self.draw.randint(1, 9999))))

    def _domain(self) -> str:
        end = self.draw.choice((".com", ".net", ".org", ".info", ".biz", ".top", ".xyz", ".cn", ".co.uk", ".ru"))
        return self._handle() + self.draw.choice(("", "-shop", "-online", "24", "hub", "bet")) + end

    def _url(self) -> str:
        begin = self.draw.choice(("http://", "https://", "www.", "http://www.", ""))
        end = self.draw.choice(
            ("", "/", "/index.html", f"/?id={self.draw.randint(1, 9999)}", f"/{self._handle()}/{self._handle()}")
        )
        return begin + self._domain() + end

    def _phone(self) -> str:
        digits = "".join(self.draw.choices(string.digits, k=8))
        if self.language == "zh":
            number = self.draw.choice(("138", "159", "186", "177")) + digits
            wide = number.translate(str.maketrans(string.digits, "０１２３４５６７８９"))
            return self.draw.choice(
                (number, f"{number[:3]}-{number[3:7]}-{number[7:]}", f"400-{digits[:3]}-{digits[3:7]}", wide)
            )
        return self.draw.choice(
            (
                f"1-800-555-{digits[:4]}",
                f"(202) 555-{digits[:4]}",
                f"+44 20 7946 0{digits[:3]}",
                f"555.0{digits[:2]}.{digits[:4]}",
            )
        )

    def _price(self) -> str:
        amount = self.draw.choice((self.draw.randint(3, 99), self.draw.randint(100, 999)))
        return (
            f"￥{amount}"
            if self.language == "zh"
            else f"{self.draw.choice('$$£€')}{amount}{self.draw.choice(('', '.99', '.00'))}"
        )

    def _date(self) -> str:
        year, month, day = self.draw.randint(2001, 2025), self.draw.randint(1, 12), self.draw.randint(1, 28)
        if self.language == "zh":
            return self.draw.choice(
                (f"{year}年{month}月{day}日", f"{year}-{month:02}-{day:02}", f"{month:02}-{day:02} 12:{day:02}")
            )
        return self.draw.choice((f"{month:02}/{day:02}/{year}", f"{year}-{month:02}-{day:02}", f"{day}.{month}.{year}"))


def _with_typographic_marks(text: str) -> str:
    """English as word processors write it: what a wrong encoding garbles."""
    text = re.sub(r"(?<=\w)'", "’", text).replace("--", "—").replace("...", "…")
    return re.sub(r'"([^"\n]*)"', "“\\1”", text)


def _drop_bytes(data: bytes, draw: random.Random) -> bytes:
    """The bytes without one in every 5 to 30."""
    kept, position = bytearray(), 0
    while position < len(data):
        step = draw.randint(5, 30)
        kept += data[position : position + step]
        position += step + 1
    return bytes(kept)


ENGLISH_GARBLING: dict[str, Callable[[str, random.Random], str]] = {
    "UTF-8 as cp1252": lambda text, _: _with_typographic_marks(text).encode().decode("cp1252", "replace"),
    "UTF-8 as Latin-1": lambda text, _: _with_typographic_marks(text).encode().decode("latin-1"),
    "UTF-8 as cp1252, twice": lambda text, _: (
        _with_typographic_marks(text).encode().decode("cp1252", "replace").encode().decode("cp1252", "replace")
    ),
    "UTF-8 as GBK": lambda text, _: _with_typographic_marks(text).encode().decode("gbk", "replace"),
    "cp1252 as UTF-8": lambda text, _: _with_typographic_marks(text).encode("cp1252", "replace").decode("utf-8", "replace"),
    "UTF-16 as Latin-1": lambda text, _: text.encode("utf-16").decode("latin-1"),
    "ASCII as UTF-16": lambda text, _: text.encode("ascii", "replace")[: len(text) // 2 * 2].decode("utf-16-le", "replace"),
    "compressed as Latin-1": lambda text, draw: draw.randbytes(len(text)).decode("latin-1"),
}
CHINESE_GARBLING: dict[str, Callable[[str, random.Random], str]] = {
    "UTF-8 as cp1252": lambda text, _: text.encode().decode("cp1252", "replace"),
    "UTF-8 as Latin-1": lambda text, _: text.encode().decode("latin-1"),
    "UTF-8 as GBK": lambda text, _: text.encode().decode("gbk", "replace"),
    "GBK as Latin-1": lambda text, _: text.encode("gbk", "replace").decode("latin-1"),
    "GBK as UTF-8": lambda text, _: text.encode("gbk", "replace").decode("utf-8", "replace"),
    "Big5 as GBK": lambda text, _: text.encode("big5", "ignore").decode("gbk", "replace"),
    "truncated UTF-8": lambda text, draw: _drop_bytes(text.encode(), draw).decode("utf-8", "replace"),
    "锟斤拷": lambda text, draw: (
        _drop_bytes(text.encode(), draw).decode("utf-8", "replace").encode().decode("gbk", "replace")
    ),
    "question marks": lambda text, _: text.encode("ascii", "replace").decode(),
}
GARBLING = {"en": ENGLISH_GARBLING, "zh": CHINESE_GARBLING}


def _slightly_changed(text: str, writer: Writer) -> str:
    """A copy as sites serve it: with another date, counter, menu or footer."""
    original = set(shingles_of(text))
    while True:
        head = writer.lines("archive", 0, 2) + writer.lines("menu", 0, 3)
        copy = "\n".join([*head, text.rstrip("\n"), *writer.lines("footer", 0, 3)]) + "\n"
        shingles = set(shingles_of(copy))
        if len(original & shingles) >= MIN_SIMILARITY * len(original | shingles):
            return copy


def repeated(good: Sequence[Document], writer: Writer, count: int) -> list[Junk]:
    """Copies of good documents that remain in the corpus: exact or with another head and foot, `count` in all."""
    copies: list[Junk] = []
    long_enough = [document for document in good if len(document.text.encode()) > 1500]
    while len(copies) < count:
        document = writer.draw.choice(long_enough)
        for _ in range(min(writer.draw.choice(COPIES), count - len(copies))):
            exact = writer.draw.random() < 0.5
            text = document.text if exact else _slightly_changed(document.text, writer)
            copies.append(Junk("repeated", "exact" if exact else "changed", writer.language, text, document.key))
    return copies


def garbled(spare: Sequence[Document], writer: Writer, count: int) -> list[Junk]:
    """Documents, each read with a wrong encoding; `spare` are not in the corpus otherwise."""
    chosen = writer.draw.sample(list(spare), min(count, len(spare)))
    junk = []
    for number, document in enumerate(chosen):
        variant = list(GARBLING[writer.language])[number % len(GARBLING[writer.language])]
        text = GARBLING[writer.language][variant](document.text[:20_000], writer.draw)
        if text != document.text:
            junk.append(Junk("garbled", variant, writer.language, text, document.key))
    return junk


@cache
def good_and_spare(half: Half) -> tuple[tuple[Document, ...], tuple[Document, ...]]:
    """The good documents of a half, and a sixth of them, prose and web, that are only garbled."""
    good, spare = [], []
    for number, document in enumerate(good_documents(half)):
        is_spare = number % 6 == 0 and document.kind != "code"
        (spare if is_spare else good).append(document)
    return tuple(good), tuple(spare)


def generate(language: Language, half: Half, count: int, seed: int) -> list[Junk]:
    """Junk in a language: about a quarter of each family, of which variants are equally frequent."""
    writer = Writer(language, half, random.Random(f"{seed} {language} {half}"))
    good, spare = ([document for document in part if document.language == language] for part in good_and_spare(half))
    junk = [
        Junk("boilerplate", variant, language, writer.boilerplate(variant))
        for number in range(count // 4)
        for variant in [list(BOILERPLATE)[number % len(BOILERPLATE)]]
    ]
    junk += [
        Junk("spam", variant, language, writer.spam(variant))
        for number in range(count // 4)
        for variant in [list(SPAM)[number % len(SPAM)]]
    ]
    return [*junk, *garbled(spare, writer, count // 4), *repeated([d for d in good if d.kind != "code"], writer, count // 4)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20, help="documents of each language")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--half", choices=("tuning", "reported"), default="tuning", help="look at the tuning half only")
    arguments = parser.parse_args()
    for language in ("en", "zh"):
        for junk in generate(language, arguments.half, arguments.count, arguments.seed):
            print(f"=== {junk.language} {junk.family}: {junk.variant} {junk.origin}\n{junk.text[:600]}")


if __name__ == "__main__":
    main()
