"""Restructured text and catalogs of messages as plain text. Manual pages are in a module of their own."""

import re
from collections.abc import Iterator

from lmcraft.data.translations import po_entries

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}\s*")
_DIRECTIVE = re.compile(r"(\s*)\.\. (?:\|[^|]+\| )?([\w:.+-]+)::\s*(.*)")
_EXPLICIT = re.compile(r"(\s*)\.\.(?:\s+(.*))?$")
_OPTION = re.compile(r"\s+:[\w -]+:(?:\s.*)?$")
_FOOTNOTE = re.compile(r"\[(?:#?\w+|\*)\] ?(.*)")
HIDDEN_DIRECTIVES = re.compile(  # without words to read
    "toctree|image|figure-md|index|highlight|module|currentmodule|default-domain|include|literalinclude|contents|raw|"
    "meta|container|class|role|autoclass|automodule|autofunction|automethod|autosummary|testsetup|testcleanup|only|"
    "tabularcolumns|sectionauthor|moduleauthor|codeauthor|replace|unicode|date|py:module|py:currentmodule"
)
ADMONITIONS = {"note", "warning", "tip", "hint", "important", "caution", "danger", "attention", "error", "seealso"}
_INLINE = (
    (re.compile(r":[\w:.+-]+:`[~!]?([^`<]*?)\s*<[^`>]*>`"), r"\1"),  # :ref:`words <target>`
    (re.compile(r":[\w:.+-]+:`[~!]?([^`]*)`"), r"\1"),
    (re.compile(r"``([^`]+)``"), r"\1"),
    (re.compile(r"`([^`<]*?)\s*<[^`>]*>`__?"), r"\1"),
    (re.compile(r"`([^`]+)`__?(?!\w)"), r"\1"),
    (re.compile(r"`([^`]+)`"), r"\1"),
    (re.compile(r"\*\*(\S(?:[^*]*\S)?)\*\*"), r"\1"),
    (re.compile(r"(?<![\w*])\*([^\s*](?:[^*\n]*[^\s*])?)\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<=\])_(?!\w)"), ""),
    (re.compile(r"\|(\w[^|\n]*\w)\|_?"), r"\1"),
    (re.compile(r"\\([^\w\s])"), r"\1"),
)


def text_of_rst(text: str) -> str:
    """The words of a document in reStructuredText: no lines under titles, no directives without words, no roles."""
    lines: list[str] = []
    hidden: int | None = None  # the indentation of a block that is left out
    in_options = False
    for line in text.expandtabs().splitlines():
        indentation = len(line) - len(line.lstrip())
        if hidden is not None:
            if not line.strip() or indentation > hidden:
                continue
            hidden = None
        if in_options and _OPTION.match(line):
            continue
        in_options = False
        if match := _DIRECTIVE.match(line):
            space, name, argument = match.groups()
            if HIDDEN_DIRECTIVES.fullmatch(name):
                hidden = len(space)
            else:
                in_options = True
                lines += _describe_directive(space, name, argument)
        elif match := _EXPLICIT.match(line):
            footnote = _FOOTNOTE.match(match[2] or "")
            if footnote:
                lines.append(match[1] + _plain(footnote[1]))
            else:
                hidden = len(match[1])
        elif not _ADORNMENT.fullmatch(line):
            lines.append(_plain(line))
    return _join(lines)


def _describe_directive(space: str, name: str, argument: str) -> Iterator[str]:
    """The line that stands for the first line of a directive whose contents stay."""
    if name in ADMONITIONS:
        yield f"{space}{'See also' if name == 'seealso' else name.capitalize()}:{' ' * bool(argument)}{_plain(argument)}"
    elif name in ("code-block", "code", "sourcecode", "parsed-literal", "doctest", "testcode", "productionlist", "math"):
        yield space
    elif argument:
        yield space + _plain(argument)


def _plain(line: str) -> str:
    for pattern, replacement in _INLINE:
        line = pattern.sub(replacement, line)
    if line.endswith("::"):
        line = line.rstrip().removesuffix("::").rstrip() + (":" if line.strip() != "::" else "")
    return line.rstrip()


def _join(lines: list[str]) -> str:
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip("\n")
    return text + "\n" if text.strip() else ""


def text_of_messages(text: str) -> str:
    """The messages of a catalog (.po): the translations, and the originals of those without one or with a doubtful one."""
    paragraphs = []
    for fields in po_entries(text):
        original = fields.get("msgid", "")
        translations = [value for name, value in fields.items() if name.startswith("msgstr") and value]
        if not original:  # the header
            continue
        if translations and "fuzzy" not in fields:
            paragraphs += translations
        else:
            paragraphs += [original, *([fields["msgid_plural"]] if fields.get("msgid_plural") else [])]
    return "".join(f"{paragraph.strip()}\n\n" for paragraph in paragraphs if paragraph.strip()).removesuffix("\n")
