"""What a resumed run may change, what it refuses, and its record."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lmcraft import FinetuneConfig, PrepareConfig, PretrainConfig, finetune, prepare, pretrain
from lmcraft.cli import main
from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneOptimizerConfig, MethodConfig, ObjectiveConfig
from lmcraft.finetuning.objectives.grpo import GRPO
from lmcraft.finetuning.training_data import TrainingData
from lmcraft.folder import ModelFolder
from lmcraft.json_lines import read_json_lines
from lmcraft.model.config import InitConfig, TransformerConfig
from lmcraft.training.config import OptimizerConfig, ScheduleConfig
from tests.finetuning.chat import CHATML, chat_folder, message, write_rows
from tests.tiny import TEXT, tiny_dataset

SIZES = TransformerConfig(hidden_size=16, num_attention_heads=1)
ROWS = [{"messages": [message("user", f"Say {n}"), message("assistant", f"fox {n % 3}")]} for n in range(12)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset, a pretraining run of 2 steps in `pretrained`, and a LoRA run of 2 steps in `tuned`."""
    folder = tmp_path_factory.mktemp("runs")
    tiny_dataset(folder)
    chat_folder(folder / "base")
    for name in ("chat", "other"):
        rows = ROWS if name == "chat" else ROWS[::-1]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pretrain(pretraining(folder, resume=False))
    finetune(tuning(folder, resume=False))
    return folder


COMMON: dict[str, Any] = {"max_steps": 2, "batch_size": 2, "precision": "fp32", "device": "cpu", "eval_tokens": 64}
COMMON |= {"sample_every": 100, "eval_every": 1, "attention": "matmul", "resume": True}


def pretraining(folder: Path, **settings: Any) -> PretrainConfig:
    config = PretrainConfig(folder / "data", out=folder / "pretrained", depth=1, model=SIZES, sequence_length=32, **COMMON)
    return replace(config, **settings)


def tuning(folder: Path, **settings: Any) -> FinetuneConfig:
    objective = ObjectiveConfig(max_new_tokens=2, general_text=folder / "chat.jsonl")
    config = FinetuneConfig(
        str(folder / "base"), (folder / "chat.jsonl",), out=folder / "tuned", settings=objective, **COMMON
    )
    config = replace(
        config, method=MethodConfig(rank=2), sequence_length=64, validation=0.3, report_answers=0, packing=False
    )
    return replace(config, **settings)


def contents(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 3}, "depth=3 differs from depth=1 of the run in"),
        ({"depth": None, "model": replace(SIZES, num_hidden_layers=2)}, r"model\.num_hidden_layers=2 differs from .*=1"),
        ({"model": replace(SIZES, hidden_size=32)}, r"model\.hidden_size=32 differs from model\.hidden_size=16"),
        ({"model": replace(SIZES, residual_dropout=0.1)}, r"model\.residual_dropout=0\.1 differs from .*=0 "),
        ({"init": InitConfig(std=0.5)}, r"init\.std=0\.5 differs"),
        ({"batch_size": 4}, "batch_size=4 differs from batch_size=2"),
        ({"sequence_length": 16}, "sequence_length=16 differs from sequence_length=32"),
        ({"seed": 2, "batch_size": 1}, "batch_size=1 and seed=2 differ from batch_size=2 and seed=1"),
        ({"optimizer": OptimizerConfig(learning_rate=0.5)}, r"optimizer\.learning_rate=0\.5 differs from .*=0\.02"),
        ({"optimizer": OptimizerConfig(name="adamw")}, r"optimizer\.name=adamw differs from optimizer\.name=normuon"),
        ({"schedule": ScheduleConfig(decay=0.1)}, r"schedule\.decay=0\.1 differs"),
        ({"eval_tokens": 128}, "eval_tokens=128 differs from eval_tokens=64"),
        ({"document_mask": False}, "document_mask=False differs from document_mask=True"),
        ({"label_smoothing": 0.1}, r"label_smoothing=0\.1 differs"),
        ({"max_steps": 1}, "max_steps=1 is less than the 2 steps"),
    ],
)
def test_a_changed_setting_is_refused_with_both_values(folder: Path, settings: dict[str, Any], message: str) -> None:
    before = contents(folder / "pretrained")
    with pytest.raises(UserError, match=message):
        pretrain(pretraining(folder, **settings))
    assert contents(folder / "pretrained") == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": MethodConfig(rank=4)}, r"method\.rank=4 differs from method\.rank=2"),
        ({"method": MethodConfig(rank=2, alpha=8.0)}, r"method\.alpha=8 differs from method\.alpha=32"),
        ({"method": MethodConfig(rank=2, use_rslora=True)}, r"method\.use_rslora=True differs"),
        ({"method": MethodConfig(rank=2, target_modules=("q_proj",))}, r"target_modules=q_proj differs from .*=all-linear"),
        ({"method": MethodConfig(rank=2, name="full")}, r"method\.name=full differs from method\.name=lora"),
        ({"optimizer": FinetuneOptimizerConfig(name="sgd")}, r"optimizer\.name=sgd differs from optimizer\.name=adamw"),
        ({"optimizer": FinetuneOptimizerConfig(learning_rate=1.0)}, r"optimizer\.learning_rate=1 differs from .*=0\.0002"),
        ({"objective": "continued"}, "objective=continued differs from objective=sft"),
        ({"system": "Be brief."}, "system=Be brief. differs from system=''"),
        ({"validation": 0.2}, r"validation=0\.2 differs from validation=0\.3"),
        ({"variables": {"name": "Ada"}}, r"variables\.name=Ada differs from variables\.name=\(not set\)"),
        ({"data": (Path("other.jsonl"),)}, r"data=.*other\.jsonl holds other contents than data=.*chat\.jsonl"),
    ],
)
def test_a_changed_setting_of_a_tuned_model_is_refused(folder: Path, settings: dict[str, Any], message: str) -> None:
    before = contents(folder / "tuned")
    if "data" in settings:
        settings = {"data": tuple(folder / path for path in settings["data"])}
    with pytest.raises(UserError, match=message):
        finetune(tuning(folder, **settings))
    assert contents(folder / "tuned") == before


def copy_run(folder: Path, name: str, target: Path) -> Path:
    shutil.copytree(folder / name, target)
    return target


def test_what_may_change_is_done_and_recorded(folder: Path, tmp_path: Path) -> None:
    out = copy_run(folder, "pretrained", tmp_path / "moved")
    data = copy_run(folder, "data", tmp_path / "data")
    settings: dict[str, Any] = {"max_steps": 4, "micro_batch_size": 1, "activation_checkpointing": True, "save_every": 2}
    pretrain(pretraining(folder, out=out, data=data, eval_every=2, **settings))
    recorded = PretrainConfig.from_toml(ModelFolder(out).config_toml)
    assert recorded.max_steps == 4 and recorded.out == out and recorded.micro_batch_size == 1 and not recorded.resume
    start, resumed = read_json_lines(ModelFolder(out).history)
    assert start["step"] == 0 and start["processes"] == 1 and start["contents"]["data"]
    assert resumed["step"] == 2 and resumed["changed"].keys() == {"out", "data", "eval_every", *settings}
    assert resumed["changed"]["max_steps"] == [2, 4]
    tuned = copy_run(folder, "tuned", tmp_path / "tuned")
    finetune(tuning(folder, out=tuned, max_steps=3, model=str(copy_run(folder, "base", tmp_path / "base"))))
    assert len(list(read_json_lines(ModelFolder(tuned).metrics))) == 2 * 3


def test_what_is_left_automatic_is_taken_from_the_run(folder: Path, tmp_path: Path) -> None:
    out = copy_run(folder, "pretrained", tmp_path / "run")
    pretrain(PretrainConfig(folder / "data", out=out, resume=True))
    automatic = PretrainConfig.from_toml(ModelFolder(out).config_toml)
    assert automatic == replace(PretrainConfig.from_toml(folder / "pretrained" / "lmcraft" / "run.toml"), out=out)
    tokens = 2 * 32 * 5
    pretrain(PretrainConfig(folder / "data", out=out, resume=True, max_tokens=tokens))
    longer = PretrainConfig.from_toml(ModelFolder(out).config_toml)
    assert longer == replace(automatic, max_steps=5, max_tokens=tokens)  # the intervals, too
    pretrain(PretrainConfig(folder / "data", out=out, resume=True))
    assert PretrainConfig.from_toml(ModelFolder(out).config_toml) == longer


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--depth", "3"], "depth=3 differs from depth=1"),
        (["--sequence-length", "64"], "sequence_length=64 differs from sequence_length=32"),
        (["--batch-size", "3"], "batch_size=3 differs from batch_size=2"),
        (["--model.num-hidden-layers", "2"], "model.num_hidden_layers=2 differs from model.num_hidden_layers=1"),
    ],
)
def test_a_flag_that_contradicts_the_record_is_the_one_that_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert main(["pretrain", "--out", str(folder / "pretrained"), "--resume", *flags]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("command", [["pretrain", "pretrained"], ["finetune", "tuned"]])
def test_flags_files_and_python_are_compared_alike(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    out = copy_run(folder, command[1], tmp_path / "run")
    run = ModelFolder(out).config_toml
    arguments = [command[0], str(run), "--out", str(out), "--resume"]
    assert main([*arguments, "--seed", "9"]) == 2
    assert "seed=9 differs from seed=1" in capsys.readouterr().err
    run.write_text(run.read_text().replace("seed = 1\n", "seed = 9\n"))  # not the settings that the checkpoint has
    assert main(arguments) == 2
    message = capsys.readouterr().err
    file = out / "lmcraft" / "checkpoints" / "step-000002" / "run.toml"
    assert "seed=9 differs from seed=1" in message and f"`lmcraft {command[0]} {file} --resume`" in message
    assert main([command[0], str(file), "--out", str(out), "--resume"]) == 0
    assert "seed = 1\n" in run.read_text()


def test_contents_that_changed_are_refused(folder: Path, tmp_path: Path) -> None:
    out, data = copy_run(folder, "pretrained", tmp_path / "run"), tmp_path / "other"
    data.mkdir()
    other = tiny_dataset(data)
    manifest = json.loads((other / "manifest.json").read_text())
    manifest["splits"]["train"]["shards"][0]["sha256"] = "0"
    (other / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match=r"data=.*other/data holds other contents than data=.*/data of the run in"):
        pretrain(pretraining(folder, out=out, data=other))
    history = ModelFolder(out).history
    history.write_text(history.read_text()[:50])
    with pytest.raises(UserError, match=r"history\.jsonl' is missing or damaged"):
        pretrain(pretraining(folder, out=out))


@pytest.mark.parametrize("name", ["metrics", "samples", "history"])
def test_a_damaged_line_of_a_record_is_named_and_nothing_is_removed(folder: Path, tmp_path: Path, name: str) -> None:
    out = copy_run(folder, "pretrained", tmp_path / "run")
    file: Path = getattr(ModelFolder(out), name)
    file.write_bytes(b"garbage\n" + file.read_bytes())
    before = contents(out)
    with pytest.raises(UserError, match=rf"line 1 of '.*{name}\.jsonl' is damaged"):
        pretrain(pretraining(folder, out=out, max_steps=4))
    assert contents(out) == before


@pytest.fixture(scope="module")
def distilled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in `out` that reads everything that a run can read, and what it reads."""
    folder = tmp_path_factory.mktemp("distilled")
    for name in ("base", "teacher"):
        chat_folder(folder / name)
    for name, rows in (("data", ROWS), ("validation", ROWS[:4])):
        write_rows(folder / f"{name}.jsonl", rows)
    (folder / "template.jinja").write_text(CHATML)
    (folder / "general.txt").write_text(TEXT)
    prepare(PrepareConfig((str(folder / "general.txt"),), out=folder / "general", tokenizer=folder / "base", validation=0.3))
    finetune(distillation(folder))
    return folder


def distillation(folder: Path, **settings: Any) -> FinetuneConfig:
    objective = ObjectiveConfig(
        teacher=str(folder / "teacher"), general=folder / "general", max_new_tokens=2, general_text=folder / "general.txt"
    )
    common = COMMON | {"resume": False, "sequence_length": 64, "report_answers": 0, "objective": "distillation"}
    files = {
        "out": folder / "out",
        "validation_data": (folder / "validation.jsonl",),
        "chat_template": str(folder / "template.jinja"),
    }
    return FinetuneConfig(
        str(folder / "base"),
        (folder / "data.jsonl",),
        settings=objective,
        **(common | files | settings),
    )


@pytest.mark.parametrize(
    ("file", "setting"),
    [
        ("base/model.safetensors", "model"),
        ("base/config.json", "model"),
        ("teacher/model.safetensors", "teacher"),
        ("data.jsonl", "data"),
        ("validation.jsonl", "validation_data"),
        ("template.jinja", "chat_template"),
        ("general/manifest.json", "general"),
        ("general/train-00000.npy", ""),
        ("general/train-00000.documents.npy", ""),
        ("general/tokenizer.json", ""),
    ],
)
def test_each_file_that_a_run_reads_is_compared(distilled: Path, tmp_path: Path, file: str, setting: str) -> None:
    moved = copy_run(distilled.parent, distilled.name, tmp_path / "moved")
    changed, before = moved / file, contents(moved / "out")
    text = changed.read_bytes()
    if file.endswith(("safetensors", "npy")):
        changed.write_bytes(text[:-2] + bytes([text[-2] ^ 1]) + text[-1:])
    else:
        changed.write_bytes(text.replace(b"fox 1", b"fox 7").replace(b'"documents"', b'"documentz": 1, "documents"') + b"\n")
    message = (
        rf"{setting}=.* holds other contents than {setting}=.* of the run" if setting else f"'.*{file}' has changed since"
    )
    with pytest.raises(UserError, match=message):
        finetune(distillation(moved, resume=True, max_steps=3))
    assert contents(moved / "out") == before
    changed.write_bytes(text)
    finetune(distillation(moved, resume=True, max_steps=3))


def test_tokens_that_changed_by_themselves_are_named(
    distilled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copy_run(distilled, "out", tmp_path / "out")
    monkeypatch.setattr(TrainingData, "fingerprint", lambda self: "those of a template with the date")
    with pytest.raises(UserError, match=r"data=.* has not changed, but becomes other tokens than when the run in .*/out'"):
        finetune(distillation(distilled, out=out, resume=True))


def test_a_reward_function_that_changed_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def score(example, answer): return 1")
    first = GRPO(reward=f"{tmp_path}/a.py:score").hash_contents()["reward"]
    (tmp_path / "a.py").rename(tmp_path / "b.py")
    assert GRPO(reward=f"{tmp_path}/b.py:score").hash_contents()["reward"] == first
    assert GRPO(reward=f"{tmp_path}/b.py:other").hash_contents()["reward"] != first
    (tmp_path / "b.py").write_text("def score(example, answer): return 2")
    assert GRPO(reward=f"{tmp_path}/b.py:score").hash_contents()["reward"] != first


@pytest.mark.parametrize("file", ["train-00000.npy", "validation-00000.documents.npy", "tokenizer.json"])
def test_a_dataset_whose_files_changed_under_its_manifest_is_refused(folder: Path, tmp_path: Path, file: str) -> None:
    data = copy_run(folder, "data", tmp_path / "data")
    changed = data / file
    changed.write_bytes(changed.read_bytes()[:-2] + b"\1\n")
    for out, resume in ((copy_run(folder, "pretrained", tmp_path / "run"), True), (tmp_path / "new", False)):
        with pytest.raises(
            UserError, match=f"'.*{file}' has changed since the dataset was prepared: restore it from a copy"
        ):
            pretrain(pretraining(folder, data=data, out=out, resume=resume))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("pretrained", "another seed"),
        ("pretrained", "the same settings"),
        ("tuned", "the same settings"),
        ("tuned", "the other command"),
    ],
)
def test_a_checkpoint_of_another_run_stops_the_resumed_run(
    folder: Path, tmp_path: Path, name: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run, other = copy_run(folder, name, tmp_path / "run"), tmp_path / "other"
    settings: dict[str, Any] = {"out": other, "resume": False, "max_steps": 3, "seed": 2 if kind == "another seed" else 1}
    starts_tuning = (name == "tuned") != (kind == "the other command")
    finetune(tuning(folder, **settings)) if starts_tuning else pretrain(pretraining(folder, **settings))
    foreign = Path(shutil.copytree(other / "lmcraft/checkpoints/step-000003", run / "lmcraft/checkpoints/step-000003"))
    before, command = contents(run), "pretrain" if name == "pretrained" else "finetune"
    for arguments in (["--out", str(run)], [str(foreign / "run.toml"), "--out", str(run)]):
        capsys.readouterr()
        if kind == "the other command" and len(arguments) == 3:
            continue
        assert main([command, *arguments, "--resume"]) == 2
        message = capsys.readouterr().err
        assert f"'{foreign}' belongs to another run: move it elsewhere, and --resume continues from" in message
        assert f"'{run / 'lmcraft/checkpoints/step-000002'}', the latest" in message and contents(run) == before
    foreign.rename(tmp_path / "elsewhere")
    assert main([command, "--out", str(run), "--resume", "--max-steps", "3"]) == 0
    assert (run / "lmcraft/checkpoints/step-000003").is_dir()
