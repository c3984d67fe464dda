"""The formats of JSON Schema as regular expressions (Rust's syntax), more exact than llguidance's own.

Sources: RFC 3339 (dates and times), RFC 3986 (URI), RFC 3987 (IRI), RFC 4291 (IPv6), RFC 5321 (email), RFC 6570 (URI
templates), RFC 5892 (international host names), RFC 6531 (international email), RFC 6901 (JSON pointers), ECMA-262 (regular
expressions). They accept a little less than the standards: leap seconds in zones at whole quarters of an hour; no
international names in ASCII form (xn--), and of their letters Latin, Greek, Cyrillic, Hangul, kana and Han, up to eleven in
a label; regular expressions without back references, named groups and more than two groups inside each other.
"""

import re
import string

_DATE = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)


def _leap_seconds() -> str:
    """Times that are 23:59:60 in UTC, in zones whole quarters of an hour away from it."""
    times = []
    for quarter in range(96):
        hour, minute = divmod(quarter * 15 + 14, 60)
        ahead, behind = divmod(quarter * 15 + 15, 60), divmod(1439 - hour * 60 - minute, 60)
        signs = [f"{sign}{hours:02}:{minutes:02}" for sign, (hours, minutes) in (("+", ahead), ("-", behind)) if hours < 24]
        zones = "|".join(["[Zz]", r"[+-]00:00"] if quarter == 95 else [re.escape(zone) for zone in signs])
        times.append(rf"{hour:02}:{minute:02}:60(?:\.[0-9]+)?(?:{zones})")
    return "|".join(times)


_TIME = (
    r"(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
    rf"|{_leap_seconds()})"
)
_DAY_TIME = r"T(?:[0-9]+H(?:[0-9]+M(?:[0-9]+S)?)?|[0-9]+M(?:[0-9]+S)?|[0-9]+S)"
_DURATION = rf"P(?:[0-9]+W|(?:[0-9]+Y(?:[0-9]+M(?:[0-9]+D)?)?|[0-9]+M(?:[0-9]+D)?|[0-9]+D)(?:{_DAY_TIME})?|{_DAY_TIME})"
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = rf"{_OCTET}(?:\.{_OCTET}){{3}}"
_H16 = r"[0-9a-fA-F]{1,4}"
_LS32 = rf"(?:{_H16}:{_H16}|{_IPV4})"
_IPV6 = "(?:" + "|".join(
    [
        rf"(?:{_H16}:){{6}}{_LS32}",
        rf"::(?:{_H16}:){{5}}{_LS32}",
        rf"(?:{_H16})?::(?:{_H16}:){{4}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,1}}{_H16})?::(?:{_H16}:){{3}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,2}}{_H16})?::(?:{_H16}:){{2}}{_LS32}",
        rf"(?:(?:{_H16}:){{0,3}}{_H16})?::{_H16}:{_LS32}",
        rf"(?:(?:{_H16}:){{0,4}}{_H16})?::{_LS32}",
        rf"(?:(?:{_H16}:){{0,5}}{_H16})?::{_H16}",
        rf"(?:(?:{_H16}:){{0,6}}{_H16})?::",
    ]
) + ")"  # fmt: skip
# A label of up to 63 characters, without "--" at its third and fourth.
_LABEL = (
    r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]?[a-zA-Z0-9]"
    r"|[a-zA-Z0-9][a-zA-Z0-9-](?:[a-zA-Z0-9][a-zA-Z0-9-]|-[a-zA-Z0-9])[a-zA-Z0-9-]{0,58}[a-zA-Z0-9]"
    r"|[a-zA-Z0-9][a-zA-Z0-9-][a-zA-Z0-9-][a-zA-Z0-9])"
)
_HOSTNAME = rf"{_LABEL}(?:\.{_LABEL})*"
_ATOM = r"[a-zA-Z0-9!#$%&'*+/=?^_`{|}~-]+"
_EMAIL = rf'(?:{_ATOM}(?:\.{_ATOM})*|"(?:[ !#-\[\]-~]|\\[ -~])*")@(?:{_HOSTNAME}|\[(?:{_IPV4}|IPv6:{_IPV6})\])'
_HEX2 = r"%[0-9a-fA-F]{2}"


def _reference(more: str = "", private: str = "") -> tuple[str, str]:
    """A URI and a URI or relative reference; `more` are the characters beyond ASCII that an IRI may have, `private` those
    that only its query may have."""
    plain = rf"[a-zA-Z0-9._~!$&'()*+,;={more}-]"
    pchar, pchar_no_colon = rf"(?:{plain}|[:@]|{_HEX2})", rf"(?:{plain}|@|{_HEX2})"
    host = rf"(?:\[(?:{_IPV6}|[vV][0-9a-fA-F]+\.[a-zA-Z0-9._~!$&'()*+,;=:-]+)\]|(?:{plain}|{_HEX2})*)"
    authority = rf"(?:(?:{plain}|:|{_HEX2})*@)?{host}(?::[0-9]*)?"
    segments = rf"(?:/{pchar}*)*"
    tail = rf"(?:\?(?:{pchar}|[/?{private}])*)?(?:#(?:{pchar}|[/?])*)?"
    absolute = rf"/(?:{pchar}+{segments})?"
    uri = rf"[a-zA-Z][a-zA-Z0-9+.-]*:(?://{authority}{segments}|{absolute}|{pchar}+{segments}|){tail}"
    relative = rf"(?://{authority}{segments}|{absolute}|{pchar_no_colon}+{segments}|){tail}"
    return uri, rf"(?:{uri}|{relative})"


_URI, _URI_REFERENCE = _reference()
_UCS = r"\u{a0}-\u{d7ff}\u{f900}-\u{fdcf}\u{fdf0}-\u{ffef}" + "".join(
    f"\\u{{{plane:x}{'1000' if plane == 14 else '0000'}}}-\\u{{{plane:x}fffd}}" for plane in range(1, 15)
)
_PRIVATE = r"\u{e000}-\u{f8ff}\u{f0000}-\u{ffffd}\u{100000}-\u{10fffd}"
_IRI, _IRI_REFERENCE = _reference(_UCS, _PRIVATE)
_VARIABLE = rf"(?:[a-zA-Z0-9_]|{_HEX2})(?:\.?(?:[a-zA-Z0-9_]|{_HEX2}))*(?::[1-9][0-9]{{0,3}}|\*)?"
_LETTER = (
    r"[a-z0-9\u{df}-\u{f6}\u{f8}-\u{ff}\u{3ac}-\u{3ce}\u{430}-\u{45f}\u{3041}-\u{3094}\u{30a1}-\u{30fa}\u{30fc}"
    r"\u{3007}\u{4e00}-\u{9fa5}\u{ac00}-\u{d7a3}]"
)
_IDN_LABEL = rf"(?:{_LABEL}|{_LETTER}(?:-?{_LETTER}){{0,10}})"
_IDN_HOSTNAME = rf"(?:{_HOSTNAME}|{_IDN_LABEL}(?:[.\u{{3002}}\u{{ff0e}}\u{{ff61}}]{_IDN_LABEL}){{0,2}})"
_IDN_ATOM = _ATOM.replace("~-]", r"~\u{80}-\u{10ffff}-]")
_IDN_LOCAL = rf'(?:{_IDN_ATOM}(?:\.{_IDN_ATOM})*|"(?:[ !#-\[\]-~\u{{80}}-\u{{10ffff}}]|\\[ -~])*")'
_IDN_EMAIL = rf"(?:{_EMAIL}|{_IDN_LOCAL}@{_IDN_HOSTNAME})"


def _regular_expression() -> str:
    """ECMAScript's regular expressions, with groups in groups."""
    alphabets = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
    ranges = "|".join(f"{first}-[{first}-{letters[-1]}]" for letters in alphabets for first in letters)
    escape = r"\\(?:[\^$\\.*+?()\[\]{}|/dDwWsStnrvf]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|c[a-zA-Z])"
    members = rf"(?:{ranges}|[^\-\[\]\\\^\n\r\u{{0}}-\u{{1f}}\u{{7f}}]|{escape})"
    counts = "|".join(f"{low},[{low}-9]" for low in range(10))
    quantifier = rf"(?:(?:[*+?]|\{{(?:[0-9]{{1,3}},?|{counts}|[0-9],[1-9][0-9]{{1,2}})\}})\??)?"
    atom = rf"(?:[^\^$\\.*+?()\[\]{{}}|\n\r\u{{0}}-\u{{1f}}\u{{7f}}]|\.|{escape}|\[\^?{members}*\])"
    body = rf"(?:{atom}{quantifier}|[\^$|]|\\[bB])*"
    for _ in range(2):
        body = rf"(?:{atom}{quantifier}|[\^$|]|\\[bB]|\((?:\?:)?{body}\){quantifier}|\(\?<?[=!]{body}\))*"
    return body


_POINTER = r"(?:/(?:[^~/]|~[01])*)*"

PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}[Tt]{_TIME}",
    "duration": _DURATION,
    "idn-email": _IDN_EMAIL,
    "idn-hostname": _IDN_HOSTNAME,
    "regex": _regular_expression(),
    "email": _EMAIL,
    "hostname": _HOSTNAME,
    "ipv4": _IPV4,
    "ipv6": _IPV6,
    "uuid": r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}",
    "uri": _URI,
    "uri-reference": _URI_REFERENCE,
    "iri": _IRI,
    "iri-reference": _IRI_REFERENCE,
    "uri-template": (
        rf"(?:[!#$&'()*+,\-./:;=?@\[\]_~a-zA-Z0-9{_UCS}{_PRIVATE}]"
        rf"|{_HEX2}|\{{[+#./;?&=,!@|]?{_VARIABLE}(?:,{_VARIABLE})*\}})*"
    ),
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
}
"""Formats outside the standard are annotations."""
MAX_HOSTNAME_LENGTH = 253
