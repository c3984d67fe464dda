"""What the README says is true: its Python runs, its commands exist, both languages say the same."""

import re
from pathlib import Path

import pytest

from lmcraft import LanguageModel
from lmcraft.cli import COMMANDS
from lmcraft.tokenizer.train import train_bpe
from tests.tiny import TEXT, tiny_model

ROOT = Path(__file__).parents[1]
README, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh.md"))


def python_of(readme: str) -> str:
    return readme.split("```python\n")[1].split("```")[0]


def test_the_script_of_the_readme_generates_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Tokenizer, model, sampling and decoding, in as many lines as with transformers."""
    LanguageModel(tiny_model(vocab_size=300, max_position_embeddings=128), train_bpe([TEXT], vocab_size=300)).save(tmp_path)
    script = python_of(README).split("\n\ndata =")[0]
    exec(script.replace("quickstart/model", str(tmp_path)))
    assert capsys.readouterr().out.startswith("def read_json(path):\n")


def test_both_readmes_show_the_same_code_and_every_command() -> None:
    assert python_of(README) == python_of(CHINESE)
    for name in COMMANDS:
        assert f"`lmcraft {name}`" in README or f"`{name}`" in README or f"lmcraft {name}`" in README, name
    assert re.findall(r"\]\((\S+?)\)", README)[1:] == re.findall(r"\]\((\S+?)\)", CHINESE)[1:]


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\((\S+?)\)", README + CHINESE))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists(), link
