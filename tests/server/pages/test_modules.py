"""The ES modules and styles of the pages (chat, review, runs), without a browser: syntax, imports, strings, types."""

import gzip
import json
import re
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.server.tiny_server import Server

PAGES = Path(__file__).parents[3] / "src" / "lmcraft" / "server" / "pages"
VENDOR = PAGES / "vendor"
HTML = (PAGES / "index.html", PAGES / "review.html", PAGES / "runs.html")
MODULES = sorted(path for path in PAGES.rglob("*.js") if path.parent != VENDOR)
VENDOR_MODULES = sorted(VENDOR.glob("*.js"))
# Parses and links every module without running it, and prints the imports. Linking checks that imported names are exported.
LINK = """
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import vm from "node:vm";

const modules = new Map();
const load = (path) => {
  if (!modules.has(path)) modules.set(path, new vm.SourceTextModule(readFileSync(path, "utf8"), { identifier: path }));
  return modules.get(path);
};
const imports = {};
const link = (specifier, parent) => load(resolve(dirname(parent.identifier), specifier));
for (const path of process.argv.slice(2)) {
  const module = load(path);
  imports[path] = module.dependencySpecifiers.map((specifier) => resolve(dirname(path), specifier));
  if (module.status === "unlinked") await module.link(link);
}
console.log(JSON.stringify(imports));
"""
# The folders that the modules of a folder may import from.
ALLOWED_IMPORTS = {
    "net": {"net", "."},
    "chat": {"chat", "net", "."},
    "views": {"views", "chat", "vendor", "."},
    "runs": {"runs", "runs/state", "runs/views", "net", "views", "."},
    "runs/net": {"net"},
    "runs/state": {"runs/state", "runs/net"},
    "runs/charts": {"runs/charts", "runs/state", "runs", "views", "."},
    "runs/views": {"runs/views", "runs/charts", "runs/state", "runs/net", "runs", "net", "views", "."},
    "review": {"review", "review/net", "review/views", "net", "views", "."},
    "review/net": {"review/net", "net", "."},
    "review/state": {"review/state", "review/net", "net", "."},
    "review/views": {"review/views", "review/state", "review/net", "review", "net", "views", "."},
}
EXPORT = re.compile(r"^export (?:async )?(?:function\*?|class|const|let) (\w+)", re.MULTILINE)
IMPORT = re.compile(r"^(?:import|\s+const) \{([^}]+)\} (?:from|= await import)", re.MULTILINE)
MAX_SENT_BYTES = 250_000  # of all files of the page, compressed
MAX_BYTES = 400_000  # of the files that every page loads
LOADED_WHEN_NEEDED = ("temml.js", "prism.js")  # for the first formula, for the first block of code
STRING_KEY = re.compile(r"^  (\w+): \[", re.MULTILINE)


@pytest.fixture(scope="module")
def imports(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[Path]]:
    """The modules that each module imports."""
    if (node := shutil.which("node")) is None:
        pytest.skip("node is not installed")
    script = tmp_path_factory.mktemp("node") / "link.mjs"
    script.write_text(LINK, encoding="utf-8")
    command = [node, "--experimental-vm-modules", "--no-warnings", str(script), *map(str, [*MODULES, *VENDOR_MODULES])]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return {Path(path): [Path(target) for target in targets] for path, targets in json.loads(result.stdout).items()}


def test_every_module_parses_and_every_import_resolves(imports: dict[Path, list[Path]]) -> None:
    assert sorted(imports) == sorted([*MODULES, *VENDOR_MODULES])


def test_imports_have_no_cycles(imports: dict[Path, list[Path]]) -> None:
    remaining = dict(imports)
    while leaves := [path for path, targets in remaining.items() if not remaining.keys() & set(targets)]:
        for path in leaves:
            del remaining[path]
    assert not remaining, f"import cycle among {sorted(path.name for path in remaining)}"


def test_modules_import_only_from_allowed_folders(imports: dict[Path, list[Path]]) -> None:
    for path, targets in imports.items():
        if path.parent != PAGES:
            allowed = ALLOWED_IMPORTS.get(path.parent.relative_to(PAGES).as_posix(), set())
            for target in targets:
                folder = target.parent.relative_to(PAGES).as_posix()
                assert folder in allowed, f"{path.name} may not import {target.name}"


def test_the_chat_page_loads_nothing_of_other_pages(imports: dict[Path, list[Path]]) -> None:
    for path, targets in imports.items():
        assert is_of_another_page(path) or not [target for target in targets if is_of_another_page(target)]
    assert not re.search("review|runs", re.sub(r"<a [^>]*>|<!--.*?-->", "", HTML[0].read_text("utf-8")))


def test_every_export_is_imported_somewhere() -> None:
    code = "\n".join(path.read_text("utf-8") for path in MODULES)
    imported = {name.strip() for names in IMPORT.findall(code) for name in names.split(",")}
    assert set(EXPORT.findall(code)) - imported == set()


def test_strings_are_defined_and_used() -> None:
    html = "\n".join(path.read_text("utf-8") for path in HTML)
    tables = [path for path in MODULES if path.name.endswith("strings.js")]
    code = "\n".join(path.read_text("utf-8") for path in MODULES if path not in tables)
    keys = [key for path in tables for key in STRING_KEY.findall(path.read_text("utf-8"))]
    literal = set(re.findall(r'\bt\("(\w+)"', code)) | set(re.findall(r'data-t(?:-\w+)?="(\w+)"', html))
    assert literal <= set(keys)
    # Keys in templates, such as t(`${name}More`), and in tables, such as {label: "themeDark"}.
    templates = [re.sub(r"\$\{[^}]*\}", r"\\w+", template) for template in re.findall(r"\bt\(`([^`]*)`", code)]
    unused = set(keys) - literal - set(re.findall(r'"(\w+)"', code))
    assert [key for key in unused if not any(re.fullmatch(template, key) for template in templates)] == []
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("page", ["review", "runs"])
def test_a_page_uses_no_strings_of_another_page(page: str) -> None:
    own = [
        path for path in MODULES if not re.search({"review": "runs/", "runs": "review/"}[page], str(path.relative_to(PAGES)))
    ]
    keys = {key for path in own if path.name.endswith("strings.js") for key in STRING_KEY.findall(path.read_text("utf-8"))}
    code = "\n".join(path.read_text("utf-8") for path in own)
    assert set(re.findall(r'\bt\("(\w+)"', code)) <= keys


def test_every_class_and_id_in_the_styles_is_used() -> None:
    markup = "\n".join(path.read_text("utf-8") for path in [*MODULES, *HTML])
    for path in [path for path in PAGES.rglob("*.css") if path.parent != VENDOR]:
        selectors = re.sub(r"/\*.*?\*/|\{[^{}]*\}", "", path.read_text("utf-8"), flags=re.DOTALL)
        for name in re.findall(r"[.#]([a-z][\w-]*)", selectors):
            stem = name.rstrip("0123456789")  # numbered classes, such as h1 and p9, are composed in the code
            assert re.search(rf"\b{stem}(?:\b|\$\{{)", markup), f"{path.name}: {name}"


def test_files_that_the_pages_load_exist() -> None:
    html = "\n".join(path.read_text("utf-8") for path in HTML)
    loaded = re.findall(r'(?:src|href)="/pages/([^"]+)"', html)
    assert {PAGES / name for name in loaded} >= set(PAGES.rglob("*.css"))
    assert all((PAGES / name).is_file() for name in loaded)


def test_files_are_served_with_their_media_type(server: Server) -> None:
    media_types = {".js": "text/javascript", ".css": "text/css"}
    for path in [path for path in PAGES.rglob("*.*") if path.suffix in media_types]:
        with urlopen(f"{server.url}/pages/{path.relative_to(PAGES)}", timeout=10) as response:
            assert response.headers.get_content_type() == media_types[path.suffix]
            assert response.read() == path.read_bytes()


def test_vendored_files_are_those_of_the_manifest() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text("utf-8"))
    hashes = {
        path.name: sha256(path.read_bytes()).hexdigest() for path in VENDOR.iterdir() if path.suffix in (".js", ".css")
    }
    assert {name: file["sha256"] for name, file in manifest["files"].items()} == hashes
    licenses = (VENDOR / "LICENSES.txt").read_text("utf-8")
    for name in {name for file in manifest["files"].values() for name in file["packages"]}:
        assert (
            re.fullmatch(r"\d+\.\d+\.\d+", manifest["packages"][name]["version"])
            and manifest["packages"][name]["license"] == "MIT"
        )
        assert f"{name}\n\n" in licenses


def is_of_another_page(path: Path) -> bool:
    return re.search("review|runs|frame", path.relative_to(PAGES).as_posix()) is not None


def test_the_chat_page_is_light() -> None:
    files = [path for path in PAGES.rglob("*") if path.suffix in (".js", ".css", ".html")]
    paths = [path for path in files if not is_of_another_page(path)]
    assert sum(len(gzip.compress(path.read_bytes())) for path in paths) < MAX_SENT_BYTES
    assert sum(path.stat().st_size for path in paths if path.name not in LOADED_WHEN_NEEDED) < MAX_BYTES
