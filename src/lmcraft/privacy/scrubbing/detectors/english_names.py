"""English names: a given name and a surname from lists, or capitalized words next to a title or a cue."""

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from typing import Literal

from lmcraft.privacy.scrubbing.kinds import Finding
from lmcraft.privacy.scrubbing.tables import read_words

UPPER, LETTER = "A-Z\u00c0-\u00de", "A-Za-z\u00c0-\u024f"
WORD = re.compile(rf"[{UPPER}](?<![{LETTER}0-9_@/.#-].)[{LETTER}]*+(?:['’-][{LETTER}]++)*+")
GAP = re.compile(r" |\. (?=[A-Z])|\.")
PARTICLES = re.compile(
    r" (?:(?:van der|van den|van|von|de la|de|del|della|da|dos|di|du|bin|ibn|al|el|la|le|ter|ten|"
    r"zu) )"
)
TITLES = frozenset(read_words("titles.en.txt"))
AMBIGUOUS = frozenset(read_words("ambiguous.en.txt"))
NOT_NAMES = frozenset(read_words("not-names.en.txt"))
PLACES = frozenset(read_words("places.en.txt"))
LABELS, CUES, GREETINGS = (frozenset(read_words(f"{name}.en.txt")) for name in ("labels", "cues", "greetings"))
"""Words before a name: with a colon or "is", in a sentence, in a letter. Pairs of words have an underscore between them."""
LABEL_SIGNS, QUOTES = (":", "="), " \"'“”<\n\t"
MAX_CELL_CHARS = 24
MAX_CUE_CHARS, MAX_CUE_WORD_CHARS = 32, 16
LAST_WORDS = frozenset(word.rpartition("_")[2] for word in CUES | GREETINGS) | {"is", "was"}
CUE_ENDS = frozenset(",:=!\n ")
CELL_STARTS, CELL_ENDS = frozenset('\n,\t;|"'), frozenset(',\t;|"')
Announcement = Literal["", "label", "cue", "greeting"]
"""What stands before a name."""
SYLLABLE = (
    "(?:zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])?(?:iang|iong|uang|ang|eng|ing|ong|ian|iao|uan|uai|ai|ei|ao|ou|an|en|"
    "in|un|ia|ie|iu|ua|ui|uo|ue|er|a|o|e|i|u|v)"
)
PINYIN_GIVEN = re.compile(rf"{SYLLABLE}(?:['-]?{SYLLABLE})?", re.IGNORECASE)
PINYIN_SURNAMES = frozenset(read_words("pinyin-surnames.txt"))
MAX_WORDS = 5


def find_english_names(text: str) -> Iterator[Finding]:
    """Names in English texts, and Chinese names in pinyin."""
    stop = 0
    for word in WORD.finditer(text):
        role = _role(word[0])
        start = word.start()
        if role == "none" or start < stop:
            continue
        if role == "other" and not (_starts_cell(text, start, word.end()) or _announcement(text, start)):
            continue
        words = _sequence(text, word)
        forms = [_plain(word[0]) for word in words]
        first = int(role == "title")
        size = _name_size(text, words, forms, first)
        if size:
            stop = words[first + size - 1].end()
            yield Finding("name", words[first].start(), stop - 2 * words[first + size - 1][0].endswith(("'s", "’s")))


def _announcement(text: str, start: int) -> Announcement:
    """What kind of words stand before a position."""
    sign = text[start - 1 : start]
    if sign == " ":
        first = text.rfind(" ", max(0, start - MAX_CUE_WORD_CHARS), start - 1) + 1 or max(0, start - MAX_CUE_WORD_CHARS)
        last = text[first : start - 1]
        if last.isalpha() and last.lower() not in LAST_WORDS:
            return ""
    elif sign not in QUOTES or not sign or (sign == "\n" and text[start - 2 : start - 1] not in CUE_ENDS):
        return ""
    before = text[max(0, start - MAX_CUE_CHARS) : start].rstrip(QUOTES)
    if before.endswith(LABEL_SIGNS):
        words = before[:-1].rstrip(QUOTES).rsplit(None, 1)
        return "label" if words and _last_letters(words[-1]) in LABELS else ""
    words = before.split()
    if not words or not sign.isspace():
        return ""
    last = words[-1].strip(",!:.\"'(").lower()
    pair = f"{words[-2].strip(',!:.').lower()}_{last}" if len(words) > 1 else ""
    if last in GREETINGS or pair in GREETINGS:
        return "greeting"
    if last in ("is", "was") and _last_letters(words[-2] if len(words) > 1 else "") in LABELS:
        return "label"
    return "cue" if last in CUES or pair in CUES else ""


def _last_letters(word: str) -> str:
    first = len(word)
    while first and word[first - 1].isalpha():
        first -= 1
    return word[first:].lower()


@lru_cache(maxsize=65536)
def _role(word: str) -> Literal["title", "first", "other", "none"]:
    """What a capitalized word can be: a title, the first word of a name by lists or pinyin, or by what stands before it."""
    form = _plain(word)
    if form in TITLES:
        return "title"
    is_pinyin = form in PINYIN_SURNAMES or (len(form) > 3 and PINYIN_GIVEN.fullmatch(form) is not None)
    if form in _given() or (is_pinyin and form not in NOT_NAMES):
        return "first"
    return "none" if form in NOT_NAMES else "other"


def _sequence(text: str, first: re.Match[str]) -> list[re.Match[str]]:
    """The capitalized words that follow each other, with initials and particles between."""
    words = [first]
    while len(words) < MAX_WORDS:
        end = words[-1].end()
        gap = PARTICLES.match(text, end)
        if gap is None:
            gap = GAP.match(text, end)
            is_short = end - words[-1].start() == 1 or words[-1][0] in TITLES
            if gap is None or (gap[0] != " " and not is_short):
                break
        word = WORD.match(text, gap.end())
        if word is None:
            break
        words.append(word)
    return words


def _name_size(text: str, words: Sequence[re.Match[str]], forms: Sequence[str], position: int) -> int:
    """How many of the words from a position on are a name."""
    rest = list(forms[position:])
    limit = _limit(text, words[position:], rest) if rest else 0
    if position and rest and not limit and rest[0] in _surnames() - TITLES:
        return 1  # Mr. King
    if not limit:
        return 0
    start = words[position].start()
    if position and forms[position - 1] in TITLES:
        return min(limit, 3)
    size = _listed_size(rest, limit)
    if size:
        return size
    if limit >= 2 and _is_pinyin(rest[0], rest[1]):
        return 2
    if limit == len(rest) == 2 and rest[1] in _surnames() - PLACES and _is_cell(text, start, words[-1].end()):
        return 2
    return _announced_size(_announcement(text, start), rest, limit)


def _limit(text: str, words: Sequence[re.Match[str]], forms: Sequence[str]) -> int:
    """The number of words before the first that is in no name."""
    first_names, surnames = _given(), _surnames()
    for number, (word, form) in enumerate(zip(words, forms, strict=True)):
        if form in TITLES:
            return number
        is_initial = number > 0 and len(form) == 1 and text[word.end() : word.end() + 1] == "."
        is_surname = number > 0 and form in surnames and form not in PLACES and (forms[0] in first_names or number > 1)
        if form in NOT_NAMES and not is_initial and not is_surname:
            return number
    return len(forms)


def _listed_size(forms: Sequence[str], limit: int) -> int:
    """How many words are a name by the lists: a given name, initials and more given names, a surname."""
    first_names, surnames = _given(), _surnames()
    if limit < 2 or forms[0] not in first_names:
        return 0
    last = 1
    while last < limit - 1 and (len(forms[last]) == 1 or (forms[last] in first_names and forms[last + 1] in surnames)):
        last += 1
    is_ambiguous, ends_early = forms[0] in AMBIGUOUS, limit < len(forms)
    if last > 1 or forms[last] in surnames:
        is_other = ends_early and limit == last + 1 and is_ambiguous
        is_weak = is_ambiguous and forms[last] in NOT_NAMES and last == 1
        return 0 if is_other or is_weak else last + 1
    if is_ambiguous or ends_early or len(forms[last]) < 3 or forms[last].isupper():
        return 0
    return last + 1


def _starts_cell(text: str, start: int, stop: int) -> bool:
    """Whether a word starts a cell of a table that has another word."""
    if text[start - 1 : start] not in CELL_STARTS or text[stop : stop + 1] != " ":
        return False
    return not CELL_ENDS.isdisjoint(text[stop : stop + MAX_CELL_CHARS])


def _is_cell(text: str, start: int, stop: int) -> bool:
    """Whether a passage is all of a cell of a table, or all of a string."""
    return text[start - 1 : start] in CELL_STARTS and text[stop : stop + 1] in CELL_ENDS


def _announced_size(announcement: Announcement, forms: Sequence[str], limit: int) -> int:
    """How many words are a name because of what stands before."""
    first_names, surnames = _given(), _surnames()
    is_listed = forms[0] in first_names or forms[0] in surnames
    if announcement == "label":
        return min(limit, 3) if limit > 1 or is_listed else 0
    if announcement and limit >= 2:
        return min(limit, 3) if is_listed or forms[1] in surnames or forms[limit - 1] in surnames else 0
    return int(announcement == "greeting" and limit == len(forms) and is_listed)


def _is_pinyin(first: str, second: str) -> bool:
    if first in PINYIN_SURNAMES and PINYIN_GIVEN.fullmatch(second) and len(second) > 1:
        return second not in PINYIN_SURNAMES or len(second) < 6
    return (
        second in PINYIN_SURNAMES
        and len(first) > 3
        and PINYIN_GIVEN.fullmatch(first) is not None
        and first.lower() not in ENGLISH_PINYIN
    )


ENGLISH_PINYIN = frozenset(["change", "gone", "bone", "done", "none", "dance"])


@lru_cache(maxsize=65536)
def _plain(word: str) -> str:
    """A word as lists have it: "SMITH" and "Smith's" are "Smith"."""
    word = word.removesuffix("'s").removesuffix("’s")
    return word.capitalize() if len(word) > 3 and word.isupper() else word


@cache
def _given() -> frozenset[str]:
    return frozenset(read_words("given.en.txt"))


@cache
def _surnames() -> frozenset[str]:
    return frozenset(read_words("surnames.en.txt"))
