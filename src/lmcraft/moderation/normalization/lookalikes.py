"""Characters that look like Latin letters: Cyrillic, Greek and other alphabets by hand, the rest by their Unicode names."""

import re
import unicodedata
from collections.abc import Mapping

# By letter. What looks like two letters stands with the nearer one.
DRAWN_ALIKE: Mapping[str, str] = {
    "a": "аαɑʌᎪꓮᗅ⍺ǎ𖽀𐊠",
    "b": "вьъβɓᏏᏴᑲᖯᗷꓐƅ𐊂𐊡𐌁",
    "c": "сϲϹςᏟᏨꓚƈɔⅭ𐐽🝌𑣲𑣩𐊢𐌂𐐕𐔜",
    "d": "ԁԃɖɗᎠᏧᑯᗞᗪꓒꓓժδ",
    "e": "еєэεɛəɘɜᎬꓰ℮ҽꬲ⋿ⴹ𑢦𑢮𐊆",
    "f": "ƒғꓝϝʄꬵẝᖴ𝈓𑣂𑢢𐊇𐊥𐔥",
    "g": "ɡցɢᏀᏳꓖԍġǥƍ",
    "h": "һհᎻᏂᕼꓧћђӈ𐋏",
    "i": "іιıɩᎥїɪ⍳ꙇ˛ͺ𑣃",
    "j": "јϳʝᎫᒍꓙյ",
    "k": "кκқҝᏦᛕꓗƙʞ𐔘",
    "l": "ᏞᒪꓡʟłℓƖ𖼖𑢣𑢲𐐛𐔦",
    "m": "мϻᎷᗰᛖꓟɱ𐊰𐌑",
    "n": "ոпπռŋꓠɲηᴎ𐔓",
    "o": "оοσօᎤꓳ๐໐०ѳөθ੦૦௦౦೦൦ంಂംං၀০୦〇ᴑꬽჿഠဝଠⵔ𐓪𑣈𑣗𐐬𑓐𑣠𐓂𑢵𐊒𐊫𐐄𐔖ዐ",
    "p": "рρϱᏢᑭꓑƿþ⍴𐊕",
    "q": "ԛզգɋⵕ",
    "r": "гᏒᎡᎱᖇꓣɾɼяʀꭇꭈᴦ𝈖𐒴𖼵",
    "s": "ѕꓢᏚᏕʂșƽʃ𑣁𐑈𖼺𐊖𐐠",
    "t": "тτᎢꓔƭŧ⊤⟙🝨𖼊𑢼𐊗𐊱𐌕",
    "u": "υսцꓴʊиμꞟᑌሀ⋃∪𐓶𑣘𐓎𖽂𑢸",
    "v": "νѵᏙᐯꓦʋᴠ⋁∨𑜆𑣀𝈍ⴸꛟ𖼈𑢠𐔝",
    "w": "ԝшщωᎳᏔꓪաѡ𑜊𑜎𑜏𑣯𑣦",
    "x": "хχꓫ×ҳ᙮⤫⤬⨯╳ᕁᕽ᙭ᚷⵝ𐌢𑣬𐊐𐊴𐌗𐔧",
    "y": "уүγʏꓬұỿყɣᎩᎽ𑣜𖽃𑢤𐊲",
    "z": "Ꮓꓜʐƶȥӡʒζ𑣄𑣥𑢩",
}
# Capitals that look like other letters than their lower case does, or whose lower case looks like none.
CAPITALS_ALIKE: Mapping[str, str] = {
    "a": "АΑ",
    "b": "ВΒⲂꞴ",
    "c": "СⲤ",
    "e": "ЕΕ",
    "g": "Ԍ",
    "h": "НΗҺⲎ",
    "j": "ЈͿ",
    "k": "КΚⲔ",
    "l": "Ⳑ",
    "m": "МΜⲘ",
    "n": "ΝⲚ",
    "o": "ОΟⲞ",
    "p": "РΡⲢ",
    "q": "Ԛ",
    "r": "Ⲅ",
    "s": "ЅՏ",
    "t": "ТΤⲦ",
    "u": "Ս",
    "w": "ԜⲰ",
    "x": "ХΧⲬꓫ",
    "y": "УΥϒⲨҮ",
    "z": "ΖⲌ",
}
BAR = "|"
BARS = "ΙІӀӏǀⲒꓲⵏᛁ∣￨│⏽𐌠𐊊𐌉𖼨𝈪"
"""What can be "i" and "l"; so can be the capital I, which is compatible with many."""
_SMALL_OR_CAPITAL = "(?:SMALL|CAPITAL)"
_TURNS = "(?:TURNED |REVERSED |INVERTED |DOTLESS |SCRIPT |STRETCHED |INSULAR )?"
NAMES = re.compile(
    f"LATIN {_SMALL_OR_CAPITAL} LETTER {_TURNS}([A-Z])(?: WITH .*)?"
    f"|LATIN LETTER (?:SMALL CAPITAL )?{_TURNS}([A-Z])"
    f"|(?:CROSSED )?(?:NEGATIVE )?(?:CIRCLED|SQUARED|PARENTHESIZED) LATIN {_SMALL_OR_CAPITAL} LETTER ([A-Z])"
    "|REGIONAL INDICATOR SYMBOL LETTER ([A-Z])"
)


def find_letters() -> dict[str, str]:
    """The Latin letter of each character that looks like one; `BAR` if that can be "i" or "l"."""
    letters = {}
    for blocks in ((0x80, 0x2B0), (0x1D00, 0x1DC0), (0x1E00, 0x1F00), (0x2460, 0x2500), (0x2C60, 0x2C80)):
        letters.update(_by_name(*blocks))
    for blocks in ((0xA720, 0xA800), (0xAB30, 0xAB70), (0x1F100, 0x1F200)):
        letters.update(_by_name(*blocks))
    for table in (DRAWN_ALIKE, CAPITALS_ALIKE):
        for letter, characters in table.items():
            letters.update(dict.fromkeys(characters, letter))
    return {**letters, **dict.fromkeys(BARS, BAR)}


def _by_name(first: int, last: int) -> dict[str, str]:
    matches = ((chr(code), NAMES.fullmatch(unicodedata.name(chr(code), ""))) for code in range(first, last))
    return {char: match[match.lastindex or 0].lower() for char, match in matches if match}
