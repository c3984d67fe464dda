"""Characters that look like Latin letters: Cyrillic, Greek and other alphabets by hand, the rest by their Unicode names."""

import re
import unicodedata
from collections.abc import Mapping

# By letter; all are lower case, or have none. A letter of an alphabet that looks like two stands with the nearer one.
DRAWN_ALIKE: Mapping[str, str] = {
    "a": "аαɑʌᎪꓮ⍺ǎ",
    "b": "вьъβɓᏴꓐƅ",
    "c": "сϲςᏟꓚƈɔᏨ",
    "d": "ԁԃɖɗᎠꓓժδ",
    "e": "еєэεɛəɘᎬꓰ℮ҽɜ",
    "f": "ƒғꓝϝʄ",
    "g": "ɡցɢᏀꓖԍġǥ",
    "h": "һнհнᎻꓧηћђӈ",
    "i": "іιıɩᎥꓲїɪ",
    "j": "јϳʝᎫꓙյ",
    "k": "кκқҝᏦꓗƙʞ",
    "l": "ӀӏᏞꓡǀʟłℓ",
    "m": "мϻᎷꓟɱ",
    "n": "ոпπռŋꓠɲη",
    "o": "оοσօᎤꓳ๐໐०ѳөθ",
    "p": "рρϱᏢꓑƿքþ",
    "q": "ԛզգɋ",
    "r": "гᏒꓣɾɼяʀ",
    "s": "ѕꓢᏚʂșƽʃ",
    "t": "тτᎢꓔƭŧ",
    "u": "υսцꓴʊиμ",
    "v": "νѵᏙꓦʋ",
    "w": "ԝшщωᎳꓪա",
    "x": "хχꓫ×ҳ",
    "y": "уүγʏꓬұỿყ",
    "z": "Ꮓꓜʐƶȥӡʒζ",
}
_SMALL_OR_CAPITAL = "(?:SMALL|CAPITAL)"
_TURNS = "(?:TURNED |REVERSED |INVERTED |DOTLESS |SCRIPT |STRETCHED |INSULAR )?"
NAMES = re.compile(
    f"LATIN {_SMALL_OR_CAPITAL} LETTER {_TURNS}([A-Z])(?: WITH .*)?"
    f"|LATIN LETTER (?:SMALL CAPITAL )?{_TURNS}([A-Z])"
    f"|(?:CROSSED )?(?:NEGATIVE )?(?:CIRCLED|SQUARED|PARENTHESIZED) LATIN {_SMALL_OR_CAPITAL} LETTER ([A-Z])"
    "|REGIONAL INDICATOR SYMBOL LETTER ([A-Z])"
)


def find_letters() -> dict[str, str]:
    """The Latin letter of each character that looks like one."""
    letters = {}
    for blocks in ((0x80, 0x2B0), (0x1D00, 0x1DC0), (0x1E00, 0x1F00), (0x2460, 0x2500), (0x2C60, 0x2C80)):
        letters.update(_by_name(*blocks))
    for blocks in ((0xA720, 0xA800), (0xAB30, 0xAB70), (0x1F100, 0x1F200)):
        letters.update(_by_name(*blocks))
    for letter, characters in DRAWN_ALIKE.items():
        letters.update(dict.fromkeys(characters, letter))
    return letters


def _by_name(first: int, last: int) -> dict[str, str]:
    matches = ((chr(code), NAMES.fullmatch(unicodedata.name(chr(code), ""))) for code in range(first, last))
    return {char: match[match.lastindex or 0].lower() for char, match in matches if match}
