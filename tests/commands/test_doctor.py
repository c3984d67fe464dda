"""`lmcraft doctor`: its tables, its JSON, and its advice."""

import json
from pathlib import Path

import pytest

import lmcraft
from lmcraft import extras
from lmcraft.cli import main
from lmcraft.commands import doctor
from lmcraft.cpp import compiler, library
from lmcraft.extras import PURPOSES
from lmcraft.inference import prompt_speed
from lmcraft.inference.native import build

SPEEDS = {"float32": 1e11, "int8": 3e11}


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing is compiled or measured."""
    monkeypatch.setattr("lmcraft.machine.matmul_flops", lambda device, names: dict.fromkeys(names, 2e11))
    monkeypatch.setattr("lmcraft.measurements.memory_bandwidth", lambda: 18.3e9)
    monkeypatch.setattr("lmcraft.measurements.is_busy", lambda: False)
    monkeypatch.setattr(prompt_speed, "prompt_flops", lambda: SPEEDS)
    monkeypatch.setattr(build, "instruction_set", lambda: "AVX2 VNNI")
    monkeypatch.setenv("LMCRAFT_CACHE", str(tmp_path))


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop without a compiler."""
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    monkeypatch.setattr(compiler, "find_spec", lambda name: None)
    build.load_library.cache_clear()
    library.load_library.cache_clear()
    monkeypatch.setattr(build, "instruction_set", build.load_library)


def test_the_tables_say_what_will_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    for text in ("native kernels for AVX2 VNNI", "18.3 GB/s", "0.300 TFLOP/s", "lmcraft serve: the API", "torch"):
        assert text in printed, text


def test_json_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["speeds"]["memory"] == 18.3e9 and report["speeds"]["prompts"] == SPEEDS
    assert report["processor"]["usable_cpus"] >= 1 and set(report["extras"]) == set(PURPOSES)


@pytest.mark.usefixtures("no_compiler")
def test_without_a_compiler_one_line_says_how_to_get_one(capsys: pytest.CaptureFixture[str]) -> None:
    report = lmcraft.doctor()
    assert report["generation"]["tier"] == "eager" and report["speeds"]["prompts"] == {}
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("- PyTorch decodes")]
    assert line.count("pip install ziglang") == 1


def test_missing_extras_are_one_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(extras, "missing_packages", lambda extra: ["x"] * (extra in ("serve", "gguf")))
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "serve (missing)" in printed and printed.rstrip().endswith("[serve,gguf]'")


def test_a_driver_without_a_gpu_is_pointed_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_gpus", list)
    monkeypatch.setattr(doctor, "NVIDIA_DRIVER", tmp_path)
    assert any("CUDA" in advice for advice in doctor.examine()["advice"])


def test_speeds_are_measured_again_on_request(tmp_path: Path) -> None:
    (tmp_path / "speeds").mkdir()
    lmcraft.doctor()
    assert (tmp_path / "speeds").exists()
    lmcraft.doctor(remeasure=True)
    assert not (tmp_path / "speeds").exists()
