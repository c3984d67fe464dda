"""The native runner: which part runs natively, and how rows are divided among steps."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from lmcraft.inference.native.decoder import DecodeRow
from lmcraft.inference.native.runner import NativeRunner
from lmcraft.inference.native.structs import MAX_ROWS_PER_STEP
from lmcraft.inference.prompt_chunk import PromptChunk
from lmcraft.inference.runner import build_runner
from tests.inference.helpers import NATIVE_ONLY, network, prompt, request_of, sequence_of

pytestmark = NATIVE_ONLY


def native_runner(weights: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[NativeRunner, list[int]]:
    """A runner, and the numbers of rows of its native steps."""
    runner = build_runner(network(), tier="native", weights=weights, cache_tokens=2048)
    assert isinstance(runner, NativeRunner)
    sizes: list[int] = []
    step = runner._decoder.step

    def recorded(rows: list[DecodeRow], threads: int, **settings: Any) -> Any:
        sizes.append(len(rows))
        return step(rows, threads, **settings)

    monkeypatch.setattr(runner._decoder, "step", recorded)
    return runner, sizes


def chunks_of(runner: NativeRunner, lengths: Sequence[int], **fields: Any) -> list[PromptChunk]:
    chunks = []
    for length in lengths:
        sequence = sequence_of(request_of(length))
        runner.pool.allocate(sequence.block_table, length)
        chunks.append(PromptChunk(sequence.block_table, 0, prompt(length), **fields))
    return chunks


@pytest.mark.parametrize("weights", ["float32", "bfloat16", "int8", "int4"])
@torch.inference_mode()
def test_prompts_fill_steps_and_each_has_its_own_logits(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    runner, sizes = native_runner(weights, monkeypatch)
    lengths = (100, 100, 56, 1, 30, 1, 20, 250)
    chunks = chunks_of(runner, lengths)
    together = [scores.logits.clone() for scores in runner.prefill(chunks)]
    assert sizes == [256, 1, 30, 1, 20, 250]
    for chunk, logits in zip(chunks, together, strict=True):
        (alone,) = runner.prefill([chunk])
        assert torch.equal(alone.logits, logits)
    assert list(runner.prefill([])) == []


@torch.inference_mode()
def test_a_chunk_with_logits_of_all_rows_is_computed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    runner, sizes = native_runner("int8", monkeypatch)
    scored, plain = chunks_of(runner, [100], all_rows=True) + chunks_of(runner, [20])
    counts = [(len(scores.logits), len(scores.argmax)) for scores in runner.prefill([plain, scored, plain])]
    assert counts == [(1, 1), (100, 100), (1, 1)] and sizes == [20, 64, 36, 20]


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
