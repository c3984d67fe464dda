"""A path that holds nothing, or something else than a command needs: the error says what it holds, and what to do."""

from pathlib import Path

import pytest

from lmcraft.cli import main
from lmcraft.folder import mismatch_error, missing_path_error


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in (
        "models/small/config.json",
        "models/large/adapter_config.json",
        "datasets/mine/manifest.json",
        "texts/a.txt",
        "run/lmcraft/checkpoints/step-000001/state",
        "tuning/lmcraft/checkpoints/step-000001/state",
    ):
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_text("")
    Path("empty").mkdir()
    Path("run/lmcraft/run.toml").write_text("depth = 4\n")
    Path("tuning/lmcraft/run.toml").write_text('objective = "sft"\n')


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("chat models/smal", "'models/smal' does not exist: is it 'models/small'?"),
        ("chat models/nowhere", "'models/nowhere' does not exist: check the path"),
        ("chat ./no/where", "'no/where' does not exist (there is no folder 'no'): check the path"),
        ("chat x.gguf", "'x.gguf' does not exist: check the path"),
        ("chat empty", "'empty' is an empty folder, not a model folder: it has no config.json"),
        ("chat texts", "'texts' is not a model folder: it has no config.json; `lmcraft pull` downloads a model"),
        (
            "chat run",
            "not a model folder: continue it with `lmcraft pretrain run/lmcraft/run.toml",
        ),
        ("chat tuning", "continue it with `lmcraft finetune tuning/lmcraft/run.toml --resume`"),
        (
            "chat datasets/mine",
            "a dataset folder, not a model folder: train a model on it with `lmcraft pretrain datasets/mine`",
        ),
        (
            "inspect models",
            "a folder of models, not a model folder: choose one of them, such as 'models/large', 'models/small'",
        ),
        ("serve models --store none", "`lmcraft serve --model-root models` serves all of them"),
        ("pretrain nowhere", "'nowhere' does not exist: check the path"),
        ("pretrain texts", "'texts' is not a dataset folder: make one with `lmcraft prepare texts --out DATASET`"),
        (
            "pretrain empty",
            "an empty folder, not a dataset folder: make one with `lmcraft prepare TEXT --out DATASET`",
        ),
        ("pretrain datasets", "is a folder of datasets, not a dataset folder: choose one of them, such as 'datasets/mine'"),
        (
            "pretrain models/small --out new",
            "not a dataset folder: make a dataset with `lmcraft prepare TEXT`",
        ),
        ("classify models/small text", "is a model folder, not a classifier: train one with `lmcraft finetune"),
        ("classify nowhere text", "'nowhere' does not exist: check the path"),
        ("report models/small", "is a model folder, not a training run: name the --out of"),
    ],
)
def test_the_error_names_content_and_remedy(command: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_odd_paths() -> None:
    for path in (Path("/"), Path(), Path("texts/a.txt/b")):
        assert str(mismatch_error(path, "model"))
        assert str(missing_path_error(path))
