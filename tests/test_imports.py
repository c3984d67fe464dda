"""lmcraft has no import cycles, not even for annotations."""

import ast
from collections.abc import Iterator
from pathlib import Path

import lmcraft

ROOT = Path(lmcraft.__file__).parent


def module_name(file: Path) -> str:
    parts = ("lmcraft", *file.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports_of(name: str, file: Path, modules: dict[str, Path]) -> set[str]:
    """The modules that a file imports anywhere: in functions and under TYPE_CHECKING too. Its own packages do not count."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            package = str(node.module)
            submodules = {f"{package}.{alias.name}" for alias in node.names}
            names |= submodules & modules.keys()
            if submodules - modules.keys():
                names.add(package)
    return {other for other in names & modules.keys() if not f"{name}.".startswith(f"{other}.")}


def cycles(graph: dict[str, set[str]]) -> Iterator[list[str]]:
    """A cycle through each module that a depth-first search reaches from itself."""
    done: set[str] = set()
    path: list[str] = []

    def visit(name: str) -> Iterator[list[str]]:
        if name in path:
            yield [*path[path.index(name) :], name]
        elif name not in done:
            path.append(name)
            for other in sorted(graph[name]):
                yield from visit(other)
            path.pop()
            done.add(name)

    for name in sorted(graph):
        yield from visit(name)


def test_no_import_cycles() -> None:
    modules = {module_name(file): file for file in ROOT.rglob("*.py")}
    graph = {name: imports_of(name, file, modules) for name, file in modules.items()}
    assert sum(map(len, graph.values())) > len(modules)
    assert [" -> ".join(cycle) for cycle in cycles(graph)] == []


def test_a_cycle_is_detected() -> None:
    assert list(cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}})) == [["a", "b", "c", "a"]]
    assert list(cycles({"a": {"b", "c"}, "b": {"c"}, "c": set()})) == []
