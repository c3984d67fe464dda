"""Opening a database of any kind: versions, upgrades, and programs that share one."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from lmcraft.annotation.tables import SCHEMA as REVIEWS
from lmcraft.database import Schema, check_text, close_database, is_storable, marker_table, open_database, replace_invalid
from lmcraft.errors import UserError
from lmcraft.hyperparameters.tables import SCHEMA as SEARCHES
from lmcraft.server.conversations.tables import SCHEMA as CONVERSATIONS
from tests.hyperparameters.postgresql import find_binaries, postgresql

KINDS = {"reviews": REVIEWS, "searches": SEARCHES, "conversations": CONVERSATIONS}


@pytest.fixture(scope="module")
def postgresql_url() -> Iterator[str]:
    if find_binaries() is None:
        pytest.skip("PostgreSQL is not installed: there is no initdb")
    with postgresql() as url:
        yield url


@pytest.mark.parametrize("kind", KINDS)
def test_a_newer_version_is_refused_and_an_opened_file_is_private(kind: str, tmp_path: Path) -> None:
    schema, path = KINDS[kind], tmp_path / "file.sqlite"
    close_database(open_database(str(path), schema, create=True))
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as raw:
        raw.execute(f"UPDATE {schema.marker.name} SET version = 99")
        raw.commit()
    with pytest.raises(UserError, match=rf"{schema.subject} '.*' was made by a newer lmcraft \(version 99"):
        open_database(str(path), schema, create=False)


def test_kinds_share_a_database_of_postgresql_with_each_other_only(postgresql_url: str) -> None:
    engine = sa.create_engine(postgresql_url)
    for _ in range(2):
        for schema in KINDS.values():
            close_database(open_database(postgresql_url, schema, create=True))
    with engine.begin() as connection:
        for schema in (CONVERSATIONS, REVIEWS):
            schema.metadata.drop_all(connection)
        connection.execute(sa.text("DROP TABLE lmcraft_searches_version"))
    with pytest.raises(UserError, match="has another program's tables"):
        open_database(postgresql_url, REVIEWS, create=True)
    close_database(open_database(postgresql_url, SEARCHES, create=True))  # of a version that had no marker
    close_database(open_database(postgresql_url, REVIEWS, create=True))
    engine.dispose()


def test_a_kind_does_not_take_over_another_kinds_file(tmp_path: Path) -> None:
    path = str(tmp_path / "file.sqlite")
    close_database(open_database(path, CONVERSATIONS, create=True))
    with pytest.raises(UserError, match="has another program's tables"):
        open_database(path, REVIEWS, create=True)


def test_an_upgrade_adds_tables_and_columns(tmp_path: Path) -> None:
    path = str(tmp_path / "file.sqlite")
    old_metadata, new_metadata = sa.MetaData(), sa.MetaData()
    old_table = sa.Table("things", old_metadata, sa.Column("id", sa.Integer, primary_key=True))
    old = Schema("things", old_metadata, marker_table("lmcraft_things", old_metadata), 1, "things.sqlite")
    engine = open_database(path, old, create=True)
    with engine.begin() as connection:
        connection.execute(old_table.insert().values(id=7))
    close_database(engine)
    color = sa.Column("color", sa.Text, nullable=False, server_default="red")
    new_table = sa.Table("things", new_metadata, sa.Column("id", sa.Integer, primary_key=True), color)
    added = sa.Table("others", new_metadata, sa.Column("id", sa.Integer, primary_key=True))
    marker = marker_table("lmcraft_things", new_metadata)
    new = Schema("things", new_metadata, marker, 2, "things.sqlite", {2: (added,)}, {2: (color,)})
    before = Path(path).read_bytes()
    with pytest.raises(UserError, match=r"an older lmcraft \(version 1, this one needs 2\)"):
        open_database(path, new, create=False, upgrade=False)
    assert Path(path).read_bytes() == before
    for _ in range(2):
        engine = open_database(path, new, create=False)
        with engine.begin() as connection:
            assert connection.execute(sa.select(new_table)).all() == [(7, "red")]
            assert connection.execute(sa.select(added)).all() == []
        close_database(engine)
    with pytest.raises(UserError, match="newer lmcraft"):
        open_database(path, old, create=False)


def test_what_is_only_read_is_not_created(tmp_path: Path) -> None:
    path = tmp_path / "reviews.sqlite"
    path.touch(0o644)
    with pytest.raises(UserError, match="has none of the tables"):
        open_database(str(path), REVIEWS, create=False)
    assert (path.stat().st_size, path.stat().st_mode & 0o777) == (0, 0o644)
    with pytest.raises(UserError, match="does not exist"):
        open_database(str(tmp_path / "other.sqlite"), REVIEWS, create=False)
    assert list(tmp_path.iterdir()) == [path]


def test_texts_are_bounded_and_otherwise_unchanged() -> None:
    assert check_text("title", "天🙂\r\n", 4) == "天🙂\r\n"
    with pytest.raises(UserError, match="title has 5 characters; give at most 4"):
        check_text("title", "abcde", 4)
    with pytest.raises(UserError, match=r"title has NUL \('\\x00'\) at character 1"):
        check_text("title", "a\0", 4)
    with pytest.raises(UserError, match="half of a surrogate pair"):
        check_text("title", "\ud800", 4)
    assert is_storable("天🙂") and not is_storable("\0") and replace_invalid("a\0b\udfff") == "a\ufffdb\ufffd"
