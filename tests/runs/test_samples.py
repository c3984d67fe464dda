import json
from pathlib import Path

import pytest

from lmcraft.runs.samples import BLOCK_BYTES, MAX_SAMPLE_BYTES, read_samples


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "samples.jsonl"


def read_all(file: Path, limit: int) -> list[int]:
    steps: list[int] = []
    before = None
    while True:
        samples, before = read_samples(file, limit=limit, before=before)
        steps += [sample["step"] for sample in samples]
        if before is None:
            return steps


@pytest.mark.parametrize("limit", [1, 3, 100])
@pytest.mark.parametrize("length", [1, BLOCK_BYTES + 7])
def test_the_newest_come_first_and_each_once(file: Path, limit: int, length: int) -> None:
    file.write_text("".join(json.dumps({"step": n, "text": "é" * length}) + "\n" for n in range(7)))
    assert read_all(file, limit) == [6, 5, 4, 3, 2, 1, 0]


def test_damaged_and_huge_lines_are_left_out(file: Path) -> None:
    lines = ['{"step": 1, "text": "a"}', "{", '{"step": "2", "text": ""}', '{"step": 3}', "", '{"step": 4, "text": "b"}']
    huge = json.dumps({"step": 5, "text": "x" * (MAX_SAMPLE_BYTES + 1)})
    file.write_text("\n".join([*lines, huge, '{"step": 6, "text": "c"}', '{"step": 7, "te']))
    assert read_all(file, 100) == [6, 4, 1]


def test_a_missing_file_has_no_samples(file: Path) -> None:
    assert read_samples(file, limit=5, before=None) == ([], None)
    file.write_text('{"step": 1, "text": "half \\ud800"}\n')
    assert read_samples(file, limit=5, before=10**9) == ([{"step": 1, "text": "half ?"}], None)
