"""The anchors of the audit log that a server writes."""

import asyncio
from pathlib import Path

import pytest

from lmcraft.annotation.audit_log.anchors import read_anchors
from lmcraft.server.http import review_anchors
from lmcraft.server.http.review_anchors import anchors_appended
from tests.server.http.routes.review_app import audit_head, review_store, server_item


def test_anchors_are_added_while_the_log_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(review_anchors, "ANCHOR_SECONDS", 0.01)
    file, heads = tmp_path / "anchors", []

    async def serve() -> None:
        async with anchors_appended(store, file):
            for text in ("one", "two"):
                store.add([server_item(text)], "server")
                heads.append(audit_head(store))
                while not file.exists() or heads[-1] not in read_anchors(str(file)):
                    await asyncio.sleep(0.01)
            store.add([server_item("three")], "server")
            heads.append(audit_head(store))

    with review_store(tmp_path) as store:
        asyncio.run(serve())
    assert [head for head in read_anchors(str(file)) if head in heads] == heads


def test_a_file_that_cannot_be_written_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def serve() -> None:
        async with anchors_appended(store, tmp_path):
            pass

    with review_store(tmp_path) as store:
        asyncio.run(serve())
    assert f"review_anchors='{tmp_path}'" in caplog.text
