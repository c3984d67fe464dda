"""Regular expressions of JSON Schema (ECMAScript's) in the syntax of Rust's library, whose classes and escapes differ.

Source: ECMA-262, section 22.2, with the `u` flag; `{`, `}`, `]` and escaped punctuation may stand for themselves (annex B).
"""

import re

from lmcraft.inference.json_schema.scope import SchemaError

_SPACE = r"\u{9}-\u{d}\u{20}\u{a0}\u{1680}\u{2000}-\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}"
_CLASSES = {
    "d": "[0-9]", "D": "[^0-9]", "w": "[0-9A-Za-z_]", "W": "[^0-9A-Za-z_]", "s": f"[{_SPACE}]", "S": f"[^{_SPACE}]",
}  # fmt: skip
_CONTROLS = {"t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r", "0": "\0"}
_ANY, _NOTHING = "(?s:.)", r"[^\u{0}-\u{10ffff}]"
CONTROL_CHARACTERS = {*map(chr, range(32)), "\x7f"} - {*"\b\t\n\f\r"}
"""Those that JSON can only write as \\u and four digits."""
CONTROL_ESCAPE = r"\x{"
"""Begins a control character outside a class; all else is written with other escapes."""
_TOKEN = re.compile(
    r"""(?xs)
      \\u(?P<high>[dD][89abAB][0-9a-fA-F]{2})\\u(?P<low>[dD][c-fC-F][0-9a-fA-F]{2})
    | \\u(?P<unit>[0-9a-fA-F]{4}) | \\u\{(?P<point>[0-9a-fA-F]{1,6})\} | \\x(?P<byte>[0-9a-fA-F]{2})
    | \\c(?P<control>[A-Za-z])
    | (?P<property>\\[pP]\{[A-Za-z_=0-9]+\})
    | \\(?P<escape>.)
    | (?P<group>\((?:\?(?::|<[A-Za-z_$][A-Za-z0-9_$]*>))?)(?!\?)
    | (?P<quantifier>(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\}))\??
    | (?P<class>\[\^?)
    | (?P<syntax>[)|^$])
    | (?P<any>\.)
    | (?P<plain>.)
    """
)


_NESTING = re.compile(r"(?s)\\.|\[(?:[^\]\\]|\\.)*\]|.")
MAX_LOOK_AHEADS = 16
_LOOK_AHEAD = re.compile(r"\^\(\?([=!])")
_ONE = r"(?P<one>\[(?:[^\]\\]|\\.)+\]|\\[^A-Za-z0-9]|\\[dDwWsS]|[^\[\]\\(){}.*+?|^$])"
# What must not follow, with one character or class, and an expression for the texts where it does not.
_EXCLUSIONS = (
    (re.compile(rf"(?s)\^?{_ONE}\*\$"), "{other}"),
    (re.compile(rf"(?s){_ONE}"), "^(?:$|{other})"),
    (re.compile(rf"(?s)\.\*{_ONE}"), "^{other}*$"),
    (re.compile(rf"(?s)\.\*{_ONE}(?P=one)"), "^{one}?(?:{other}+{one}?)*$"),
)


def translate_conditions(pattern: str) -> list[str]:
    """Regular expressions for Rust's library: a text fits the pattern, which may begin with look-ahead, if it fits them all.

    What must not follow is a character or class, alone (`(?!_)`), everywhere (`(?!.*_)`), twice in a row (`(?!.*__)`), or as
    all that there is (`(?![-+.]*$)`).

    Raises:
        SchemaError: as `translate_pattern`.
    """
    conditions: list[str] = []
    rest = pattern
    while begin := _LOOK_AHEAD.match(rest):
        end = _group_end(rest, begin.end())
        inner = rest[begin.end() : end]
        condition = f"^(?:{inner})" if begin[1] == "=" else _exclude(inner)
        if condition is None or len(conditions) == MAX_LOOK_AHEADS:
            break
        conditions.append(condition)
        rest = f"^{rest[end + 1 :]}"
    if conditions and _group_end(f"{rest})", 0, ends="|)") < len(rest):
        raise SchemaError("look-ahead cannot be enforced beside alternatives; put those into a group")
    return [translate_pattern(part) for part in [*conditions, rest]]


def _exclude(inner: str) -> str | None:
    for form, condition in _EXCLUSIONS:
        if match := form.fullmatch(inner):
            one = match["one"]
            is_class = one.startswith("[")
            other = f"[{one[2:]}" if one.startswith("[^") else f"[^{one[1:]}" if is_class else f"[^{one}]"
            return condition.format(one=one, other=other)
    return None


def _group_end(pattern: str, position: int, ends: str = ")") -> int:
    """Where the group around a position ends."""
    depth = 0
    for token in _NESTING.finditer(pattern, position):
        if depth == 0 and token[0] in ends:
            return token.start()
        depth += (token[0] == "(") - (token[0] == ")")
    raise SchemaError("a group is not closed: add )")


def translate_pattern(pattern: str) -> str:
    """The same regular expression for Rust's library.

    Raises:
        SchemaError: it is invalid, or uses what has no equivalent there: look-around, word boundaries, back references.
    """
    parts, position, is_repeated = [], 0, False
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None or token["plain"] in ("(", "\\") or (token["quantifier"] and is_repeated):
            raise SchemaError(
                f"{pattern[position : position + 4]!r} at character {position + 1} cannot be enforced; leave it out"
            )
        is_repeated = token["quantifier"] is not None
        if token["class"]:
            text, position = _translate_class(pattern, token.end(), token["class"] == "[^")
        else:
            text, position = _translate_token(token), token.end()
        parts.append(text)
    return "".join(parts)


def _translate_token(token: re.Match[str]) -> str:
    if token["group"]:
        return "(" if token["group"] == "(" else "(?:"
    if token["any"]:
        return r"[^\n\r\u{2028}\u{2029}]"
    if kept := token["quantifier"] or token["syntax"] or token["property"]:
        return kept
    if token["escape"] in _CLASSES:
        return _CLASSES[token["escape"]]
    return quote(_character(token))


def _translate_class(pattern: str, position: int, is_negated: bool) -> tuple[str, int]:
    """A class from behind its opening bracket, and the position behind the closing one."""
    members: list[str] = []
    start: str | None = None  # of a range, if the next member may be its end
    while position < len(pattern) and pattern[position] != "]":
        token = _TOKEN.match(pattern, position)
        assert token is not None
        if token["escape"] in _CLASSES or token["property"]:
            members.append(token["property"] or _CLASSES[token["escape"]])
            start, position = None, token.end()
            continue
        is_dash = pattern[position] == "-"
        character, position = _class_character(pattern, position, token)
        if is_dash and start is not None and (end := _range_end(pattern, position)):
            last, position = _class_character(pattern, position, end)
            if last < start:
                raise SchemaError(f"the range {start}-{last} is in the wrong order")
            if last > start:
                members[-1] += f"-{_quote_member(last)}"
            start = None
        else:
            members.append(_quote_member(character))
            start = character
    if position >= len(pattern):
        raise SchemaError("a class is not closed: add ]")
    if not members:
        return _ANY if is_negated else _NOTHING, position + 1
    if not is_negated and len(set(members)) == 1 and start is not None:
        return quote(start), position + 1
    return f"[{'^' if is_negated else ''}{''.join(members)}]", position + 1


def _range_end(pattern: str, position: int) -> re.Match[str] | None:
    """The character that ends a range; none if a class or the end of the class follows."""
    token = _TOKEN.match(pattern, position)
    return None if token is None or pattern[position] == "]" or token["escape"] in _CLASSES or token["property"] else token


def _class_character(pattern: str, position: int, token: re.Match[str]) -> tuple[str, int]:
    """A character inside a class, where most of the syntax means itself."""
    if token["escape"] in ("b", "-"):
        return "\b" if token["escape"] == "b" else "-", token.end()
    if pattern[position] == "\\":
        return _character(token), token.end()
    return pattern[position], position + 1


def _character(token: re.Match[str]) -> str:
    """The character that a token stands for."""
    if token["high"]:
        return chr(0x10000 + (int(token["high"], 16) - 0xD800 << 10) + int(token["low"], 16) - 0xDC00)
    if digits := token["unit"] or token["point"] or token["byte"]:
        code = int(digits, 16)
        if 0xD800 <= code < 0xE000 or code > 0x10FFFF:
            raise SchemaError(f"\\u{digits} is no character")
        return chr(code)
    if token["control"]:
        return chr(ord(token["control"]) % 32)
    if token["plain"]:
        return token["plain"]
    escape = token["escape"]
    if escape == "0" and token.string[token.end() : token.end() + 1].isdecimal():
        raise SchemaError("an octal escape is no regular expression of ECMAScript")
    if escape not in _CONTROLS and escape.isascii() and escape.isalnum():
        raise SchemaError(f"\\{escape} cannot be enforced; leave it out")
    return _CONTROLS.get(escape, escape)


def quote(character: str) -> str:
    """A character outside a class that stands for itself."""
    return f"{CONTROL_ESCAPE}{ord(character):x}}}" if character in CONTROL_CHARACTERS else _quote_member(character)


def _quote_member(character: str) -> str:
    return character if character.isascii() and character.isalnum() else f"\\u{{{ord(character):x}}}"
