"""House rules: few filler identifiers, and limits on the length of files and functions."""

import ast
from collections import Counter
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
FILES = sorted(SOURCE.rglob("*.py"))
FILLERS = {"found", "said", "place", "given", "known", "some", "told", "asked", "wanted"}
MAX_FILLERS = 20
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def identifiers(tree: ast.AST) -> list[str]:
    names = []
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) | ast.arg(arg=name) | ast.Attribute(attr=name) | ast.keyword(arg=str(name)):
                names.append(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                names.append(name)
    return names


def test_identifiers_name_what_they_hold() -> None:
    fillers = Counter(
        f"{path.relative_to(SOURCE)}: {name}"
        for path in FILES
        for name in identifiers(ast.parse(path.read_text(encoding="utf-8")))
        if name in FILLERS
    )
    assert fillers.total() < MAX_FILLERS, fillers


def test_no_file_is_too_long_to_read() -> None:
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: count for name, count in lines.items() if count > MAX_FILE_LINES} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    lengths = {
        f"{path.relative_to(SOURCE)}: {node.name}": node.end_lineno - node.lineno + 1
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None
    }
    assert {name: count for name, count in lengths.items() if count > MAX_FUNCTION_LINES} == {}
