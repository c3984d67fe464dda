"""Manual pages (the macros `man` and `mdoc` of roff) as plain text: filled paragraphs, no fonts and no layout."""

import re
import sys
import unicodedata
from collections.abc import Iterator

CHARACTERS = {  # special characters by their names in roff
    **{"em": "—", "en": "–", "hy": "-", "bu": "•", "aq": "'", "dq": '"', "lq": "“", "rq": "”", "oq": "‘", "cq": "’"},
    **{"co": "©", "rg": "®", "tm": "™", "ha": "^", "ti": "~", "rs": "\\", "ga": "`", "sl": "/", "ul": "_", "or": "|"},
    **{"->": "→", "<-": "←", "<=": "≤", ">=": "≥", "!=": "≠", "mu": "×", "+-": "±", "de": "°", "12": "½", "14": "¼"},
    **{"la": "⟨", "ra": "⟩", "lB": "[", "rB": "]", "lC": "{", "rC": "}", "Fo": "«", "Fc": "»", "sc": "§", "ss": "ß"},
    **{"/o": "ø", "/O": "Ø", "ae": "æ", "AE": "Æ", "oe": "œ", "OE": "Œ", "oa": "å", "oA": "Å", ".i": "ı", "Po": "£"},
    **{"Tm": "™", "R": "®", 'L"': "“", 'R"': "”", "--": "—", "C`": '"', "C'": '"', "PI": "π", "L<": "<", "R>": ">"},
}
ACCENTS = {"'": "\u0301", "`": "\u0300", "^": "\u0302", "~": "\u0303", ":": "\u0308", ",": "\u0327", "v": "\u030c"}
_ESCAPE = re.compile(
    r"""\\(?:
    f(?:\[[^]]*\]|\(..|.)            # fonts
    |[mM](?:\[[^]]*\]|\(..|.)        # colors
    |s[-+]?(?:\(..|\[[^]]*\]|'[^']*'|\d)  # sizes
    |[hvwlLbDoXZxNSHRAB]'(?:[^'])*'  # motions, drawings and the like
    |[nkgVYF](?:\[[^]]*\]|[-+]?\(..|[-+]?.)  # registers
    |\*(?:\[(?P<string>[^]]*)\]|\((?P<pair>..)|(?P<letter>.))
    |\[(?P<named>[^]]*)\]
    |\((?P<two>..)
    |(?P<single>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_SINGLE = {"-": "-", "e": "\\", "\\": "\\", "~": " ", " ": " ", "0": " ", "t": "\t", ".": ".", "'": "'", "`": "`", "E": "\\"}
_UNICODE = re.compile(r"u([0-9A-Fa-f]{4,6})")
_COMMENT = re.compile(r'\\["#].*')
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|(\S+)')
ALTERNATING = ("BR", "RB", "IR", "RI", "BI", "IB")
PARAGRAPHS = ("PP", "LP", "P", "HP", "TP", "TQ", "IP", "sp", "Pp", "Lp", "It", "TS", "Bd", "Bl", "RS", "RE", "Ed", "El")
ENCLOSED = {
    **{"Op": ("[", "]"), "Oo": ("[", ""), "Oc": ("", "]"), "Dq": ("“", "”"), "Sq": ("‘", "’"), "Qq": ('"', '"')},
    **{
        "Pq": ("(", ")"),
        "Bq": ("[", "]"),
        "Brq": ("{", "}"),
        "Aq": ("<", ">"),
        "Ql": ("‘", "’"),
        "Fl": ("-", ""),
        "Nd": ("– ", ""),
    },
}
WORDS = re.compile(  # macros of mdoc whose arguments are words
    "A[drn]|Bx|C[dm]|D[1lv]|E[mrv]|F[antx]|I[cn]|L[ik]|M[st]|N[mox]|O[sx]|Pa|S[ty]|Tn|Ux|V[at]|Xr"
)


def text_of_manual_page(text: str) -> str:
    """The words of a manual page: titles, paragraphs in one line each, examples line by line."""
    page = _Page()
    lines = iter(text.replace("\\\n", "").replace("\\-", "-").splitlines())
    for line in lines:
        if not line.startswith((".", "'")):
            page.add(_unescape(line))
            continue
        request, _, rest = _COMMENT.sub("", line[1:].strip()).partition(" ")
        if request in ("de", "de1", "am", "ig"):
            end = "." + (rest.split()[1:2] or ["."])[0] if request != "ig" else "." + (rest.strip() or ".")
            for skipped in lines:
                if skipped.strip() == end:
                    break
        elif request in ("if", "ie", "el") or "\\{" in line:
            _skip_block(line, lines, page)
        else:
            page.request(request, rest)
    return page.text()


def _skip_block(line: str, lines: Iterator[str], page: "_Page") -> None:
    """Leave out what stands under a condition, but for one line for terminals."""
    depth = line.count("\\{") - line.count("\\}")
    if not depth and (match := re.match(r"[.'](?:if|ie)\s+n\s+(?!\\\{)(.*)", line)):
        inner = match[1]
        if inner.startswith((".", "'")):
            request, _, rest = inner[1:].partition(" ")
            page.request(request, rest)
        else:
            page.add(_unescape(inner))
    while depth > 0:
        skipped = next(lines, None)
        if skipped is None:
            return
        depth += skipped.count("\\{") - skipped.count("\\}")


class _Page:
    """The text of a page as it grows."""

    def __init__(self) -> None:
        self._blocks: list[str] = []
        self._words: list[str] = []  # of the paragraph
        self._is_filled = True
        self._in_table_format = False
        self._name = ""

    def text(self) -> str:
        """The text so far."""
        self._end()
        text = re.sub(r"\n{3,}", "\n\n", "\n\n".join(self._blocks)).strip("\n")
        return text + "\n" if text.strip() else ""

    def add(self, line: str) -> None:
        """Add a line of text."""
        if self._in_table_format:
            self._in_table_format = not line.rstrip().endswith(".")
        elif line.strip() or not self._is_filled:
            self._words.append(line.strip() if self._is_filled else line.rstrip())
        else:
            self._end()

    def request(self, name: str, rest: str) -> None:
        """Obey a line that begins with a dot."""
        arguments = [_unescape((first or second).replace('""', '"')) for first, second in _ARGUMENT.findall(rest)]
        if name in ("SH", "SS", "Sh", "Ss"):
            self._end()
            self._blocks.append(" ".join(arguments))
        elif name in ("TH", "Dt"):
            self._blocks.append(f"{arguments[0]}({arguments[1]})" if len(arguments) > 1 else " ".join(arguments))
        elif name in ("nf", "EX", "fi", "EE", "Bd", "Ed"):
            self._end()
            self._is_filled = name in ("fi", "EE", "Ed")
        elif name == "br":
            self._words.append("\n")
        elif name in ALTERNATING:
            self.add("".join(arguments))
        elif name in ("B", "I", "SM", "SB", "UR", "MT", "R"):
            self.add(" ".join(arguments))
        elif name in PARAGRAPHS:
            self._end()
            self._in_table_format = name == "TS"
            if name in ("IP", "It") and arguments:
                self.add(_words_of(arguments, self._name) if name == "It" else arguments[0])
        elif WORDS.fullmatch(name) or name in ENCLOSED:
            self._name = self._name or (arguments[0] if name == "Nm" and arguments else "")
            self.add(_words_of([name, *arguments], self._name))

    def _end(self) -> None:
        """End the paragraph."""
        if self._words:
            text = (" " if self._is_filled else "\n").join(self._words)
            self._blocks.append(re.sub(r" *\n *", "\n", text) if self._is_filled and "\n" in text else text)
            self._words = []


def _words_of(arguments: list[str], name: str) -> str:
    """The text of the macros and words in a line of mdoc."""
    words: list[str] = []
    closing: list[str] = []
    prefix, is_reference = "", False
    for position, argument in enumerate(arguments):
        if argument in ENCLOSED:
            opening, end = ENCLOSED[argument]
            if argument == "Oc":
                words[-1:] = [words[-1] + end] if words else [end]
            else:
                prefix += opening
                closing += [end] if end else []
        elif argument == "Nm" and position + 1 == len(arguments):
            words.append(prefix + name)
            prefix = ""
        elif argument == "Xr":
            is_reference = True
        elif WORDS.fullmatch(argument) or argument == "Ns":
            continue
        elif is_reference and words and argument.isalnum() and len(argument) <= 3 and argument[0].isdigit():
            words[-1] += f"({argument})"
            is_reference = False
        elif argument in (",", ".", ";", ":", ")", "?", "!") and words:
            words[-1] += "".join(reversed(closing)) * (position + 1 == len(arguments)) + argument
            closing = closing * (position + 1 < len(arguments))
        else:
            words.append(prefix + argument)
            prefix = ""
    if prefix:
        words.append(prefix)
    return " ".join(words) + "".join(reversed(closing))


def _unescape(line: str) -> str:
    """A line without roff's escape sequences."""
    return _ESCAPE.sub(_replace, _COMMENT.sub("", line)) if "\\" in line else line


def _replace(match: "re.Match[str]") -> str:
    name = match["named"] or match["two"] or match["string"] or match["pair"] or match["letter"]
    if not name:
        return _SINGLE.get(match["single"] or "", "")
    if (unicode := _UNICODE.fullmatch(name)) and int(unicode[1], 16) <= sys.maxunicode:
        return chr(int(unicode[1], 16))
    if name not in CHARACTERS and len(name) == 2 and name[0] in ACCENTS and name[1].isalpha():
        return unicodedata.normalize("NFC", name[1] + ACCENTS[name[0]])
    return CHARACTERS.get(name, "")
