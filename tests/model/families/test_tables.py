"""Families stay tables: if one grows long, a building block is missing."""

import ast
from importlib import import_module
from pathlib import Path
from statistics import median

import lmcraft.model.families
from lmcraft.model.families.family import Family

FOLDER = Path(lmcraft.model.families.__file__).parent


def lines_of_families() -> dict[str, float]:
    """Lines of code of each family: those of its file, shared by the families there; imports and docstrings do not count."""
    lines: dict[str, float] = {}
    for file in FOLDER.glob("*.py"):
        module, text = import_module(f"lmcraft.model.families.{file.stem}"), file.read_text(encoding="utf-8")
        statements = [node for node in ast.parse(text).body if not isinstance(node, ast.Import | ast.ImportFrom | ast.Expr)]
        targets = [target for node in statements if isinstance(node, ast.Assign) for target in node.targets]
        names = [target.id for target in targets if isinstance(target, ast.Name)]
        families = [value.model_type for name in names if isinstance(value := getattr(module, name), Family)]
        code = sum(len(text.splitlines()[node.lineno - 1 : node.end_lineno]) for node in statements)
        lines |= dict.fromkeys(families, code / max(1, len(families)))
    return lines


def test_tables_are_short() -> None:
    lines = lines_of_families()
    assert lines.keys() >= {"gpt2", "qwen3"}
    assert not {name: count for name, count in lines.items() if count > 60}
    assert median(lines.values()) <= 35
