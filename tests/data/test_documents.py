"""Statistics of reading."""

import pytest

from lmcraft.data.documents import MAX_MALFORMED_KEPT, ReadStats, describe_losses
from lmcraft.errors import UserError


def test_malformed_rows_are_counted_or_fatal() -> None:
    stats = ReadStats()
    for line in range(MAX_MALFORMED_KEPT + 5):
        stats.malformed("a.jsonl", line, "broken")
    assert (stats.malformed_count, len(stats.malformed_first)) == (MAX_MALFORMED_KEPT + 5, MAX_MALFORMED_KEPT)
    with pytest.raises(UserError, match=r"a.jsonl:7 is malformed \(broken\); fix the row"):
        ReadStats("fail").malformed("a.jsonl", 7, "broken")


def test_invalid_bytes_are_replaced_and_counted() -> None:
    stats = ReadStats()
    assert stats.clean(b"a\xffb\xfe".decode(errors="surrogateescape")) == "a\ufffdb\ufffd"
    assert stats.clean("天地") == "天地" and stats.invalid_bytes == 2


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        ({}, ["  1 invalid byte or lone surrogate was replaced by U+FFFD"]),
        ({"a.txt": 1}, ["  1 invalid byte or lone surrogate was replaced by U+FFFD:", "    a.txt: 1"]),
    ],
)
def test_losses_end_in_a_colon_only_before_a_list(files: dict[str, int], lines: list[str]) -> None:
    summary = {"invalid_bytes": 1, "invalid_bytes_by_file": files, "malformed": {"count": 0, "first": []}}
    assert list(describe_losses(summary)) == lines
