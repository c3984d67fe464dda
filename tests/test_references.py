"""Files and modules that comments, docstrings and documentation mention exist."""

import ast
import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("src", "tests", "benchmarks", "scripts", "docs", "recipes", "deploy")
SKIPPED_PARTS = {"shared", "__pycache__", "node_modules", "vendor"}
FILE_NAME = re.compile(r"(?<![\w./*{-])((?:[\w-]+/)*[\w-]+\.(?:py|js|css|cpp|h|md))(?![\w*(-])")
DOTTED_NAME = re.compile(r"(?<![\w./])lmcraft((?:\.[A-Za-z_]\w*)+)")
PLACEHOLDER = re.compile(r"(?:^|_)[A-Z]{2,}$")  # FILE.py, test_NAME.py
# Files of other projects and of model folders.
EXTERNAL_FILES = {
    "llama.cpp",
    "llama-vocab.cpp",
    "convert_hf_to_gguf.py",
    "gguf.md",
    "base_train.py",
    "gpt.py",
    "optim.py",
    "argparse.py",
    "malloc.h",
    "README.md",
    "my_scrubber.py",  # of the reader, as is the next
    "harm.py",
}


def repository_files() -> list[Path]:
    files = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    return [path for path in files if not SKIPPED_PARTS & set(path.relative_to(ROOT).parts)]


@cache
def repository_paths() -> frozenset[str]:
    return frozenset(f"/{path.relative_to(ROOT).as_posix()}" for path in repository_files())


def prose_of(path: Path) -> str:
    """The text of a Markdown file; the comments of other files, and the docstrings of Python files."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return text
    if path.suffix in (".js", ".css", ".cpp", ".h"):
        return "\n".join(re.findall(r"/\*.*?\*/|(?<!:)//[^\n]*", text, re.DOTALL))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    comments = [token.string for token in tokens if token.type == tokenize.COMMENT]
    strings = [
        node.value.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    ]
    return "\n".join(comments + strings)


@cache
def names_in(module: Path) -> frozenset[str]:
    """Names that a module defines or imports at the top level."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update(alias.asname or alias.name for alias in node.names)
    return frozenset(names)


def resolves(parts: list[str]) -> bool:
    """Whether a dotted name under lmcraft is a package, a module, or a name in one."""
    folder = ROOT / "src" / "lmcraft"
    for index, part in enumerate(parts):
        if (folder / part).is_dir():
            folder /= part
            continue
        module = folder / f"{part}.py"
        if module.is_file():
            return index + 1 == len(parts) or parts[index + 1] in names_in(module)
        return part in names_in(folder / "__init__.py") or (len(parts) == 1 and f'"{part}"' in public_names())
    return True


@cache
def public_names() -> str:
    return (ROOT / "src/lmcraft/__init__.py").read_text() + (ROOT / "src/lmcraft/cli.py").read_text()


def unknown_references(path: Path) -> list[str]:
    prose = prose_of(path)
    files = [
        name
        for name in FILE_NAME.findall(prose)
        if Path(name).name not in EXTERNAL_FILES
        and not PLACEHOLDER.search(Path(name).stem)
        and not any(path.endswith(f"/{name}") for path in repository_paths())
    ]
    dotted = [match.strip(".").split(".") for match in DOTTED_NAME.findall(prose)]
    modules = [".".join(parts) for parts in dotted if not parts[0].isupper() and not resolves(parts)]
    return files + [f"lmcraft.{name}" for name in modules]


SOURCES = [
    path
    for path in repository_files()
    if path.suffix in (".py", ".js", ".css", ".cpp", ".h", ".md") and path.name != "CHANGELOG.md"
]


@pytest.mark.parametrize("folder", [*FOLDERS, "."])
def test_mentioned_files_and_modules_exist(folder: str) -> None:
    """A test for each folder: one for each of thousands of files would take longer to report than to run."""
    paths = [
        path for path in SOURCES if path.relative_to(ROOT).parts[0] == folder or (folder == "." and path.parent == ROOT)
    ]
    assert paths
    unknown = {path.relative_to(ROOT).as_posix(): unknown_references(path) for path in paths}
    assert {path: names for path, names in unknown.items() if names} == {}
