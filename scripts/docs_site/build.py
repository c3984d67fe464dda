"""Stage the pages of each language, and let Zensical build them."""

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import tomli_w

from scripts.docs_site.github_markdown import for_python_markdown, headings, with_anchors
from scripts.docs_site.links import PICTURES, Links
from scripts.docs_site.llms import llms_full_txt, llms_txt
from scripts.docs_site.navigation import expand, in_reading_order
from scripts.docs_site.pages import LANGUAGES, ROOT, DocsError, Page, english_pages, pages_of
from scripts.docs_site.reference import with_documentation

STAGES = ROOT / ".cache" / "docs"
HERE = Path(__file__).parent
VENDOR = ROOT / "src" / "lmcraft" / "server" / "pages" / "vendor"
CODE_NAMES = {".py": "python", ".toml": "toml", ".sh": "sh", ".js": "js", ".json": "json", ".yaml": "yaml", ".yml": "yaml"}


def build(out: Path, stages: Path = STAGES) -> None:
    """Raises DocsError with everything that is wrong: links, anchors, pages outside the navigation."""
    shutil.rmtree(out, ignore_errors=True)
    for language in LANGUAGES:
        folder = stage(language, stages)
        site = folder / "site"
        command = [
            sys.executable,
            "-m",
            "zensical",
            "build",
            "--clean",
            "--strict",
            "--config-file",
            str(folder / "zensical.toml"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        if done.returncode:
            raise DocsError(
                without_colors(done.stdout + re.sub(r"Traceback.*\n(?= *\w+Error)", "", done.stderr, flags=re.DOTALL))
            )
        if language == "zh":
            (worker,) = site.glob("assets/javascripts/workers/search.*.js")
            write(worker, (HERE / "han_pairs.js").read_text(encoding="utf-8") + worker.read_text(encoding="utf-8"))
        shutil.copytree(site, out / "zh" if language == "zh" else out)
    write(out / "llms.txt", llms(lambda page: f"{page.address.removesuffix('.md')}.html"))
    english = stages / "en" / "docs"
    texts = {page.address: (english / page.address).read_text(encoding="utf-8") for page in pages_of("en")}
    write(out / "llms-full.txt", llms_full_txt(settings_of("en", list(texts))["project"]["nav"], texts))


def llms(link: Callable[[Page], str] = lambda page: page.source) -> str:
    """llms.txt, for the repository unless `link` says where the pages are."""
    pages = pages_of("en")
    project = settings_of("en", [page.address for page in pages])["project"]
    return llms_txt(project["nav"], pages, project["site_description"], link)


def stage(language: str, stages: Path = STAGES) -> Path:
    """Write the pages, pictures and settings of a language to a folder that Zensical builds."""
    folder = stages / language
    shutil.rmtree(folder, ignore_errors=True)
    docs = folder / "docs"
    pages = pages_of(language)
    links = Links(language)
    for page in pages:
        write(docs / page.address, staged_text(page, language, links))
    if links.problems:
        raise DocsError("\n".join(links.problems))
    shutil.copytree(ROOT / "docs" / "images", docs / "images")
    for file in sorted(links.files):
        copy_file(file, docs)
    stage_assets(docs / "assets")
    settings = settings_of(language, [page.address for page in pages])
    write(folder / "zensical.toml", tomli_w.dumps(settings))
    return folder


def staged_text(page: Page, language: str, links: Links) -> str:
    text = with_documentation(for_python_markdown(links.rewrite(page)))
    if page.language == "zh":
        text = with_anchors(text, headings((ROOT / english_pages()[page.address]).read_text(encoding="utf-8")))
        titles = read_toml("zensical.zh.toml")["alerts"]
        text = re.sub(r"^(> \[!(\w+)\])$", lambda match: f"{match[1]} {titles[match[2]]}", text, flags=re.MULTILINE)
    if page.language == language:
        return text
    return f"---\nlanguage: {page.language}\n---\n{text}"  # main.html says that there is no translation


def copy_file(file: str, docs: Path) -> None:
    """A picture as it is; another file as a page that shows it, which the search leaves out."""
    source, target = ROOT / file, docs / "files" / file
    if file.endswith(PICTURES):
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        return
    text = source.read_text(encoding="utf-8").rstrip("\n")
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall(r"`+", text)), 3)
    code = f"{fence}{CODE_NAMES.get(PurePosixPath(file).suffix, 'text')}\n{text}\n{fence}\n"
    write(target.with_name(f"{target.name}.md"), f"---\nsearch:\n  exclude: true\n---\n# `{file}`\n\n{code}")


def stage_assets(folder: Path) -> None:
    """Styles and scripts, and Temml, which the chat page has too, as a script that runs in a page from the file system."""
    shutil.copytree(HERE / "assets", folder)
    module = (VENDOR / "temml.js").read_text(encoding="utf-8")
    script, count = re.subn(r"export\s*\{\s*([\w$]+) as buildMath\s*\};?\s*$", r"globalThis.buildMath=\1;", module)
    if count != 1:
        raise DocsError("vendor/temml.js does not end with the export of buildMath")
    write(folder / "vendor" / "temml.js", f"(() => {{{script}}})();\n")


def settings_of(language: str, pages: list[str]) -> dict[str, Any]:
    """zensical.toml, with zensical.zh.toml over it for Chinese, for a staged folder."""
    settings = read_toml("zensical.toml")
    chinese = read_toml("zensical.zh.toml")
    if language == "zh":
        settings = translate(merge(settings, {"project": chinese["project"]}), chinese["labels"])
    project = settings["project"]
    project["nav"] = expand(project["nav"], in_reading_order(pages), chinese["sections"] if language == "zh" else {})
    project["theme"]["custom_dir"] = str(HERE / "overrides")
    project["docs_dir"], project["site_dir"] = "docs", "site"
    project["extra"] = {"alternate": True, "other": {"en": "zh/", "zh": "../"}[language]}
    return settings


def read_toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text(encoding="utf-8"))


def merge(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    return base | {key: merge(base.get(key), value) for key, value in over.items()}


def translate(value: Any, labels: dict[str, str]) -> Any:
    """Replace each string that is a label."""
    if isinstance(value, dict):
        return {key: translate(item, labels) for key, item in value.items()}
    if isinstance(value, list):
        return [translate(item, labels) for item in value]
    return labels.get(value, value) if isinstance(value, str) else value


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def without_colors(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
