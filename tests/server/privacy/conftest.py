"""A server's stores with data of two keys, in SQLite and in PostgreSQL, and the folder that holds their files."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from lmcraft.annotation.records import NewItem
from lmcraft.annotation.store import ReviewStore
from lmcraft.server.conversations.response_store import ResponseStore
from lmcraft.server.conversations.store import Store
from lmcraft.server.privacy.prompt_files import append_lines
from lmcraft.server.privacy.stores import Stores
from tests.annotation.samples import HARM
from tests.hyperparameters.postgresql import find_binaries, postgresql

MARKER, OTHER = "zebra-4417", "walrus-9020"
"""Texts that only one of the two keys sends."""


@dataclass(frozen=True)
class Place:
    """Where stores are opened."""

    url: str
    """Of both databases; empty: files in `folder`."""
    folder: Path
    files: Path
    """The folder of the databases' files."""

    def open(self) -> Stores:
        """The stores of a server."""
        store = Store.open(self.url or self.folder / "chats.sqlite")
        reviews = ReviewStore.open(self.url or self.folder / "reviews.sqlite")
        return Stores(store, store.engine, reviews, self.folder / "prompts.jsonl")

    def files_with(self, text: str) -> list[str]:
        """The names of the files that have a text anywhere, but for the write-ahead log of PostgreSQL."""
        if self.url:  # what is in memory only
            engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT")
            with engine.connect() as connection:
                connection.exec_driver_sql("CHECKPOINT")
            engine.dispose()
        files = [file for root in {self.folder, self.files} for file in root.rglob("*") if file.is_file()]
        return sorted(
            file.name
            for file in files
            if "pg_wal" not in file.parts and any(part in file.read_bytes() for part in encoded(text))
        )


def encoded(text: str) -> tuple[bytes, bytes]:
    return text.encode(), text.encode("utf-16-le")


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    if find_binaries() is None:
        pytest.skip("PostgreSQL is not installed: there is no initdb")
    with postgresql() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "sqlite":
        yield Place("", tmp_path, tmp_path)
        return
    server = request.getfixturevalue("postgresql_url")
    name = f"test_{uuid4().hex}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
        data = connection.exec_driver_sql("SHOW data_directory").scalar_one()
    yield Place(sa.make_url(server).set(database=name).render_as_string(hide_password=False), tmp_path, Path(data))
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture
def sqlite_stores(tmp_path: Path) -> Iterator[Stores]:
    opened = Place("", tmp_path, tmp_path).open()
    yield opened
    close(opened)


@pytest.fixture
def stores(place: Place) -> Iterator[Stores]:
    opened = place.open()
    yield opened
    close(opened)


def close(stores: Stores) -> None:
    assert stores.conversations is not None and stores.reviews is not None
    stores.conversations.close()
    stores.reviews.close()


def fill(stores: Stores, key: str, text: str, *, count: int = 3) -> None:
    """Let a key store something of every kind, each with a text."""
    store, reviews = stores.conversations, stores.reviews
    assert store is not None and reviews is not None and stores.prompt_log is not None
    for n in range(count):
        conversation = store.create(key, title=f"{text} title", system=text, settings={"stop": [text]})["id"]
        question = store.add(key, conversation, role="user", content=f"{n} {text} " * 400, parent=None)["id"]
        answers = [
            store.add(
                key, conversation, role="assistant", content=f"{n} {m} {text}", parent=question, details={"note": text}
            )["id"]
            for m in range(2)
        ]
        store.rate(key, answers[0], 1, text)
        store.prefer(key, *answers, reason=text)
        response = {"id": f"resp_{uuid4().hex}", "text": text}
        ResponseStore(store.engine).add(key, response, [{"content": text * 50}])
    reviews.add_guideline(HARM, "ann")
    messages = [{"role": "user", "content": text}]
    sent = [
        NewItem(guideline="harm", answers=[f"{n} {text}"], source="server", messages=messages, sender=key)
        for n in range(count)
    ]
    reviews.add(sent, "server")
    append_lines(
        stores.prompt_log, [f'{{"time": "2026-01-01T00:00:00.000Z", "key": "{key}", "request": "{text}"}}\n'.encode()]
    )
