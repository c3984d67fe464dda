"""The Python reference: in docs/reference/, a line `::: lmcraft.LanguageModel` becomes the documentation of that object.

Read from the source by griffe, so torch is not imported. `::: commands` and `::: settings` stand for the functions of all
commands, and for the classes of their settings.
"""

import re
from collections.abc import Iterator
from functools import cache

import griffe
from griffe import Attribute, Class, Function, Object

from lmcraft.commands import COMMANDS
from scripts.docs_site.pages import ROOT, DocsError

DIRECTIVE = re.compile(r"^::: ([\w.]+)$", re.MULTILINE)
LISTS = {
    "commands": [command.function for command in COMMANDS.values()],
    "settings": sorted({command.config for command in COMMANDS.values()}),
}
LINE_LENGTH = 88
SHOWN_METHODS = ("__call__", "__enter__", "__iter__")  # of those with underscores


def with_documentation(text: str) -> str:
    """A page with its `:::` lines replaced. Raises DocsError if there is no such object, or nobody has documented it."""
    return DIRECTIVE.sub(lambda match: "\n".join(line for path in paths(match[1]) for line in describe(path)), text)


def paths(directive: str) -> list[str]:
    """The import paths of what a directive stands for."""
    return [f"lmcraft.{name}" for name in LISTS[directive]] if directive in LISTS else [directive]


@cache
def package() -> Object:
    loader = griffe.GriffeLoader(search_paths=[ROOT / "src"], docstring_parser="google")
    loaded = loader.load("lmcraft")
    assert isinstance(loaded, Object)
    return loaded


def find(path: str) -> Object:
    """The object that an import path names, where it is defined."""
    try:
        found = package()[path.removeprefix("lmcraft.")]
        return found.final_target if found.is_alias else found  # type: ignore[no-any-return]
    except (KeyError, griffe.AliasResolutionError, griffe.CyclicAliasError) as error:
        raise DocsError(f"docs/reference: there is no {path}") from error


def describe(path: str) -> list[str]:
    documented = find(path)
    if documented.docstring is None and "__doc__" not in documented.members:
        raise DocsError(f"docs/reference: {path} has no docstring")
    lines = [f"## `{path}` {{ #{documented.name.lower()} }}", ""]
    if isinstance(documented, Class):
        return [*lines, *_class(documented)]
    if isinstance(documented, Function):
        return [*lines, *_function(documented, documented.name)]
    return [*lines, *_docstring(documented)]


def _class(cls: Class) -> list[str]:
    fields = list(_fields(cls))
    start = cls.all_members.get("__init__")
    lines = []
    if isinstance(start, Function) and "__init__" in cls.members and not fields_only(cls):
        lines += _signature(start, cls.name)
    lines += _docstring(cls)
    if isinstance(start, Function) and start.docstring is not None:
        lines += _docstring(start)
    if fields:
        lines += ["| field | type | default | meaning |", "|---|---|---|---|"]
        lines += [_field_row(attribute) for attribute in fields]
        lines.append("")
    for method in methods(cls):
        lines += [f"### `{method.name}` {{ #{cls.name.lower()}.{method.name.lower()} }}", ""]
        lines += _docstring(method) if "property" in method.labels else _function(method, method.name)
    return lines


def fields_only(cls: Class) -> bool:
    """Whether a reader cares for the fields alone: settings."""
    return cls.name.endswith("Config")


def methods(cls: Class) -> Iterator[Function | Attribute]:
    """Public methods and properties, inherited ones too, that have a docstring."""
    if fields_only(cls):
        return
    for name, member in cls.all_members.items():
        target = member.final_target if member.is_alias else member
        is_method = isinstance(target, Function) or "property" in target.labels
        if is_method and target.docstring is not None and (not name.startswith("_") or name in SHOWN_METHODS):
            yield target  # type: ignore[misc]


def _fields(cls: Class) -> Iterator[Attribute]:
    """Attributes, inherited ones too, that have a docstring; groups of settings; the fields of other dataclasses."""
    for name, member in cls.all_members.items():
        attribute = member.final_target if member.is_alias else member
        if not isinstance(attribute, Attribute) or name.startswith("_") or "property" in attribute.labels:
            continue
        is_group = re.search(r"\bsection\(", str(attribute.annotation)) is not None
        is_field = "dataclass" in cls.labels and "class-attribute" in attribute.labels
        if attribute.docstring is not None or is_group or (is_field and not fields_only(cls)):
            yield attribute


def _field_row(attribute: Attribute) -> str:
    default = str(attribute.value) if attribute.value is not None and "class-attribute" in attribute.labels else ""
    if default.startswith("field("):
        factory = re.search(r"default_factory=(\w+)", default)
        default = f"{factory[1]}()" if factory else ""
    text = _line(attribute.docstring.value) if attribute.docstring else ""
    cells = (f"`{attribute.name}`", _code(_type(attribute)), _code(default), _prose(text))
    return f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"


def _code(text: str) -> str:
    return f"<code>{text.replace('<', '&lt;')}</code>" if text else ""


def _type(attribute: Attribute) -> str:
    """Without what the command line needs to know: Annotated[int, ...] is int."""
    annotation = attribute.annotation
    if isinstance(annotation, griffe.ExprSubscript) and str(annotation.left) == "Annotated":
        assert isinstance(annotation.slice, griffe.ExprTuple)
        annotation = annotation.slice.elements[0]
    return str(annotation or "")


def _function(function: Function, name: str) -> list[str]:
    return [*_signature(function, name), *_docstring(function)]


def _signature(function: Function, name: str) -> list[str]:
    parameters = [parameter for parameter in function.parameters if parameter.name not in ("self", "cls")]
    shown: list[str] = []
    keyword_only = False
    for parameter in parameters:
        variadic = {"variadic positional": "*", "variadic keyword": "**"}.get(
            parameter.kind.value if parameter.kind else "", ""
        )
        if parameter.kind is griffe.ParameterKind.keyword_only and not keyword_only:
            keyword_only = True
            if not any(item.startswith("*") for item in shown):
                shown.append("*")
        annotation = f": {parameter.annotation}" if parameter.annotation is not None else ""
        default = f" = {parameter.default}" if parameter.default is not None and not variadic else ""
        shown.append(f"{variadic}{parameter.name}{annotation}{default}")
    result = f" -> {function.returns}" if function.returns is not None and name == function.name else ""
    line = f"{name}({', '.join(shown)}){result}"
    if len(line) > LINE_LENGTH:
        inner = "".join(f"    {item},\n" for item in shown)
        line = f"{name}(\n{inner}){result}"
    return ["```python", line, "```", ""]


def _docstring(documented: Object) -> list[str]:
    lines: list[str] = []
    if settings := _settings(documented):
        lines += [
            f"Takes a [`{settings}`](settings.md#{settings.lower()}), or its fields by name; a group of settings is a dict.",
            "",
        ]
    if documented.docstring is None:
        return lines
    for section in documented.docstring.parsed:
        kind, value = section.kind.value, section.value
        if kind == "text":
            lines += [_prose(str(value)), ""]
        elif kind in ("parameters", "other parameters", "attributes"):
            lines += ["| parameter | meaning |", "|---|---|"]
            lines += [f"| `{item.name}` | {_prose(_line(item.description)).replace('|', '&#124;')} |" for item in value]
            lines.append("")
        elif kind == "raises":
            lines += ["Raises:", "", *(f"- `{item.annotation}`: {_prose(_line(item.description))}" for item in value), ""]
        elif kind in ("returns", "yields"):
            texts = [f"`{item.name}`: {_line(item.description)}" if item.name else _line(item.description) for item in value]
            lines += [f"{kind.capitalize()}: {_prose(' '.join(texts))}", ""]
        else:
            lines += [f"**{section.title or kind.capitalize()}**", "", _prose(str(getattr(value, "description", value))), ""]
    return lines


def _settings(documented: Object) -> str:
    """The class of the settings that a command takes as a function."""
    decorators = documented.decorators if isinstance(documented, Function) else []
    return next(
        (str(d.value).removeprefix("takes_settings(").rstrip(")") for d in decorators if "takes_settings(" in str(d.value)),
        "",
    )


def _line(text: str) -> str:
    return " ".join(text.split())


def _prose(text: str) -> str:
    """Mentions of pages as links."""
    return re.sub(r"`?\bdocs/([\w-]+\.md)`?", r"[\1](../\1)", text)
