"""The formats of JSON Schema as regular expressions (Rust's syntax), more exact than llguidance's own.

Sources: RFC 3339 (dates and times), RFC 3986 (URI), RFC 3987 (IRI), RFC 4291 (IPv6), RFC 5321 (email), RFC 6570 (URI
templates), RFC 6901 (JSON pointers). They accept a little less than the standards: leap seconds only in UTC, and no
international names in ASCII form (xn--), whose validity is not a regular language.
"""

_DATE = (
    r"(?:[0-9]{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    r"|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    r"|(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)-02-29)"
)
_TIME = (
    r"(?:(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?(?:[Zz]|[+-](?:[01][0-9]|2[0-3]):[0-5][0-9])"
    r"|23:59:60(?:\.[0-9]+)?(?:[Zz]|[+-]00:00))"
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


def _reference(more: str) -> tuple[str, str]:
    """A URI and a URI or relative reference; `more` are the characters beyond ASCII that an IRI may have."""
    plain = rf"[a-zA-Z0-9._~!$&'()*+,;={more}-]"
    pchar, pchar_no_colon = rf"(?:{plain}|[:@]|{_HEX2})", rf"(?:{plain}|@|{_HEX2})"
    host = rf"(?:\[(?:{_IPV6}|[vV][0-9a-fA-F]+\.[a-zA-Z0-9._~!$&'()*+,;=:-]+)\]|(?:{plain}|{_HEX2})*)"
    authority = rf"(?:(?:{plain}|:|{_HEX2})*@)?{host}(?::[0-9]*)?"
    segments = rf"(?:/{pchar}*)*"
    tail = rf"(?:\?(?:{pchar}|[/?])*)?(?:#(?:{pchar}|[/?])*)?"
    absolute = rf"/(?:{pchar}+{segments})?"
    uri = rf"[a-zA-Z][a-zA-Z0-9+.-]*:(?://{authority}{segments}|{absolute}|{pchar}+{segments}|){tail}"
    relative = rf"(?://{authority}{segments}|{absolute}|{pchar_no_colon}+{segments}|){tail}"
    return uri, rf"(?:{uri}|{relative})"


_URI, _URI_REFERENCE = _reference("")
_IRI, _IRI_REFERENCE = _reference(r"\u{a0}-\u{d7ff}\u{f900}-\u{fdcf}\u{fdf0}-\u{ffef}\u{10000}-\u{1fffd}\u{20000}-\u{2fffd}")
_VARIABLE = rf"(?:[a-zA-Z0-9_]|{_HEX2})(?:\.?(?:[a-zA-Z0-9_]|{_HEX2}))*(?::[1-9][0-9]{{0,3}}|\*)?"
_POINTER = r"(?:/(?:[^~/]|~[01])*)*"

PATTERNS = {
    "date": _DATE,
    "time": _TIME,
    "date-time": rf"{_DATE}[Tt]{_TIME}",
    "duration": _DURATION,
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
        r"(?:[!#$&()*+,\-./:;=?@\[\]_~a-zA-Z0-9\u{a0}-\u{d7ff}\u{e000}-\u{fdcf}\u{fdf0}-\u{ffef}]"
        rf"|{_HEX2}|\{{[+#./;?&=,!@|]?{_VARIABLE}(?:,{_VARIABLE})*\}})*"
    ),
    "json-pointer": _POINTER,
    "relative-json-pointer": rf"(?:0|[1-9][0-9]*)(?:#|{_POINTER})",
}
UNSUPPORTED = ("idn-email", "idn-hostname", "regex")
"""Formats of the standard that no regular expression describes; formats outside the standard are annotations."""
MAX_HOSTNAME_LENGTH = 253
