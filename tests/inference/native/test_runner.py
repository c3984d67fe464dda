"""The native runner: which part runs natively, and how rows are divided among steps."""

from typing import Any

import pytest
import torch

from lmcraft.inference.native.decoder import DecodeRow
from lmcraft.inference.native.runner import NativeRunner
from lmcraft.inference.native.structs import MAX_ROWS_PER_STEP
from lmcraft.inference.runner import build_runner
from tests.inference.helpers import NATIVE_ONLY, network, prompt, request_of, sequence_of

pytestmark = NATIVE_ONLY


def native_runner(weights: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[NativeRunner, list[int]]:
    """A runner, and the numbers of rows of its native steps."""
    runner = build_runner(network(), tier="native", weights=weights)
    assert isinstance(runner, NativeRunner)
    sizes: list[int] = []
    step = runner._decoder.step

    def recorded(rows: list[DecodeRow], threads: int) -> Any:
        sizes.append(len(rows))
        return step(rows, threads)

    monkeypatch.setattr(runner._decoder, "step", recorded)
    return runner, sizes


@pytest.mark.parametrize(
    ("weights", "expected"), [("float32", []), ("bfloat16", []), ("int8", [64, 36]), ("int4", [64, 36])]
)
@torch.inference_mode()
def test_prompts_of_quantized_weights_run_natively(
    weights: str, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, sizes = native_runner(weights, monkeypatch)
    sequence = sequence_of(request_of(100))
    runner.pool.allocate(sequence.block_table, 101)
    runner.prefill(sequence.block_table, 0, prompt(100), "")
    assert sizes == expected
    runner.prefill(sequence.block_table, 100, [5], "")
    assert sizes == [*expected, 1]


@torch.inference_mode()
def test_rows_of_all_sequences_fill_steps_and_none_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    runner, sizes = native_runner("int8", monkeypatch)
    assert runner.max_tokens_per_request == MAX_ROWS_PER_STEP
    work = []
    for length in (30, 30, 10, 60):
        sequence = sequence_of(request_of(length))
        runner.pool.allocate(sequence.block_table, length)
        work.append((sequence, sequence.tokens))
    first_rows = [first_row for _, _, _, first_row in runner.decode(work)]
    assert sizes == [60, 10, 60] and first_rows == [0, 30, 0, 0]
    assert list(runner.decode([])) == []


def test_an_unknown_adapter_is_not_verified() -> None:
    runner = build_runner(network(), tier="native")
    assert runner.can_verify("") and not runner.can_verify("a")
