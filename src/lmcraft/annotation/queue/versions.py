"""The versions of the guidelines in the store."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import append
from lmcraft.annotation.guidelines.changes import changed_rules
from lmcraft.annotation.guidelines.guideline import Guideline, GuidelineVersion, guideline_from_json
from lmcraft.annotation.records import NotFoundError
from lmcraft.annotation.tables import guidelines
from lmcraft.database import is_storable
from lmcraft.errors import UserError
from lmcraft.json_lines import format_json


class GuidelineVersions(Mapping[str, Sequence[GuidelineVersion]]):
    """All versions of each guideline, oldest first, read when they are first asked for.

    Args:
        connection: in a transaction, which the object must not outlive.
    """

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._versions: dict[str, Sequence[GuidelineVersion]] = {}

    def __getitem__(self, name: str) -> Sequence[GuidelineVersion]:
        if name not in self._versions:
            if not is_storable(name):
                raise NotFoundError("guideline", name)
            query = sa.select(guidelines).where(guidelines.c.name == name).order_by(guidelines.c.version)
            rows = self._connection.execute(query).all()
            if not rows:
                raise NotFoundError("guideline", name)
            self._versions[name] = [_parse(row.content) for row in rows]
        return self._versions[name]

    def __iter__(self) -> Iterator[str]:
        query = sa.select(guidelines.c.name).distinct().order_by(guidelines.c.name)
        return iter(self._connection.execute(query).scalars().all())

    def __len__(self) -> int:
        return len(list(iter(self)))

    def current(self, names: Sequence[str] | None = None) -> dict[str, GuidelineVersion]:
        """The newest version of each guideline, by name.

        Args:
            names: of which; None: of all.

        Raises:
            NotFoundError: there is no such guideline.
        """
        g, other = guidelines.c, guidelines.alias().c
        newest = sa.select(sa.func.max(other.version)).where(other.name == g.name).scalar_subquery()
        query = sa.select(g.name, g.content).where(g.version == newest).order_by(g.name)
        stored = {row.name: row.content for row in self._connection.execute(query)}
        for name in names or ():
            if name not in stored:
                raise NotFoundError("guideline", name)
        return {name: _parse(content) for name, content in stored.items() if names is None or name in names}


def add_version(
    connection: sa.Connection, guideline: Guideline, actor: str, now: float
) -> tuple[GuidelineVersion, list[str]]:
    """Add a version of a guideline, unless it equals the current one; see `ReviewStore.add_guideline`."""
    query = sa.select(guidelines).where(guidelines.c.name == guideline.name).order_by(guidelines.c.version.desc())
    newest = connection.execute(query.limit(1)).first()
    old = None if newest is None else _parse(newest.content)
    if old is not None:
        if old.sha256 == guideline.sha256:
            return old, []
        if old.kind != guideline.kind:
            message = f"guideline '{guideline.name}' has kind {old.kind!r} in the store; give the new one another name"
            raise UserError(message)
    created = datetime.fromtimestamp(now, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    new = guideline.with_version(1 if old is None else old.version + 1, created, actor)
    changed = [] if old is None else list(changed_rules(old, new))
    row = {
        "name": new.name,
        "version": new.version,
        "sha256": new.sha256,
        "content": format_json(new.as_json()),
        "changed_rules": format_json(changed),
        "created": now,
        "created_by": actor,
    }
    connection.execute(guidelines.insert().values(row))
    del row["content"]
    append(connection, "guideline_added", actor, "", {"guidelines": row}, now)
    return new, changed


@lru_cache(maxsize=256)
def _parse(content: str) -> GuidelineVersion:
    version = guideline_from_json(json.loads(content))
    assert isinstance(version, GuidelineVersion)
    return version
