"""A family from its settings to its report, and resuming an interrupted family."""

import json
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lmcraft import ScalingConfig, cli, scaling
from lmcraft.commands import scaling as command
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, write_json_lines
from lmcraft.model.config import TransformerConfig
from lmcraft.pretraining import scaling_law
from lmcraft.pretraining.run_data import fingerprint
from lmcraft.pretraining.scaling import Family, Member, build_member
from lmcraft.training.checkpoint import Checkpoints, Progress
from tests.forked import ForkedCommand
from tests.tiny import tiny_dataset


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_dataset(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def fast_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scaling_law, "REPLICATES", 20)


def config_of(data: Path, out: Path, **settings: Any) -> ScalingConfig:
    common: dict[str, Any] = {"depths": (1, 2, 3), "tokens_per_parameter": (0.05, 0.1), "sequence_length": 32}
    return ScalingConfig(data, out=out, **(common | {"eval_tokens": 512, "precision": "fp32"} | settings))


def family_of(config: ScalingConfig) -> list[Member]:
    config = config.resolved()
    return [build_member(config, depth, length) for depth in config.depths for length in config.tokens_per_parameter]


def test_family_runs_match_pretrain(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path, depths=(3, 1, 2), tokens_per_parameter=(20.0, 5.0))
    members = family_of(config)
    assert [(m.config.depth, m.folder.path.name) for m in members[:3]] == [
        (1, "depth-1-5x"),
        (1, "depth-1-20x"),
        (2, "depth-2-5x"),
    ]
    for member in members:
        run = member.config
        assert run.model.hidden_size == 16 * run.depth and run.model.num_hidden_layers == run.depth
        assert run.eval_every == run.max_steps and (run.eval_tokens, run.sequence_length) == (512, 32)
        length = float(member.folder.path.name.split("-")[2].removesuffix("x"))
        assert member.tokens == pytest.approx(length * member.parameters, rel=0.06)
    assert config.resolved().predict == 4
    wide = build_member(config_of(data, tmp_path, width_per_depth=64).resolved(), 3, 1.0).config.model
    assert (wide.hidden_size, wide.num_attention_heads, wide.head_dim) == (192, 3, 64)
    odd = build_member(config_of(data, tmp_path).resolved(), 13, 1.0).config.model
    assert odd.hidden_size == 208 and odd.head_dim % 2 == 0 and odd.head_dim * odd.num_attention_heads == 208


def test_settings_shared_by_all_runs_follow_from_the_largest(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path, depths=(2, 4, 6), predict=12, sequence_length=0, eval_tokens=0).resolved()
    assert config.sequence_length == 1024
    assert config.eval_tokens == json.loads((data / "manifest.json").read_text())["splits"]["validation"]["tokens"] - 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depths": (1, 2)}, "depths=1 2 must be at least three different"),
        ({"depths": (1, 2, 2)}, "depths=1 2 2"),
        ({"depths": (0, 1, 2)}, "depths=0 1 2"),
        ({"depths": ()}, "depths="),
        ({"tokens_per_parameter": (5.0,)}, "tokens_per_parameter=5 must be at least two"),
        ({"tokens_per_parameter": (0.0, 5.0)}, "tokens_per_parameter=0 5"),
        ({"predict": 3}, "predict=3 must be more than 3"),
        ({"width_per_depth": 24}, "width_per_depth=24 must be a multiple of 16"),
        ({"max_steps": 10}, "max_steps=10 is for a single run"),
        ({"find_lr": True}, "find_lr=True is for a single run"),
        ({"model": TransformerConfig(num_hidden_layers=2)}, "model.num_hidden_layers=2 makes all models equal"),
        ({"resume": True}, "holds no scaling.toml"),
        ({"evaluate_every": 10}, "evaluate_every=10 needs tasks"),
        ({"task_limit": -1}, "task_limit=-1 must not be negative"),
    ],
)
def test_bad_settings_are_errors(data: Path, tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        scaling(config_of(data, tmp_path / "out", **settings))
    assert not (tmp_path / "out").exists()


def test_flags_give_the_family(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = "--depths 1 2 3 --tokens-per-parameter 0.05 0.1 --sequence-length 32 --eval-tokens 512 --precision fp32"
    assert cli.main(["scaling", str(data), "--out", str(tmp_path / "out"), *flags.split(), "--print-config"]) == 0
    assert capsys.readouterr().out == config_of(data, tmp_path / "out").resolved().to_toml()


def test_a_checkpoint_of_another_run_stops_a_resumed_family(data: Path, tmp_path: Path) -> None:
    config = config_of(data, tmp_path / "out").resolved()
    family = Family.build(config)
    for step, member in enumerate(family.members[:2]):
        write_json_lines(member.folder.history, [{"id": member.name, "contents": {"data": fingerprint(config)}}])
        checkpoints = Checkpoints(member.folder)
        checkpoints.save(Progress(step=step), {}, lambda folder: None)
        checkpoints.wait()
    (config.out / "scaling.toml").write_text(config.to_toml())
    resumed = Family.build(replace(config, resume=True))
    with resumed.claim_folder():
        foreign = Checkpoints(family.members[0].folder).path(1)
        shutil.copytree(Checkpoints(family.members[1].folder).path(1), foreign)
    with (
        pytest.raises(UserError, match=f"'{foreign}' belongs to another run: .* continues from '.*step-000000'"),
        resumed.claim_folder(),
    ):
        pass
    assert foreign.is_dir() and Checkpoints(family.members[0].folder).steps() == [0]


@pytest.mark.slow
def test_an_interrupted_family_resumes_to_the_same_result(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = scaling(config_of(data, tmp_path / "whole"))
    assert len(whole.points) == 6 and whole.trained and "The predicted run" in capsys.readouterr().out
    result = json.loads((tmp_path / "whole" / "scaling.json").read_text())
    assert result["actual"]["loss"] == whole.target.loss and "<circle" in (tmp_path / "whole" / "scaling.html").read_text()
    assert result["points"][-1]["loss"] < result["points"][0]["loss"]

    config = config_of(data, tmp_path / "broken")
    process = start_process(config)
    wait_for_step(ModelFolder(config.out / "runs" / "depth-3-0.1x"), process)
    process.send_signal(signal.SIGTERM)
    message = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM and "Traceback" not in message
    assert f"lmcraft scaling {config.out / 'scaling.toml'} --resume" in message
    first = config.out / "runs" / "depth-1-0.05x" / "model.safetensors"
    written = first.stat().st_mtime_ns
    with pytest.raises(UserError, match="add --resume"):
        scaling(config)
    again = scaling(replace(config, resume=True))
    assert (again.points, again.target) == (whole.points, whole.target) and first.stat().st_mtime_ns == written

    monkeypatch.setattr(command, "pretrain", None)  # nothing is left to train
    smaller = scaling(replace(ScalingConfig.from_toml(config.out / "scaling.toml"), resume=True))
    assert smaller.points == whole.points
    with pytest.raises(UserError, match=r"seed=2 differs from seed=1 of the runs"):
        scaling(replace(config, resume=True, seed=2))

    check_tasks_of_a_finished_family(config, tmp_path)


def check_tasks_of_a_finished_family(config: ScalingConfig, folder: Path) -> None:
    rows = [{"line": n, "choices": ["quick", "lazy"], "answer": n % 2} for n in range(30)]
    (folder / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"kind": "multiple_choice", "data": "toy.jsonl", "prompt": "Line {{ line }}: the"}
    (folder / "toy.toml").write_text(tomli_w.dumps(settings | {"choices": "choices", "answer": "answer"}))
    with_tasks = replace(config, resume=True, tasks=(str(folder / "toy.toml"),), task_limit=20)
    result = scaling(with_tasks)
    [curve] = result.tasks
    assert (curve.task, curve.items, curve.chance) == ("toy", 20, 0.5)
    assert [point.parameters for point in curve.sizes] == sorted({p.parameters for p in (*result.points, result.target)})
    assert {point.tokens for point in curve.ends} == {point.tokens for point in (*result.points, result.target)}
    bits = [point.bits_per_byte.value for point in curve.sizes if point.bits_per_byte is not None]
    assert len(bits) == 4 and bits[-1] < bits[0]
    page = (config.out / "scaling.html").read_text()
    assert "<h2>Task toy</h2>" in page and "acc_norm, by parameters" in page and "bits_per_byte, by tokens" in page
    assert json.loads((config.out / "scaling.json").read_text())["tasks"][0]["summary"] == curve.summary
    files = list(config.out.rglob("evaluations/toy-*.jsonl"))
    written = [file.stat().st_mtime_ns for file in files]
    assert len(files) == len(curve.points) and scaling(with_tasks).tasks == result.tasks
    assert [file.stat().st_mtime_ns for file in files] == written
    with pytest.raises(UserError, match="there is no task 'missing'"):
        scaling(replace(with_tasks, tasks=("missing",)))


@pytest.mark.slow
def test_tasks_during_the_runs_are_points_of_the_curves(data: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("Line 7: the quick brown fox jumps over 49 lazy dogs.")
    (tmp_path / "text.toml").write_text('kind = "perplexity"\ndata = "text.txt"\n')
    config = config_of(data, tmp_path / "out", tasks=(str(tmp_path / "text.toml"),), evaluate_every=5)
    [curve] = scaling(config).tasks
    steps = {point.step for point in curve.points if not point.is_last}
    assert steps and all(step % 5 == 0 for step in steps) and all(point.accuracy is None for point in curve.points)
    assert curve.summary.startswith("Bits per byte ")


def start_process(config: ScalingConfig) -> ForkedCommand:
    file = config.out.with_suffix(".toml")
    file.write_text(config.to_toml())
    return ForkedCommand("scaling", str(file))


def wait_for_step(folder: ModelFolder, process: ForkedCommand) -> None:
    while not (folder.metrics.exists() and folder.metrics.read_text()):
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.01)
