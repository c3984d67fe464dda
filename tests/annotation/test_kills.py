"""A server that is killed while reviewers work loses no verdict that it acknowledged, and gives no item to two of them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from lmcraft.annotation.store import ReviewStore
from tests.annotation.kills import fill, inspect, run
from tests.annotation.samples import claimed, verdict


@pytest.mark.slow
def test_kills_of_the_server_lose_and_double_nothing(location: str, tmp_path: Path) -> None:
    outcome = run(location, tmp_path, reviewers=4, num_items=200, kills=2, seconds=1.5, seed=1)
    assert not outcome.faults and outcome.acknowledged > 0


def test_the_inspection_notices_what_a_server_could_do_wrong(tmp_path: Path) -> None:
    location = str(tmp_path / "reviews.sqlite")
    fill(location, 1)
    store = ReviewStore.open(location)
    item = claimed(store.claim("ann"))
    store.judge(item.id, item.token, "ann", verdict("harmful", id="v1"))
    store.close()
    judged = {"event": "sent", "item": item.id, "token": item.token, "action": "judge", "label": "harmful", "id": "v1"}
    answered = {"event": "answered", "item": item.id, "action": "judge", "status": 201, "id": "v1"}
    claims = {"event": "claimed", "item": item.id, "token": item.token}

    def faults(**journals: Sequence[tuple[float, Mapping[str, Any]]]) -> list[str]:
        for name, notes in journals.items():
            lines = [json.dumps({"time": moment, **note}) + "\n" for moment, note in notes]
            (tmp_path / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        return inspect(location, [tmp_path / f"{name}.jsonl" for name in journals], 0).faults

    work = [(1.0, claims), (2.0, judged), (3.0, answered)]
    assert faults(ann=work) == []
    assert "was not sent like this" in faults(ann=[(1.0, claims)])[0]
    assert "was not sent like this" in faults(ann=[*work[:1], (2.0, judged | {"label": "acceptable"})])[0]
    assert "the acknowledged verdict v2 of ann is lost" in faults(ann=[*work, (4.0, answered | {"id": "v2"})])[0]
    assert "got the status 409" in faults(ann=[*work[:2], (3.0, answered | {"status": 409, "answer": None})])[0]
    assert "ann and bob held item" in faults(ann=work, bob=[(1.5, claims)])[0]
