"""Perplexity: each token is scored once, with context."""

import math

import pytest
import torch

from lmcraft.errors import UserError
from lmcraft.evaluation.evaluated_model import EvaluatedModel
from lmcraft.evaluation.methods.perplexity import Perplexity, split_windows
from lmcraft.evaluation.task import Task
from tests.evaluation.conftest import WriteTask


def test_bits_per_byte_of_a_short_text(write_task: WriteTask, model: EvaluatedModel) -> None:
    text = "the quick brown fox 天地"
    task = write_task([{"text": text}], kind="perplexity")
    [[result]] = Perplexity(task, task.rows()).score(model, ())
    text_ids = model.encode_answer("", text).ids[1:]
    ids = torch.tensor([model.encode_answer("", text).ids])
    with torch.no_grad():
        logprobs = model.model.transformer(ids[:, :-1])[0].log_softmax(-1).gather(1, ids[0, 1:, None])
    nats = -float(logprobs.sum())
    assert result.values["nats_per_token"] == pytest.approx(nats, abs=1e-4)
    assert result.values["bits_per_byte"] == pytest.approx(nats / math.log(2), abs=1e-4)
    assert result.weights == {"bits_per_byte": len(text.encode()), "nats_per_token": len(text_ids)}


@pytest.mark.parametrize("length", [2, 5, 8, 9, 12, 13, 40, 41])
@pytest.mark.parametrize("size", [4, 8])
def test_windows_score_each_token_once(length: int, size: int) -> None:
    ids = list(range(length))
    windows = list(split_windows(ids, 1, size))
    assert [token for window in windows for token in window.ids[window.first_scored :]] == ids[1:]
    assert all(len(window.ids) <= size for window in windows)
    assert all(window.first_scored >= min(size // 2, window.ids[0] + 1) for window in windows)


def test_a_file_that_is_no_table_is_one_text(
    write_task: WriteTask, model: EvaluatedModel, task_text: str = "the fox"
) -> None:
    task = write_task([], kind="perplexity")
    (task.folder / "book.txt").write_text(task_text)
    (task.folder / "book.toml").write_text('kind = "perplexity"\ndata = "book.txt"\n')
    [row] = Task.read(task.folder / "book.toml").rows()
    assert row.values["text"] == task_text


@pytest.mark.parametrize("text", ["", None, 3])
def test_a_row_without_text_is_refused(write_task: WriteTask, text: object) -> None:
    task = write_task([{"text": text}], kind="perplexity")
    with pytest.raises(UserError, match=r"jsonl:1: its text is"):
        Perplexity(task, task.rows())
