"""The README and the docs: Python runs, commands parse, links work, both languages agree."""

import re
import shlex
from pathlib import Path

import pytest

from lmcraft import LanguageModel
from lmcraft.cli import command_name, parse_command
from lmcraft.commands import COMMANDS
from lmcraft.commands.examples import EXAMPLES, FIRST_STEPS
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT, tiny_model

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("recipes/*/README.md"), *ROOT.glob("benchmarks/*.md")]
)
BLOCKS = [
    *(block for page in PAGES for block in re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)),
    *(FIRST_STEPS, *EXAMPLES.values()),
]
SHOWN_COMMANDS = {
    line for block in BLOCKS for line in re.findall(r"^lmcraft (.+?)(?: && .*)?$", block.replace("\\\n", ""), re.MULTILINE)
}
# The page for people who know another tool shows its commands in tables.
SHOWN_COMMANDS |= {
    command
    for page in ROOT.glob("docs/**/coming-from.md")
    for command in re.findall(r"`lmcraft ((?!serve --engine)[^`]+ [^`]+)`", page.read_text(encoding="utf-8"))
}
README, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))


def python_block(readme: str) -> str:
    return readme.split("```python\n")[1].split("```")[0]


def test_the_readme_script_generates_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tokenizer, model, sampling and decoding, in as few lines as with transformers."""
    LanguageModel(tiny_model(vocab_size=300, max_position_embeddings=128), train_bpe([TEXT], vocab_size=300)).save(tmp_path)
    script = python_block(README).split("\n\ndata =")[0]
    exec(script.replace("quickstart/model", str(tmp_path)))
    assert capsys.readouterr().out.startswith("def read_json(path):\n")


def test_both_readmes_show_the_same_code_and_links() -> None:
    fence = re.compile(r"^```(?:sh|python)\n.*?^```", re.DOTALL | re.MULTILINE)
    english, chinese = ([re.sub(r" +#.*", "", block) for block in fence.findall(text)] for text in (README, CHINESE))
    assert english == chinese
    chinese_links = [link.replace("docs/zh/", "docs/") for link in re.findall(r"\]\((\S+?)\)", CHINESE)]
    assert re.findall(r"\]\((\S+?)\)", README)[1:] == chinese_links[1:]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_docs_list_every_command(name: str) -> None:
    assert f"`lmcraft {name}`" in (ROOT / "docs/commands.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("page", [page.relative_to(ROOT).as_posix() for page in PAGES])
def test_links_work(page: str) -> None:
    links = re.findall(r"\]\(([^\s)]+)\)", (ROOT / page).read_text(encoding="utf-8"))
    for link in links:
        target = (ROOT / page).parent / link.split("#")[0]
        assert "://" in link or target.exists(), link


@pytest.mark.parametrize("command", sorted(SHOWN_COMMANDS))
def test_shown_commands_parse(command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Every `lmcraft` line of a code block names a command and flags that exist."""
    monkeypatch.chdir(ROOT)
    words = shlex.split(command.split("|")[0].split(" < ")[0], comments=True)
    position = len(command_name(words).split())
    if len(words) > position and words[position].endswith(".toml") and not Path(words[position]).exists():
        space = tmp_path / "space.toml"  # the page shows it
        space.touch()
        words[position] = str(space) if words[0] == "search" else "a-dataset"  # a run that the page describes writes that
    parse_command(words)
