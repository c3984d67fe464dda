"""Runs from start to end, and interrupted runs that resume."""

import json
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch

from lmcraft import LanguageModel, PretrainConfig, pretrain
from lmcraft.errors import RunError, UserError
from lmcraft.folder import ModelFolder
from lmcraft.machine import Machine
from lmcraft.model.config import TransformerConfig
from lmcraft.pretraining.run import PretrainingRun
from lmcraft.training.compilation import compile_ahead
from lmcraft.training.config import OptimizerConfig
from tests.forked import ForkedCommand
from tests.tiny import tiny_dataset

SIZES = TransformerConfig(hidden_size=32, num_attention_heads=2, residual_dropout=0.1)
MACHINE = Machine(torch.device("cpu"), torch.float32, 1e12, "")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


def config_of(data: Path, out: Path, **settings: Any) -> PretrainConfig:
    common: dict[str, Any] = {"depth": 2, "model": SIZES, "sequence_length": 32, "batch_size": 8, "precision": "fp32"}
    return PretrainConfig(data, out=out, **(common | {"max_steps": 30, "eval_every": 10, "save_every": 5} | settings))


def losses(out: Path) -> dict[int, float]:
    rows = [json.loads(line) for line in ModelFolder(out).metrics.read_text().splitlines()]
    return {row["step"]: row["loss"] for row in rows if "loss" in row}


def start_process(config: PretrainConfig, *flags: str, prepare: Callable[[], None] | None = None) -> ForkedCommand:
    """The run in a separate process."""
    run = config.out.with_suffix(".toml")
    run.write_text(config.to_toml())
    return ForkedCommand("pretrain", str(run), *flags, prepare=prepare)


def wait_for_step(out: Path, step: int, process: ForkedCommand) -> None:
    while not (ModelFolder(out).metrics.exists() and step in losses(out)):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)


@pytest.fixture(scope="module")
def uninterrupted_losses(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The losses of an uninterrupted run."""
    out = tmp_path_factory.mktemp("uninterrupted") / "model"
    assert start_process(config_of(data, out, max_steps=80)).wait() == 0
    return losses(out)


def test_a_run_learns_and_writes_a_model_folder(data: Path, tmp_path: Path) -> None:
    folder = pretrain(config_of(data, tmp_path / "model"))
    curve = losses(folder.path)
    assert curve[30] < curve[1] - 0.5
    assert LanguageModel.load(folder.path).complete("Line 1: ", max_new_tokens=5, temperature=0)
    names = {
        "README.md",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "lmcraft",
    }
    assert {path.name for path in folder.path.iterdir()} == names
    assert "<polyline" in folder.report.read_text() and "src=" not in folder.report.read_text()
    assert len(list(folder.samples.read_text().splitlines())) == 5


@pytest.fixture
def task(tmp_path: Path) -> Path:
    rows = [{"line": n, "choices": ["quick", "lazy"], "answer": n % 2} for n in range(20)]
    (tmp_path / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"kind": "multiple_choice", "data": "toy.jsonl", "prompt": "Line {{ line }}: the"}
    (tmp_path / "toy.toml").write_text(tomli_w.dumps(settings | {"choices": "choices", "answer": "answer"}))
    return tmp_path / "toy.toml"


def scores(out: Path) -> dict[int, Any]:
    rows = [json.loads(line) for line in ModelFolder(out).metrics.read_text().splitlines()]
    evaluated = [row for row in rows if "tasks" in row]
    assert len({row["step"] for row in evaluated}) == len(evaluated)
    return {row["step"]: row["tasks"] for row in evaluated}


def test_tasks_are_scored_during_training_and_change_nothing(data: Path, task: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"tasks": (str(task),), "evaluate_every": 8, "task_limit": 10}
    folder = pretrain(config_of(data, tmp_path / "with", max_steps=20, **settings))
    other = pretrain(config_of(data, tmp_path / "without", max_steps=20))
    assert losses(folder.path) == losses(other.path)
    weights = [(out.path / "model.safetensors").read_bytes() for out in (folder, other)]
    assert weights[0] == weights[1]
    curve = scores(folder.path)
    assert list(curve) == [0, 8, 16, 20]
    bits = [row["toy"]["bits_per_byte"][0] for row in curve.values()]
    assert bits == sorted(bits, reverse=True)
    low, high = curve[20]["toy"]["acc_norm"][1:]
    assert low < curve[20]["toy"]["acc_norm"][0] < high
    page = folder.report.read_text()
    assert "<h3>toy</h3><p>10 items" in page and page.partition('<main lang="zh')[0].count(' band"') == 2
    plain = other.report.read_text()
    assert "Tasks during training" not in plain and "$" not in plain

    resumed = config_of(data, folder.path, max_steps=24, resume=True, **settings)
    task.write_text(task.read_text().replace("the", "a"))
    with pytest.raises(UserError, match=rf"tasks={task} or its data have changed since the run in"):
        pretrain(resumed)
    with pytest.raises(UserError, match="task_limit=5 differs from task_limit=10"):
        pretrain(replace(resumed, task_limit=5))
    task = task.rename(tmp_path / "new.toml")
    pretrain(replace(resumed, tasks=(str(task),)))
    assert [set(row) for row in scores(folder.path).values()] == [{"toy"}] * 4 + [{"new"}]


@pytest.mark.slow
def test_a_killed_run_scores_each_step_as_if_it_had_not_been_killed(data: Path, task: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_steps": 40, "tasks": (str(task),), "evaluate_every": 7}
    whole = pretrain(config_of(data, tmp_path / "whole", **settings))
    config = config_of(data, tmp_path / "killed", **settings)
    for last in (3, 7, 20):
        process = start_process(config, *(["--resume"] if last > 3 else []))
        wait_for_step(config.out, last, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start_process(config, "--resume").wait() == 0
    assert scores(config.out) == scores(whole.path) and losses(config.out) == losses(whole.path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tasks": ("hellaswag",)}, "tasks=hellaswag are evaluated only with --evaluate-every"),
        ({"evaluate_every": 5}, "evaluate_every=5 needs tasks"),
        ({"evaluate_every": -5}, "evaluate_every=-5 must not be negative"),
        ({"task_limit": -1}, "task_limit=-1 must not be negative"),
        ({"tasks": ("helaswag",), "evaluate_every": 5}, "did you mean 'hellaswag'"),
        ({"tasks": ("induction",), "evaluate_every": 5}, r"synthetic:induction.*:2: it needs \d+ tokens"),
    ],
)
def test_impossible_tasks_are_refused_before_the_run(
    data: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pretrain(config_of(data, tmp_path / "model", **settings))
    assert not (tmp_path / "model" / "lmcraft").exists()


def test_tensorboard_gets_the_curves(data: Path, tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = pretrain(config_of(data, tmp_path / "model", max_steps=3, tensorboard=True))
    events = accumulator.EventAccumulator(str(folder.run / "tensorboard"))
    events.Reload()
    assert [event.value for event in events.Scalars("loss")] == pytest.approx(list(losses(folder.path).values()))


def test_transformers_opens_the_folder(data: Path, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = pretrain(config_of(data, tmp_path / "model", max_steps=5))
    reference = transformers.AutoModelForCausalLM.from_pretrained(folder.path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder.path)
    model = LanguageModel.load(folder.path)
    ids = tokenizer("Line 12: the quick", return_tensors="pt").input_ids
    assert ids[0].tolist() == model.tokenizer.encode("Line 12: the quick")
    torch.testing.assert_close(reference(ids).logits, model.transformer(ids), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
def test_a_killed_run_resumes_bit_for_bit(data: Path, uninterrupted_losses: dict[int, float], tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "model", max_steps=80)
    killed = random.randrange(7, 40)
    process = start_process(config)
    wait_for_step(config.out, killed, process)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert start_process(config, "--resume").wait() == 0
    assert losses(config.out) == uninterrupted_losses, f"killed at step {killed}"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_saves_and_resumes_with_the_printed_command(
    data: Path, uninterrupted_losses: dict[int, float], tmp_path: Path, number: signal.Signals
) -> None:
    config = config_of(data, tmp_path / "model", max_steps=80, save_every=1000, eval_every=1000)
    process = start_process(config)
    wait_for_step(config.out, 3, process)
    process.send_signal(number)
    message = process.communicate()[1]
    assert process.returncode == 128 + number and "--resume" in message and "Traceback" not in message
    assert start_process(config, "--resume").wait() == 0
    assert losses(config.out) == uninterrupted_losses


MAX_FILE_BYTES = 40_000  # smaller than the weights, larger than any other file


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (MAX_FILE_BYTES, MAX_FILE_BYTES))


@pytest.mark.slow
def test_a_full_disk_is_an_error_and_keeps_the_last_checkpoint(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "model", max_steps=10)
    assert start_process(config).wait() == 0
    before = sorted(path.name for path in ModelFolder(config.out).checkpoints.iterdir())
    longer = replace(config, max_steps=20, resume=True)
    process = start_process(longer, prepare=limit_files)  # no larger file can be written, as if the disk were full
    message = process.communicate()[1]
    assert process.returncode == 1 and "intact" in message and "Traceback" not in message
    assert sorted(path.name for path in ModelFolder(config.out).checkpoints.iterdir()) == before


def test_a_loss_that_is_not_a_number_stops_the_run(data: Path, tmp_path: Path) -> None:
    rates = OptimizerConfig(name="sgd", learning_rate=1e30, gradient_clip=0.0)
    with pytest.raises(RunError, match="not a number; the checkpoint of step 0 is intact"):
        pretrain(config_of(data, tmp_path / "model", optimizer=rates))
    assert ModelFolder(tmp_path / "model").checkpoints.joinpath("step-000000", "model.safetensors").exists()


@pytest.mark.parametrize("micro_batch_size", [1, 2, 4])
def test_accumulated_gradients_equal_the_whole_batch(data: Path, tmp_path: Path, micro_batch_size: int) -> None:
    sizes = replace(SIZES, residual_dropout=0.0)
    results = []
    for size in (8, micro_batch_size):
        config = config_of(data, tmp_path, micro_batch_size=size, model=sizes).resolved()
        trainer = PretrainingRun.open(config, MACHINE, ModelFolder(tmp_path)).build_trainer()
        loss = trainer.gradients(3).loss
        results.append((loss, [p.grad for p in trainer.model.parameters()]))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-6)
    for whole, split in zip(results[0][1], results[1][1], strict=True):
        torch.testing.assert_close(whole, split, atol=1e-6, rtol=1e-4)


def test_compiled_blocks_give_the_same_losses(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    results = []
    for compiled in ("off", "on"):
        config = config_of(data, tmp_path, compile=compiled, model=replace(SIZES, residual_dropout=0.0)).resolved()
        trainer = PretrainingRun.open(config, MACHINE, ModelFolder(tmp_path)).build_trainer()
        if compiled == "on":
            assert "compiled" in compile_ahead(trainer)
            assert all(p.grad is None for p in trainer.model.parameters())
        with torch.compiler.set_stance("fail_on_recompile" if compiled == "on" else "default"):
            results.append((trainer.gradients(0)[0], trainer.validate()))
    assert results[0] == pytest.approx(results[1], rel=1e-5)


def test_file_flags_and_python_give_the_same_run(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lmcraft.cli import main

    config = config_of(data, tmp_path / "model", optimizer=OptimizerConfig(name="adamw", weight_decay=0.1))
    (tmp_path / "run.toml").write_text(config.to_toml())
    assert PretrainConfig.from_toml(tmp_path / "run.toml") == config
    assert main(["pretrain", str(tmp_path / "run.toml"), "--print-config"]) == 0
    from_file = capsys.readouterr().out
    flags = "--depth 2 --model.hidden-size 32 --model.num-attention-heads 2 --model.residual-dropout 0.1 --max-steps 30"
    flags += " --sequence-length 32 --batch-size 8 --precision fp32 --eval-every 10 --save-every 5"
    flags += " --optimizer.name adamw --optimizer.weight-decay 0.1"
    assert main(["pretrain", str(data), "--out", str(config.out), *flags.split(), "--print-config"]) == 0
    assert capsys.readouterr().out == from_file == config.resolved().to_toml()


def test_a_folder_that_holds_a_run_is_not_overwritten(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "model", max_steps=2)
    with pytest.raises(UserError, match="holds no checkpoint"):
        pretrain(replace(config, resume=True))
    pretrain(config)
    with pytest.raises(UserError, match="--resume"):
        pretrain(config)


def test_a_run_whose_checkpoints_were_deleted_is_not_sent_in_a_circle(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "model", max_steps=2)
    pretrain(config)
    shutil.rmtree(ModelFolder(config.out).checkpoints)
    for resume, message in [
        (False, "without checkpoints.*choose another --out"),
        (True, "no checkpoint: choose another --out"),
    ]:
        with pytest.raises(UserError, match=message):
            pretrain(replace(config, resume=resume))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 0}, "depth=0"),
        ({"batch_size": -1}, "batch_size=-1"),
        ({"batch_size": 8, "micro_batch_size": 3}, "micro_batch_size=3"),
        ({"device": "cuda:9"}, "cuda:9"),
        ({"sequence_length": 64, "model": replace(SIZES, max_position_embeddings=32)}, "sequence_length=64"),
    ],
)
def test_bad_settings_are_errors(data: Path, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    if "device" in settings and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(UserError, match=message):
        pretrain(config_of(data, tmp_path / "model", **settings))
    assert not any(tmp_path.iterdir())


def test_a_run_at_the_base_width_is_the_run_without_it(data: Path, tmp_path: Path) -> None:
    common: dict[str, Any] = {"model": {"hidden_size": 32}, "max_steps": 4}
    folders = [pretrain(config_of(data, tmp_path / str(base), base_width=base, **common)) for base in (0, 32)]
    assert losses(folders[0].path) == losses(folders[1].path) and len(losses(folders[0].path)) == 4


@pytest.mark.parametrize("optimizer", ["normuon", "adamw"])
def test_a_wide_run_keeps_the_rates_of_its_base_width_and_resumes(data: Path, tmp_path: Path, optimizer: str) -> None:
    out = tmp_path / "model"
    config = config_of(data, out, model={"hidden_size": 64}, base_width=16, optimizer={"name": optimizer}, max_steps=4)
    pretrain(replace(config, pause_at=2))
    recorded = PretrainConfig.from_toml(ModelFolder(out).config_toml)
    narrow = config_of(data, out, model={"hidden_size": 16}, optimizer={"name": optimizer}).resolved()
    assert recorded.base_width == 16 and recorded.optimizer == narrow.optimizer
    pretrain(replace(recorded, out=out, resume=True))
    whole = pretrain(replace(config, out=tmp_path / "whole"))
    assert losses(out) == losses(whole.path)
    with pytest.raises(UserError, match="base_width=32 differs from base_width=16"):
        pretrain(replace(config, base_width=32, resume=True))
