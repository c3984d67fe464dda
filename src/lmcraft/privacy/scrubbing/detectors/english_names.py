"""English names: a given name and a surname from lists, or capitalized words next to a title or a cue."""

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

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
LABEL = re.compile(
    r"(?:\b(?:(?:full |first |last |middle |given |family |user |legal |maiden |contact |customer |patient |"
    r"employee |client |account )?name|from|to|cc|bcc|attn|attention|patient|employee|customer|client|"
    r"applicant|contact|holder|cardholder|tenant|landlord|owner|author|signed|signature|by|sender|recipient|"
    r"beneficiary|manager|agent|buyer|seller|student|teacher|doctor|physician|nurse|witness|"
    r"ship to|bill to|deliver to|sold to|traveler|traveller|passenger|guest|member|driver|insured|payee|user|"
    r"borrower|emergency contact|next of kin|spouse|parent|guardian|supervisor|interviewer|candidate)"
    r"[\"'”]?\s*(?:[:=]|is|was)\s*[\"'“<]?)\Z",
    re.IGNORECASE,
)
CUE = re.compile(
    r"(?:\b(?:dear|hi|hello|hey|greetings|good (?:morning|afternoon|evening)|thanks|thank you|regards|sincerely|"
    r"best|cheers|yours|wishes|truly|love|respectfully|faithfully)[,!]?\s+|"
    r"\b(?:my name is|name is|name's|i am|i'm|this is|call me|named|called|signed by|sincerely,|ask for|speak (?:to|"
    r"with)|talk to|meet|contact|patient|employee|customer|client|tenant|landlord|owner is|holder|"
    r"cardholder|passenger|traveler|attn|attention|c/o|issued to|belongs to|registered to|residing|between|officer|"
    r"witness|colleague|coworker|neighbor|boss|husband|wife|son|daughter|brother|sister|mother|father|"
    r"friend|nurse|doctor|student|teacher|agent|manager|assistant|secretary|applicant|defendant|plaintiff|mr|mrs|ms|"
    r"dr)[,:]? )\Z",
    re.IGNORECASE,
)
GREETING = re.compile(
    r"\b(?:dear|hi|hello|hey|thanks|regards|sincerely|cheers|wishes|best|yours|love|i'm|i am|this is|my name is|"
    r"call me)[,!]?\s+\Z",
    re.IGNORECASE,
)
SYLLABLE = (
    "(?:zh|ch|sh|[bpmfdtnlgkhjqxrzcsyw])?(?:iang|iong|uang|ang|eng|ing|ong|ian|iao|uan|uai|ai|ei|ao|ou|an|en|"
    "in|un|ia|ie|iu|ua|ui|uo|ue|er|a|o|e|i|u|v)"
)
PINYIN_GIVEN = re.compile(rf"{SYLLABLE}(?:['-]?{SYLLABLE})?", re.IGNORECASE)
PINYIN_SURNAMES = frozenset(read_words("pinyin-surnames.txt"))
MAX_WORDS = 5
HINTS = frozenset(read_words("hints.en.txt"))
"""The last words of cues and labels."""
HINT_SIGNS = " \"'“<\n\t,!:="
MAX_HINT_CHARS = 24


def find_english_names(text: str) -> Iterator[Finding]:
    """Names in English texts, and Chinese names in pinyin."""
    first_names, skipped = _given(), NOT_NAMES - _given()
    stop = 0
    for word in WORD.finditer(text):
        start = word.start()
        if start < stop or word[0] in skipped:
            continue
        form = _plain(word[0])
        is_title = form in TITLES
        if not (is_title or form in first_names or _may_be_pinyin(form) or _has_hint(text, start)):
            continue
        words = _sequence(text, word)
        forms = [_plain(word[0]) for word in words]
        first = int(is_title)
        size = _name_size(text, words, forms, first)
        if size:
            stop = words[first + size - 1].end()
            yield Finding("name", words[first].start(), stop - 2 * words[first + size - 1][0].endswith(("'s", "’s")))


def _has_hint(text: str, start: int) -> bool:
    """Whether the last word before a position may be a cue."""
    before = text[max(0, start - MAX_HINT_CHARS) : start].rstrip(HINT_SIGNS)
    first = len(before)
    while first and before[first - 1].isalpha():
        first -= 1
    return before[first:].lower() in HINTS


@lru_cache(maxsize=65536)
def _may_be_pinyin(word: str) -> bool:
    return word in PINYIN_SURNAMES or (len(word) > 3 and PINYIN_GIVEN.fullmatch(word) is not None)


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
    return _announced_size(text[max(0, start - 40) : start], rest, limit)


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


def _announced_size(before: str, forms: Sequence[str], limit: int) -> int:
    """How many words are a name because of what stands before."""
    first_names, surnames = _given(), _surnames()
    if LABEL.search(before):
        return min(limit, 3) if limit > 1 or forms[0] in first_names or forms[0] in surnames else 0
    if not CUE.search(before):
        return 0
    if limit >= 2:
        is_known = forms[0] in first_names or forms[1] in surnames or forms[limit - 1] in surnames
        return min(limit, 3) if is_known else 0
    is_known = forms[0] in first_names or forms[0] in surnames
    return 1 if limit == len(forms) and is_known and GREETING.search(before) else 0


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
