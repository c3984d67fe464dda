"""The file of /api/export, which /api/import accepts."""

import json
from collections.abc import Iterator
from typing import Any

from lmcraft.server.conversations import importer
from lmcraft.server.conversations.store import Store


def export_chunks(store: Store, owner: str) -> Iterator[str]:
    """All conversations of an owner as JSON, one conversation at a time, and the preferences in them."""
    header = json.dumps({"format": importer.FORMAT, "version": importer.VERSION})
    yield f'{header[:-1]}, "conversations": ['
    all_preferences: list[dict[str, Any]] = []
    for n, (conversation, preferences) in enumerate(store.export(owner)):
        all_preferences += preferences
        yield (",\n" if n else "\n") + json.dumps(conversation, ensure_ascii=False)
    yield f'\n], "preferences": {json.dumps(all_preferences, ensure_ascii=False)}}}\n'
