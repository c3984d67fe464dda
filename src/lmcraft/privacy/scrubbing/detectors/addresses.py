"""Postal addresses: Chinese ones around a road with a number, English ones from the house number on."""

import re
from collections.abc import Iterator
from functools import cache

from lmcraft.privacy.scrubbing.kinds import Finding
from lmcraft.privacy.scrubbing.tables import read_words

NUMERALS = "0-9一二三四五六七八九十百零〇"
ROAD_ENDS = "道街路巷弄同里村苑区园庄寓厦场心城府湾坊屯镇乡线段"
"""The last characters of what has numbers: roads, villages, residential areas."""
UNITS = "号院|号楼|号|弄|栋|幢|座|单元|室|楼|层|组|队|排|户|门|#|期"
ANCHOR = re.compile(
    rf"[{ROAD_ENDS}](?:[东西南北中]段?|[{NUMERALS}]{{1,2}}段)?[甲乙丙附]?[{NUMERALS}]{{1,5}}(?:[-之][0-9]{{1,4}}){{0,2}}(?:{UNITS})"
)
UNIT = re.compile(
    rf"(?:[\s,，]?[0-9A-Za-z一二三四五六七八九十甲乙丙东西南北-]{{1,7}}(?:{UNITS})|附[0-9]{{1,4}}号|"
    rf"[0-9]{{1,4}}-[0-9]{{1,4}}(?:-[0-9]{{1,5}})?(?![0-9])"
    rf"|[\u4e00-\u9fff]{{2,9}}?(?:小区|花园|公寓|大厦|广场|家园|新村|中心|大楼|苑|府|城|"
    rf"园)(?=[0-9A-Za-z一二三四五六七八九十]{{1,6}}(?:{UNITS}|"
    rf"-[0-9])|[,，。；;、\s（(的]|$)"
    rf"|[\u4e00-\u9fff]{{2,6}}?(?=[0-9]{{1,4}}(?:号楼|号院|栋|幢|座|单元|号))"
    r"|(?<=[栋幢座元楼弄层号])[0-9A-Z]{2,5}(?:室|房)?(?![0-9A-Za-z年月日元个人]))"
)
BEFORE = re.compile(r"[\u4e00-\u9fff0-9A-Za-z·]+\Z")
MAX_BEFORE_CHARS, MAX_UNITS, MAX_ROAD_CHARS = 40, 8, 6
CUE = re.compile(
    "(?:.*)(?:地址|住址|住所|居住地|所在地|户籍地?|住在|家住|现住|暂住|居住在|居住于|住于|坐落于|坐落在|位于|"
    "寄到|寄往|寄至|寄给|送到|送往|送至|发到|发往|搬到|搬至|放在|前往|来到|回到|"
    "到达|开到|停在|"
    "约在|就在|在|到|至|往|于|是|为|从|去|赴|由|将|给|经|住|的)"
)
AFTER_PLACE = re.compile(
    r"省|市|自治区|壮族自治区|回族自治区|维吾尔自治区|特别行政区|自治州|地区|盟|州|[\u4e00-\u9fff]{1,6}(?:区|县|市|镇|路|街|大道)"
)
REGION = re.compile(r"(?:省|市|自治区|自治州|州|盟|地区|区|县|旗|镇|乡|街道|村|新区|开发区)")


def find_chinese_addresses(text: str) -> Iterator[Finding]:
    """Chinese addresses: regions, a road or a village with a number, then building and room."""
    last = 0
    for anchor in ANCHOR.finditer(text):
        if anchor.start() < last:
            continue
        start = _chinese_start(text, max(last, anchor.start() - MAX_BEFORE_CHARS), anchor.start())
        if start is None:
            continue
        last = anchor.end()
        for _ in range(MAX_UNITS):
            unit = UNIT.match(text, last)
            if unit is None:
                break
            last = unit.end()
        yield Finding("address", start, last)


def _chinese_start(text: str, first: int, stop: int) -> int | None:
    """Where the address begins whose road name ends at `stop`: at a province or city, after a word, or with the road."""
    before = BEFORE.search(text, first, stop)
    if before is None:
        return None
    start = before.start()
    for position in range(start, stop - 1):
        if _starts_with_place(text, position):
            return position
    cue = CUE.match(text, start, stop - 1)
    if cue is not None:
        start = cue.end()
    region = REGION.search(text, start, stop)
    if region is None:
        start = max(start, stop - MAX_ROAD_CHARS)
    return start if stop > start else None


def _starts_with_place(text: str, start: int) -> bool:
    """Whether a province or city stands at a position, with what makes it the beginning of an address."""
    places = _places()
    for size in (2, 3, 4):
        if text[start : start + size] in places:
            return AFTER_PLACE.match(text, start + size) is not None
    return False


@cache
def _places() -> frozenset[str]:
    return frozenset(read_words("places.zh.txt"))


STREET = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Drive|Dr|Lane|Ln|Court|Ct|Circle|Cir|Place|Pl|Way|Terrace|Ter|"
    "Parkway|Pkwy|Square|Sq|Trail|Trl|Highway|Hwy|Close|"
    "Crescent|Cres|Gardens|Grove|Mews|Row|Walk|Alley|Path|Loop|Plaza|Pike|Run|Turnpike|Crossing|Quay|Hill|Green|"
    "Rise|View|Point|Ridge|Broadway|Embankment|Wharf|Vale|Parade"
)
CAPITALIZED = r"(?:[A-Z][A-Za-z.'’-]*|[0-9]{1,3}(?:st|nd|rd|th)|of|the|de|la)"
PART = (
    r"(?:Apt|Apartment|Suite|Ste|Unit|Flat|Floor|Fl|Room|Rm|Bldg|Building|No|PO Box)\.? ?#? ?[0-9A-Za-z-]{1,6}|"
    r"#\s?[0-9A-Za-z-]{1,6}|[0-9]{1,2}(?:st|nd|rd|th) Floor"
)
UK_POSTCODE = r"[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}"
US_STATE = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|"
    r"W[AIVY]|Alabama|Alaska|Arizona|Arkansas|California|"
    r"Colorado|Connecticut|Delaware|Florida|Georgia|Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|"
    r"Maine|Maryland|Massachusetts|Michigan|Minnesota|"
    r"Mississippi|Missouri|Montana|Nebraska|Nevada|New (?:Hampshire|Jersey|Mexico|York)|North (?:Carolina|Dakota)|"
    r"Ohio|Oklahoma|Oregon|Pennsylvania|Rhode Island|"
    r"South (?:Carolina|Dakota)|Tennessee|Texas|Utah|Vermont|Virginia|Washington|West Virginia|Wisconsin|Wyoming)"
)
TOWN = r"[A-Z][A-Za-z.'’-]+(?: (?:[A-Z][A-Za-z.'’-]+|upon|on|of|the|le|in)){0,3}"
SEPARATOR = r"(?:,\s*|\s*\n\s*)"
TAIL = (
    rf"(?:(?:{SEPARATOR}| )(?:{PART}))?(?:(?:{SEPARATOR}{TOWN}){{0,3}}(?:{SEPARATOR}|"
    rf" )(?:{US_STATE}(?:,? [0-9]{{5}}(?:-[0-9]{{4}})?)?|{UK_POSTCODE}|[0-9]{{5}}(?:-[0-9]{{4}})?)(?![A-Za-z0-9])"
    rf"|{SEPARATOR}(?:{TOWN})(?= *(?:[.,;\n)]|$)))?(?:, (?:USA|UK|U\.S\.A\.|United States|United Kingdom|Canada|"
    rf"Australia))?"
)
ENGLISH = re.compile(
    rf"[0-9]{{1,6}}[A-Za-z]?(?:-[0-9]{{1,5}})?,? (?:[NSEW]\.?[EW]?\.? |North |South |East |"
    rf"West )?(?:{CAPITALIZED} ){{1,4}}(?:{STREET})\b\.?(?: (?:N|S|E|W|NE|NW|SE|SW|North|South|East|West)\b)?{TAIL}"
)
BOX = re.compile(rf"(?:P\.? ?O\.? Box|Post Office Box) [0-9]{{1,7}}{TAIL}")
FLAT_BEFORE = re.compile(rf"(?:{PART}),? \Z")
MAX_ADDRESS_CHARS = 220
YEAR_AND_NAME = re.compile(r"(?:19|20)[0-9]{2},? (?:[A-Z][a-z]+ )(?:Green|Hill|Walk|View|Row|Rise|Court|Lane|Way)\Z")
SIGNS_BEFORE_NO_HOUSE = frozenset(".,$£€#:/-")


def match_english_address(text: str, start: int) -> tuple[int, int] | None:
    """An English address whose house number starts at a position: street, town, state and code."""
    match = ENGLISH.match(text, start, start + MAX_ADDRESS_CHARS)
    if match is None or text[start - 1 : start] in SIGNS_BEFORE_NO_HOUSE or YEAR_AND_NAME.match(match[0]):
        return None
    flat = FLAT_BEFORE.search(text, max(0, start - 20), start)
    return start if flat is None else flat.start(), match.end()


def find_boxes(text: str) -> Iterator[Finding]:
    """Post office boxes."""
    if " Box " in text:
        for match in BOX.finditer(text):
            yield Finding("address", *match.span())
