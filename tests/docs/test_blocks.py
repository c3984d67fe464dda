"""Every code block of the documentation is run, or checked as far as it can be without what it needs.

`tests/test_documented_code.py` runs the blocks of README and docs in order, `tests/recipes` the recipes; here are the other
languages, the other programs, and the requests. A command that nothing runs has its reason in `OTHER_PROGRAMS` or `NOT_RUN`.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lmcraft.audits.strategies.experiment import read_experiment
from lmcraft.cli import parse_command
from lmcraft.evaluation.task import TaskConfig
from lmcraft.moderation.policy import read_policy
from lmcraft.server.http.keys import Keys
from tests.docs.blocks import ROOT, Block, blocks, commands, pages
from tests.docs.other_programs import NOT_ASKED, OTHER_PROGRAMS
from tests.server.tiny_server import Server, running

SHELL = ("sh", "bash", "console", "shell")
LANGUAGES = {*SHELL, "", "text", "markdown", "python", "py", "toml", "yaml", "json", "lua", "nginx", "ini", "dockerfile"}
PAGES = pages()
SHELL_BLOCKS = [block for page in PAGES for block in blocks(page, *SHELL)]
COMMANDS = sorted({command for block in SHELL_BLOCKS for command in commands(block)})
CURL = [command for command in COMMANDS if command.startswith("curl ")]


def test_the_languages_are_known() -> None:
    fences = re.compile(r"^```(\w*)[^\n`]*\n.*?^```", re.DOTALL | re.MULTILINE)
    used = {language for page in PAGES for language in fences.findall((ROOT / page).read_text(encoding="utf-8"))}
    assert used <= LANGUAGES


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_the_shell_reads_every_block() -> None:
    code = "\n".join(block.code for block in SHELL_BLOCKS)
    checked = subprocess.run(["bash", "-n"], input=code, text=True, capture_output=True)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.startswith(("lmcraft ", "curl "))])
def test_commands_of_other_programs_are_known(command: str) -> None:
    if command.startswith("python "):
        check_script(shlex.split(command, comments=True)[1:])
        return
    assert any(command.startswith(start) for start in OTHER_PROGRAMS), "run it in a test, or add it with the reason"
    if command.startswith("pip install"):
        check_extras(command)
    if " -m lmcraft " in command:
        words = shlex.split(command.partition(" -m lmcraft ")[2].replace("$resume", ""), comments=True)
        parse_command(["a-dataset" if word.endswith(".toml") else word for word in words if word != "&"])


def check_script(words: list[str]) -> None:
    """The script or the recipe exists, and its source has the flags."""
    if words[:2] == ["-m", "recipes"]:
        script = ROOT / "recipes" / words[2] / "recipe.py" if len(words) > 2 else ROOT / "recipes/__main__.py"
        known = script.read_text(encoding="utf-8") + (ROOT / "recipes/__main__.py").read_text(encoding="utf-8")
    else:
        script = ROOT / words[0]
        sources = script.glob("*.py") if script.is_dir() else [script, *script.parent.glob("*.py")]
        known = "".join(path.read_text(encoding="utf-8") for path in sources)
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    assert [flag for flag in flags if f'"{flag}"' not in known] == []


def check_extras(command: str) -> None:
    """The extras of lmcraft that a command names exist."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = re.findall(r"(?:lmcraft|\.)\[([\w,-]+)\]", command)
    assert {extra for names in named for extra in names.split(",")} <= set(extras)


@pytest.mark.parametrize("block", [block for page in PAGES for block in blocks(page, "toml")], ids=lambda block: block.page)
def test_toml_is_read_by_what_it_is_for(block: Block, tmp_path: Path) -> None:
    """Recipes, spaces and settings are read where the page's commands run; tasks, policies and experiments here."""
    table = tomllib.loads(block.code)
    file = tmp_path / "shown.toml"
    file.write_text(block.code, encoding="utf-8")
    if "kind" in table and block.page in ("docs/add-a-task.md", "docs/evaluation.md"):
        TaskConfig.from_toml(file)
    elif block.page == "docs/guard.md" and "version" in table:
        read_policy(file)
    elif block.page == "docs/harm-and-perplexity.md":
        read_experiment(file)


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "json", "yaml")])
def test_json_and_yaml_are_valid(page: str) -> None:
    yaml = pytest.importorskip("yaml")
    for block in blocks(page, "yaml"):
        assert yaml.safe_load(block.code)
    for block in blocks(page, "json"):
        assert read_json(block.code), block.code


def read_json(code: str) -> object:
    """A value, fields of an object, or a value in each line."""
    for text in (code, f"{{{code}}}"):
        with suppress(json.JSONDecodeError):
            return json.loads(text)
    return [json.loads(line) for line in code.splitlines()]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("server"), keys=Keys.read(["a-key"])) as server:
        yield server


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", [command for command in CURL if not any(text in command for text in NOT_ASKED)])
def test_requests_are_answered(command: str, server: Server, tmp_path: Path) -> None:
    request = command.replace("http://127.0.0.1:8000", server.url)
    request = request.replace("curl ", 'curl --silent --show-error --fail-with-body -H "Authorization: Bearer a-key" ', 1)
    answer = subprocess.run(
        ["bash", "-c", request], cwd=tmp_path, env={**os.environ, "KEY": "a-key"}, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
