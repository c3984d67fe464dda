import io
import sys
from pathlib import Path
from typing import Any

import pytest

from lmcraft.cli import main
from lmcraft.commands.generate import GenerateConfig, generate
from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.language_model import LanguageModel
from tests.inference.helpers import language_model

PROMPT = "从前 there was"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny"
    language_model().save(path)
    return path


def test_it_prints_the_prompt_and_its_continuation(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    expected = LanguageModel.load(folder).complete(PROMPT, seed=1, max_new_tokens=30)
    assert main(["generate", str(folder), PROMPT, "--seed", "1", "--max-new-tokens", "30"]) == 0
    assert capsys.readouterr().out == PROMPT + expected + "\n"


@pytest.mark.parametrize("count", [1, 2])
def test_the_energy_goes_to_standard_error(count: int, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--seed", "1", "--max-new-tokens", "30", "--num-return-sequences", str(count)]
    assert main(["generate", str(folder), PROMPT, *flags]) == 0
    text = capsys.readouterr().out
    assert main(["generate", str(folder), PROMPT, *flags, "--energy"]) == 0
    output = capsys.readouterr()
    assert output.out == text and "energy: " in output.err and "per million tokens" in output.err


@pytest.mark.parametrize("prompt", [[], ["-"]])
def test_the_prompt_can_come_from_a_pipe(
    prompt: list[str], folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{PROMPT}\n"))
    assert main(["generate", str(folder), *prompt, "--max-new-tokens", "2"]) == 0
    assert capsys.readouterr().out.startswith(PROMPT) and PROMPT[-1] != "\n"


def test_flags_and_a_toml_file_are_equivalent(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--temperature", "0.8", "--top-p", "0.95", "--stop", "\\n", "--stop", "z", "--seed", "1"]
    flags += ["--logit-bias.198", "-5", "--no-early-stopping", "--max-new-tokens", "12"]
    assert main(["generate", str(folder), PROMPT, *flags, "--print-config"]) == 0
    file = tmp_path / "generate.toml"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    config = GenerateConfig.from_toml(file)
    expected = {"temperature": 0.8, "top_p": 0.95, "stop": ("\n", "z"), "seed": 1, "logit_bias": {"198": -5.0}}
    assert config.settings() == expected | {"early_stopping": False, "max_new_tokens": 12}
    main(["generate", str(folder), PROMPT, *flags])
    output = capsys.readouterr().out
    main(["generate", str(file)])
    assert capsys.readouterr().out == output


def test_dry_and_top_n_sigma_are_flags(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"dry_multiplier": 3.0, "dry_allowed_length": 1, "dry_penalty_last_n": -1, "top_n_sigma": 1.5, "seed": 1}
    flags = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", str(value))]
    assert main(["generate", str(folder), PROMPT, *flags, "--dry-sequence-breakers", "\\n", "--max-new-tokens", "40"]) == 0
    model = LanguageModel.load(folder)
    expected = model.complete(PROMPT, dry_sequence_breakers="\n", max_new_tokens=40, **settings)
    assert capsys.readouterr().out == PROMPT + expected + "\n"
    assert expected != model.complete(PROMPT, seed=1, top_n_sigma=1.5, max_new_tokens=40)


def test_several_continuations_are_numbered(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = GenerateConfig(folder, PROMPT, num_beams=3, num_return_sequences=2, max_new_tokens=8)
    text = generate(config)
    assert text.startswith(f"[1] {PROMPT}") and f"\n\n[2] {PROMPT}" in text
    assert capsys.readouterr().out == text + "\n"


def test_the_folders_settings_are_the_defaults(tmp_path: Path) -> None:
    model = language_model()
    LanguageModel(model.transformer, model.tokenizer, GenerationConfig(temperature=0, max_new_tokens=9)).save(tmp_path)
    greedy = PROMPT + model.complete(PROMPT, temperature=0, max_new_tokens=9)
    assert generate(GenerateConfig(tmp_path, PROMPT)) == greedy
    assert generate(GenerateConfig(tmp_path, PROMPT, temperature=3, seed=0)) != greedy


def test_a_terminal_sees_no_control_characters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        encoding = "utf-8"

        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.delenv("NO_COLOR", raising=False)
    generate(GenerateConfig(folder, "\x1b[31mred\ud800", max_new_tokens=2))
    assert screen.getvalue().startswith("\x1b[2m" r"\x1b[31mred?" "\x1b[0m")


def test_ctrl_c_ends_the_line(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(LanguageModel, "tokens", interrupted)
    assert main(["generate", str(folder), PROMPT]) == 130
    assert capsys.readouterr().out == PROMPT + "\n"


def test_errors_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, words in (
        ([str(folder), PROMPT, "--temperature", "-1"], "temperature=-1.0 must be at least 0"),
        ([str(folder), PROMPT, "--temprature", "1"], "--temperature"),
        ([str(folder), "--temprature=1"], "the nearest is --temperature"),
        ([str(folder / "none"), PROMPT], "does not exist: check the path"),
    ):
        assert main(["generate", *arguments]) == 2
        error = capsys.readouterr().err
        assert words in error and error.count("\n") == 1


def test_a_missing_gpu_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcraft.machine.gpu_kind", lambda: "")
    with pytest.raises(UserError, match="--device cpu"):
        generate(GenerateConfig(folder, PROMPT, device="cuda:1"))
