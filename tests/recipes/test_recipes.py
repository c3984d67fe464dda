"""Every recipe runs in its shortened form, its settings are settings of the commands, and its figures are in the table."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.cli import parse_command
from lmcraft.evaluation.catalog import open_tasks
from recipes.__main__ import RECIPES, names, summary
from recipes.packages import FetchError
from recipes.work import results_table

ROOT = Path(__file__).parents[2]
COMMANDS = {  # with what a recipe may leave to the command line
    "prepare": ["--out", "dataset"],
    "pretrain": [],
    "finetune": ["--model", "model", "--data", "data"],
    "search": [],
    "serve": [],
}
TOML_FILES = sorted(path.relative_to(RECIPES).as_posix() for path in RECIPES.glob("*/*.toml"))
OTHER_COMMANDS = {"characters/best.toml": "pretrain"}
SOURCES = {"characters/prepare.toml": ["my-texts"]}  # of settings that name none
NO_COMMAND = {
    "policy",
    "medical",
    "unseen",
}  # moderation policies, word lists and tasks: their readers have tests of their own


@pytest.mark.slow
@pytest.mark.assets
@pytest.mark.parametrize("name", names())
def test_the_short_form_runs(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "recipes", name, str(tmp_path / "work"), "--short"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if FetchError.__name__ in result.stderr:
        pytest.skip(result.stderr.splitlines()[-1])
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
    assert json.loads((tmp_path / "work" / "results.json").read_text(encoding="utf-8"))["figures"]


@pytest.mark.parametrize("file", TOML_FILES)
def test_settings_are_those_of_the_command(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is named for its command, or for the task that it is: finetune.toml, finetune-chat.toml, task-names.toml."""
    monkeypatch.chdir(ROOT)
    stem = Path(file).stem.split("-")[0]
    command = OTHER_COMMANDS.get(file, stem)
    assert command in (*COMMANDS, "task", *NO_COMMAND)
    if command == "task":
        open_tasks([str(RECIPES / file)])
    if command in COMMANDS:
        parse_command([command, str(RECIPES / file), *SOURCES.get(file, []), *COMMANDS[command]])


@pytest.mark.parametrize("name", names())
def test_the_table_has_the_figures_of_the_last_run(name: str) -> None:
    page = (RECIPES / "README.md").read_text(encoding="utf-8")
    assert results_table(RECIPES) in page
    assert f"]({name}/README.md)" in page
    assert summary(name).endswith(".")
