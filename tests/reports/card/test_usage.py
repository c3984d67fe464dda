"""The code of a model card runs."""

import json
import re
from contextlib import chdir
from pathlib import Path

import pytest

from lmcraft import FinetuneConfig, finetune
from lmcraft.cli import main
from lmcraft.finetuning.config import MethodConfig
from lmcraft.folder import ModelFolder
from lmcraft.reports.card import update_card

pytestmark = pytest.mark.slow
EXAMPLES = {
    "sft": [{"prompt": f"fox {n}", "completion": " jumps"} for n in range(20)],
    "classification": [{"text": f"fox {n}", "label": "ab"[n % 2]} for n in range(20)],
    "reward": [{"prompt": f"fox {n}", "chosen": " jumps", "rejected": " dogs"} for n in range(20)],
}


def run_code(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Run each piece of code in a card; returns the programs that it uses."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    update_card(folder)
    used = []
    for language, code in re.findall(r"```(bash|python)\n(.*?)```", (folder / "README.md").read_text(), re.DOTALL):
        with chdir(folder):
            if language == "python":
                exec(code, {})
                used += re.findall(r"^(?:from|import) (lmcraft|transformers|peft)", code, re.MULTILINE)
            elif " chat " not in code:
                arguments = re.fullmatch(r'lmcraft (\w+) \. "(.*)"\n', code)
                assert arguments is not None and main([arguments[1], ".", arguments[2]]) == 0
                used.append(arguments[1])
    return used


def test_a_model_that_continues_text(folder: ModelFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_code(folder.path, monkeypatch) == ["generate", "lmcraft", "transformers"]


@pytest.mark.parametrize(
    ("objective", "method", "used"),
    [
        ("sft", "lora", ["lmcraft", "peft", "transformers"]),
        ("classification", "full", ["classify", "transformers"]),
        ("reward", "lora", ["peft", "transformers"]),
    ],
)
def test_fine_tuned_models(
    folder: ModelFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, objective: str, method: str, used: list[str]
) -> None:
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in EXAMPLES[objective]))
    config = FinetuneConfig(
        str(folder.path),
        (data,),
        out=tmp_path / "tuned",
        objective=objective,  # type: ignore[arg-type]
        method=MethodConfig(name=method),  # type: ignore[arg-type]
        max_steps=1,
        report_answers=1,
    )
    assert run_code(finetune(config).path, monkeypatch) == used
