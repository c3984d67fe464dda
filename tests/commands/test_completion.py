"""The scripts, run by the shells themselves; zsh and fish where they are installed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lmcraft.cli import main
from lmcraft.commands.completion import completion_script

SHELLS = [
    pytest.param(shell, marks=pytest.mark.skipif(shutil.which(shell) is None, reason=f"{shell} is not installed"))
    for shell in ("bash", "zsh", "fish")
]
# Each prints the words that the shell offers for the line $LINE, one per line.
DRIVERS = {
    "bash": """
        source lmcraft.bash
        read -ra COMP_WORDS <<< "$LINE"
        [[ $LINE == *' ' ]] && COMP_WORDS+=("")
        COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
        _lmcraft
        printf '%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": "source lmcraft.fish; complete -C $LINE | string replace -r '\\t.*' ''",
    "zsh": """
        zmodload zsh/zpty
        zpty shell 'zsh -f -i'
        zpty -w shell 'stty columns 200; PROMPT=; fpath=($PWD $fpath); autoload -U compinit; compinit -u -d ./dump'
        zpty -w shell 'finish () { print -r -- $BUFFER > line }; zle -N finish; bindkey "^X" finish'
        zpty -w shell 'print ready > line'
        while ! [[ -s line ]]; do sleep 0.02; done
        while zpty -r -t shell output; do :; done
        rm line
        zpty -w -n shell "$LINE"$'\\t\\x18'
        while ! [[ -s line ]]; do sleep 0.02; done
        while zpty -r -t shell output; do print -r -- "$output"; done
        cat line
        zpty -d shell
    """,
}


@pytest.fixture(scope="module", params=SHELLS)
def shell(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A shell, and a folder with its script."""
    folder = tmp_path_factory.mktemp("completion")
    name = "_cyclopts_lmcraft" if request.param == "zsh" else f"lmcraft.{request.param}"
    (folder / name).write_text(completion_script(request.param))
    (folder / "models").mkdir()
    (folder / "run.toml").touch()
    return request.param, folder


def offered(shell: tuple[str, Path], line: str) -> list[str]:
    name, folder = shell
    (folder / "line").unlink(missing_ok=True)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "LINE": line, "PATH": path, "HOME": str(folder)}
    command = [name, "-f", "-c"] if name == "zsh" else [name, "-c"]
    result = subprocess.run([*command, DRIVERS[name]], capture_output=True, text=True, cwd=folder, env=environment)
    return [word.rstrip("/") for word in re.sub(r"\x1b\[[\d;?]*[A-Za-z]", " ", result.stdout).split()]


@pytest.mark.parametrize(
    ("line", "words", "others"),
    [
        ("lmcraft pre", {"prepare", "pretrain"}, {"finetune"}),
        ("lmcraft guard c", {"check", "compare"}, {"train"}),
        ("lmcraft finetune m d --obj", {"--objective"}, {"--out"}),
        ("lmcraft finetune m d --objective d", {"dpo", "distillation"}, {"sft"}),
        ("lmcraft pretrain r", {"run.toml"}, {"models"}),
        ("lmcraft chat smollm2-135m-", {"smollm2-135m-instruct"}, {"models"}),
        ("lmcraft chat m", {"models", "mistral-7b-instruct-v0.3"}, {"run.toml"}),
        ("lmcraft serve small m", {"models", "mistral-7b-instruct-v0.3"}, {"run.toml"}),
    ],
)
def test_a_line_is_completed(shell: tuple[str, Path], line: str, words: set[str], others: set[str]) -> None:
    assert words <= set(completed := offered(shell, line)), completed
    assert not others & set(completed)


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_it_is_installed_once(
    shell_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ZSH", "ZSH_CUSTOM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("lmcraft.commands.completion.completion_script", lambda shell: f"script of {shell}\n")
    startup = tmp_path / f".{shell_name}rc"
    startup.write_text("mine\n")
    for _ in range(2):
        assert main(["completion", shell_name, "--install"]) == 0
        path = Path(capsys.readouterr().out.split("\n")[0])
        assert path.read_text() == f"script of {shell_name}\n"
    lines = startup.read_text()
    assert lines.count("mine\n") == 1 and lines.count(str(path.parent)) == {"bash": 2, "zsh": 1, "fish": 0}[shell_name]
