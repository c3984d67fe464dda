"""Chinese names: a surname and characters of given names where a name explains the text better than ordinary words do.

Around each surname, the most probable way to cut the text into words and one name is compared with the most probable way
to cut it into words alone (a unigram model, as word segmentation has it). What stands before and after, such as "姓名：" or
"先生", adds to the name. Windows are short, so the time is linear in the text.
"""

import math
import re
from collections.abc import Iterator
from functools import cache

from lmcraft.privacy.scrubbing.kinds import Finding
from lmcraft.privacy.scrubbing.tables import chinese_words, given_name_characters, read_words

HAN = re.compile("[\u4e00-\u9fff]{2,}")
BEFORE_CHARS, AFTER_CHARS = 4, 5
UNKNOWN_CHARACTER, UNKNOWN_GIVEN = math.log(2e-8), math.log(4e-7)
COMPOUND_SURNAME = math.log(1e-3)
NAME_PRIOR = math.log(2e-3)
ONE_GIVEN, TWO_GIVEN = math.log(0.2), math.log(0.8)
MIN_MARGIN = 2.0
ROLES = "|".join(sorted(read_words("roles.zh.txt"), key=len, reverse=True))
ROLE_END = re.compile(rf"(?:{ROLES})\Z")
LABEL_END = re.compile(rf"(?:{ROLES}|name|user|username)[（(]?[^：:\n]{{0,6}}?[)）]?[\"'”]?\s*[：:=]\s*[\"'“]?\Z")
TITLE = re.compile(
    "先生|女士|小姐|太太|夫人|同学|同志|老师|教授|医生|大夫|医师|护士|律师|法官|检察官|经理|总经理|主管|主任|总监|总裁|董事|院长|校长|局长|处长|科长|书记|"
    "市长|县长|博士|师傅|阿姨|叔叔|伯伯|爷爷|奶奶|哥|姐|您好|你好|本人|等人|一家|夫妇|父子|母女|女，|男，|（男|（女|\\(男|\\(女|，男|，女|,男|,女"
)
VERB_END = re.compile(
    r"(?:委托|通知|告知|联系|转告|转交|邀请|感谢|祝贺|任命|聘请|授权|起诉|指派|安排|邀|派|聘|感谢|采访|"
    r"询问|问|告诉|陪|娶|嫁|寄给|交给|发给|转给|付给|还给|代替)\Z"
)
LEADING = frozenset("和与跟由请找给对让叫是向及同为于至、及被替帮问将把")
TRAILING = frozenset("说的在于因和与是向已、也把被对从来去到就便将及曾表告称")
SIGNS_BEFORE = frozenset("，。；：、！？“「《（(【[,:;\"'\t\n|>= ")
SIGNS_AFTER = frozenset("，。；：、！？”」》）)】],:;\"'\t\n|< ")


def find_chinese_names(text: str) -> Iterator[Finding]:
    """Names of Chinese people."""
    rejected: dict[str, list[int]] = {}
    accepted: set[str] = set()
    last: tuple[float, Finding] | None = None
    for match in _surname_pattern().finditer(text):
        start = match.start()
        name = _best_name(text, start)
        if name is None:
            continue
        length, margin = name
        if margin < MIN_MARGIN:
            if length > 2:
                rejected.setdefault(text[start : start + length], []).append(start)
            continue
        if last is not None and start >= last[1].stop:
            accepted.add(text[last[1].start : last[1].stop])
            yield last[1]
        elif last is not None and margin <= last[0]:
            continue
        last = margin, Finding("name", start, start + length)
    if last is not None:
        accepted.add(text[last[1].start : last[1].stop])
        yield last[1]
    for passage in accepted & rejected.keys():
        for start in rejected[passage]:
            yield Finding("name", start, start + len(passage))


def _best_name(text: str, start: int) -> tuple[int, float] | None:
    """The length of the best name that starts with a surname, and how much better it explains the text than words do."""
    surnames = _surnames()
    size = 2 if text[start : start + 2] in surnames else 1
    surname = surnames.get(text[start : start + size])
    if surname is None or text[start + size : start + size + 1] not in given_name_characters():
        return None
    if size == 1 and TITLE.match(text, start + 1):
        return None
    window_start = max(0, start - BEFORE_CHARS)
    window = text[window_start : start + size + 2 + AFTER_CHARS]
    return _compare(text, start, size, surname, window, start - window_start)


def _compare(text: str, start: int, size: int, surname: float, window: str, offset: int) -> tuple[int, float] | None:
    shares = given_name_characters()
    han = HAN.match(window, offset)
    if han is None:
        return None
    begin = offset
    while begin and "\u4e00" <= window[begin - 1] <= "\u9fff":
        begin -= 1
    best = None
    forward = _forward(window, begin, han.end())
    backward = _backward(window, begin, han.end())
    plain = forward[-1]
    cue = _context_before(text, start)
    for count, prior in ((2, TWO_GIVEN), (1, ONE_GIVEN)):
        stop = offset + size + count
        if stop > han.end():
            continue
        characters = [shares.get(character, UNKNOWN_GIVEN) for character in window[offset + size : stop]]
        score = NAME_PRIOR + prior + surname + sum(characters)
        bonus = cue + _context_after(text, start + size + count)
        margin = forward[offset - begin] + score + backward[stop - begin] - plain + bonus
        if best is None or margin > best[1]:
            best = size + count, margin
    return best


def _forward(window: str, begin: int, end: int) -> list[float]:
    """The logarithm of the probability of the best words for window[begin:begin + n], for each n."""
    words = chinese_words()
    best = [0.0]
    for stop in range(begin + 1, end + 1):
        choices = (
            best[position - begin]
            + words.get(window[position:stop], UNKNOWN_CHARACTER if stop - position == 1 else -math.inf)
            for position in range(max(begin, stop - 3), stop)
        )
        best.append(max(choices))
    return best


def _backward(window: str, begin: int, end: int) -> list[float]:
    """The logarithm of the probability of the best words for window[begin + n:end], for each n."""
    words = chinese_words()
    best = [0.0] * (end - begin + 1)
    for start in range(end - 1, begin - 1, -1):
        best[start - begin] = max(
            best[stop - begin] + words.get(window[start:stop], UNKNOWN_CHARACTER if stop - start == 1 else -math.inf)
            for stop in range(start + 1, min(end, start + 3) + 1)
        )
    return best


def _context_before(text: str, start: int) -> float:
    before = text[start - 1 : start]
    if not before:
        return 1.5
    if before in SIGNS_BEFORE:
        return 8.0 if LABEL_END.search(text, max(0, start - 18), start) else 1.5
    if ROLE_END.search(text, max(0, start - 6), start):
        return 6.0
    if before in LEADING or VERB_END.search(text, max(0, start - 3), start):
        return 1.5
    return 0.0


def _context_after(text: str, stop: int) -> float:
    after = text[stop : stop + 1]
    if not after:
        return 1.5
    if TITLE.match(text, stop):
        return 5.0
    if after in SIGNS_AFTER:
        return 1.5
    return 1.0 if after in TRAILING else 0.0


@cache
def _surnames() -> dict[str, float]:
    """Each surname, and the logarithm of the share of people with it, which falls about as one over its rank."""
    names = list(dict.fromkeys(read_words("surnames.zh.txt")))
    shares = {name: math.log(0.3 / (rank + 4)) for rank, name in enumerate(names)}
    return shares | dict.fromkeys(read_words("compound-surnames.zh.txt"), COMPOUND_SURNAME)


@cache
def _surname_pattern() -> re.Pattern[str]:
    return re.compile(f"[{''.join(sorted({name[0] for name in _surnames()}))}]")
