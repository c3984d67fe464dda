"""One setting of a table: the annotation of a dataclass field that gives its bounds and the interfaces that offer it."""

import ast
import inspect
from dataclasses import MISSING, Field, dataclass, fields, replace
from functools import cache
from itertools import pairwise
from textwrap import dedent
from typing import Any, Literal, get_args, get_origin, get_type_hints

MAX_SAFE_INTEGER = 2**53 - 1  # the largest that JavaScript represents exactly
SettingGroup = Literal["length", "sampling", "penalties", "stopping", "structure", "beams"]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The bounds of one setting and the interfaces that offer it."""

    group: SettingGroup
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    """Exclusive lower bound."""
    request_field: str = ""
    """Its name in OpenAI's and vLLM's requests, with a dot for a field of an object; empty: requests cannot set it."""
    request_minimum: float | None = None
    """The lower bound of a request, where clients send other values than `minimum` allows."""
    request_maximum: float | None = None
    max_items: int | None = None
    """Maximum number of texts or entries in one request."""
    in_vllm: bool = True
    """Whether vLLM knows the request field."""
    hugging_face: str = ""
    """Its name in generation_config.json; empty: the same."""
    shapes_draw: bool = False
    """Whether it only matters for random draws, so that setting it turns `do_sample` on."""
    changes_logits: bool = False
    """Whether any value but the default can change which token is the most likely."""
    label: str = ""
    """Its name on the chat page; empty: the page does not show it."""
    label_zh: str = ""
    page_help: str = ""
    """The help on the chat page; empty: `help`."""
    help_zh: str = ""
    slider: tuple[float, float, float] | None = None
    """Minimum, maximum and step of its slider on the chat page."""
    advanced: bool = False
    """Whether the chat page shows it under "More"."""

    # `build_table` fills these in from the field that the setting annotates.
    owner: type = object
    name: str = ""
    type: Any = None
    default: Any = None

    @property
    def help(self) -> str:
        """The docstring of the field, on one line."""
        return _field_docstrings(self.owner)[self.name]

    @property
    def bounds(self) -> str:
        """The allowed values in words; empty if any value of the type is allowed."""
        lower = f"at least {_format_bound(self.minimum)}" if self.minimum is not None else ""
        lower = f"above {_format_bound(self.above)}" if self.above is not None else lower
        upper = f"at most {_format_bound(self.maximum)}" if self.maximum is not None else ""
        return " and ".join(part for part in (lower, upper) if part)

    def allows(self, value: float) -> bool:
        """Whether a number is within the bounds; NaN never is."""
        return (
            value == value
            and (self.minimum is None or value >= self.minimum)
            and (self.maximum is None or value <= self.maximum)
            and (self.above is None or value > self.above)
        )

    def as_json(self) -> dict[str, Any]:
        """The setting as `/api/info` describes it to the chat page."""
        kind = "texts" if get_origin(self.type) is tuple else "integer" if self.type in (int, int | None) else "number"
        lower = [bound for bound in (self.minimum, self.request_minimum) if bound is not None]
        upper = [bound for bound in (self.maximum, self.request_maximum) if bound is not None]
        if self.above is not None and self.slider is not None:
            lower.append(self.slider[0])  # HTML has no exclusive bounds
        if kind == "integer":
            upper.append(MAX_SAFE_INTEGER)
        return {
            "name": self.request_field,
            "kind": kind,
            "label": {"en": self.label, "zh": self.label_zh},
            "help": {"en": self.page_help or self.help, "zh": self.help_zh},
            "minimum": max(lower, default=None),
            "maximum": min(upper, default=None),
            "slider": self.slider,
            "max_items": self.max_items,
            "advanced": self.advanced,
        }


def _format_bound(bound: float) -> str:
    return "2**63 - 1" if bound == 2**63 - 1 else str(bound)


def build_table(owner: type) -> dict[str, Setting]:
    """The settings of a dataclass whose fields are annotated with `Annotated[type, Setting(...)]`, by name."""
    hints = get_type_hints(owner, include_extras=True)
    table = {}
    for item in fields(owner):
        value_type, setting = get_args(hints[item.name])
        table[item.name] = replace(setting, owner=owner, name=item.name, type=value_type, default=_default(item))
    return table


def _default(item: "Field[Any]") -> Any:
    return item.default if item.default_factory is MISSING else item.default_factory()


@cache
def _field_docstrings(cls: type) -> dict[str, str]:
    """The docstring under each field of a class, which Python does not keep at run time."""
    definition = ast.parse(dedent(inspect.getsource(cls))).body[0]
    assert isinstance(definition, ast.ClassDef)
    docstrings = {}
    for statement, following in pairwise(definition.body):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                docstrings[name] = " ".join(text.split())
    return docstrings
