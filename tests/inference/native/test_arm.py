"""The decode step on ARM, compiled by Debian's cross compiler and run by qemu-user: every number equals the portable form's.

`apt-get install g++-aarch64-linux-gnu qemu-user` brings both.
"""

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lmcraft.cpp.library import FLAGS
from lmcraft.inference.native.build import SOURCE
from lmcraft.inference.native.weight_packing import Weights
from tests.inference.native.models import MODELS
from tests.inference.native.replay import write_steps
from tests.inference.native.test_decoder import shifted_model
from tests.tiny import tiny_model

pytestmark = pytest.mark.slow
COMPILER, EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
PROCESSORS = {  # what is compiled for, and the processor that runs it
    "portable": (("-march=armv8-a", "-DLMCRAFT_PORTABLE"), "cortex-a53"),
    "neon": (("-march=armv8-a",), "cortex-a53"),
    "dotprod": (("-march=armv8.2-a+dotprod",), "neoverse-n1"),
    "i8mm": (("-march=armv8.2-a+dotprod+i8mm",), "max"),
}
CASES: list[tuple[str, Weights]] = [
    *((name, "int8") for name in MODELS),
    *((name, weights) for name in ("plain", "one-kv-head") for weights in ("float32", "bfloat16", "int4")),
]
TOKENS = 40


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The commands that replay a file, by name of the processor."""
    for program in (COMPILER, EMULATOR):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed: apt-get install g++-aarch64-linux-gnu qemu-user")
    folder = tmp_path_factory.mktemp("programs")
    flags = [flag for flag in (*FLAGS, *SOURCE.flags) if flag not in ("-shared", "-fPIC")]

    def compile_for(name: str) -> list[str]:
        options, processor = PROCESSORS[name]
        source = Path(__file__).with_name("replay.cpp")
        command = [COMPILER, *flags, *options, "-static", f"-I{SOURCE.file.parent}", str(source), "-o", str(folder / name)]
        subprocess.run(command, check=True)
        return [EMULATOR, "-cpu", processor, str(folder / name)]

    with ThreadPoolExecutor() as pool:
        return dict(zip(PROCESSORS, pool.map(compile_for, PROCESSORS), strict=True))


def run(program: list[str], file: Path, threads: int, *, prompt: bool = False) -> Tensor:
    command = [*program, str(file), str(threads), str(int(prompt))]
    output = subprocess.run(command, check=True, capture_output=True, timeout=300).stdout
    return torch.frombuffer(bytearray(output), dtype=torch.float32).view(TOKENS, -1)


@pytest.mark.parametrize(("name", "weights"), CASES)
def test_every_instruction_set_computes_the_same_numbers(
    name: str, weights: Weights, programs: dict[str, list[str]], tmp_path: Path
) -> None:
    settings: dict[str, Any] = MODELS[name]
    model = tiny_model(3, **settings)
    ids = torch.randint(0, 96, (TOKENS,)).tolist()
    with torch.no_grad():
        expected = model(torch.tensor([ids]))[0]
    tolerance = {"float32": 1e-4, "bfloat16": 0.02, "int8": 0.06, "int4": 0.6}[weights]
    processors = ("neon", "dotprod", "i8mm") if weights in ("int8", "int4") else ("neon",)
    write_steps(tmp_path / "steps.bin", model, weights, ids, rows_per_step=10)
    for prompt in (False, True):
        portable = run(programs["portable"], tmp_path / "steps.bin", 1, prompt=prompt)
        assert (portable - expected).norm() < tolerance * expected.norm()
        for processor in processors:
            assert torch.equal(run(programs[processor], tmp_path / "steps.bin", 2, prompt=prompt), portable), processor


def test_shifts_of_4_bit_weights_are_the_same_numbers(programs: dict[str, list[str]], tmp_path: Path) -> None:
    write_steps(tmp_path / "steps.bin", shifted_model(), "int4", torch.randint(0, 96, (TOKENS,)).tolist(), rows_per_step=10)
    for prompt in (False, True):
        results = [run(program, tmp_path / "steps.bin", 2, prompt=prompt) for program in programs.values()]
        assert all(torch.equal(result, results[0]) for result in results)


@pytest.mark.parametrize("weights", ["bfloat16", "int8", "int4"])
def test_a_row_does_not_depend_on_its_neighbors(weights: Weights, programs: dict[str, list[str]], tmp_path: Path) -> None:
    model = tiny_model(3)
    ids = torch.randint(0, 96, (TOKENS,)).tolist()
    for prompt in (False, True):
        logits = []
        for rows in (1, 5, 8):
            write_steps(tmp_path / "steps.bin", model, weights, ids, rows)
            logits.append(run(programs["i8mm"], tmp_path / "steps.bin", 2, prompt=prompt))
        assert torch.equal(logits[1], logits[0]) and torch.equal(logits[2], logits[0])
