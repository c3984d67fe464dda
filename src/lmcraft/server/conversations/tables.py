"""The store's tables.

Messages form a tree through `parent`. That foreign key does not cascade: SQLite would delete a chain by recursion, which it
limits to a depth of one thousand. `Store` deletes a branch with one statement instead.
"""

import sqlalchemy as sa

from lmcraft.database import Schema, marker_table

VERSION = 4  # `SCHEMA` has what each version added

metadata = sa.MetaData()
version = marker_table("lmcraft_store", metadata)

conversations = sa.Table(
    "conversations",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("system", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),
    sa.Column("leaf", sa.String(32)),  # the last message of the branch on display
    sa.Column("pair", sa.Text, nullable=False, server_default="[]"),  # the two answers that are being compared
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("updated", sa.Double, nullable=False),
    sa.Column("pinned", sa.Boolean, nullable=False, server_default=sa.false()),  # stays at the top of the list
    sa.Index("conversations_by_time", "owner", "updated"),
)

messages = sa.Table(
    "messages",
    metadata,
    # The order of insertion: two messages may have the same time.
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),
    sa.Column("conversation", sa.ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("parent", sa.ForeignKey("messages.id"), index=True),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("edited_from", sa.String(32)),  # no foreign key: an edit stays one after the original is deleted
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("rating", sa.Integer, nullable=False, default=0),
    sa.Column("reason", sa.Text, nullable=False, default=""),
    sqlite_autoincrement=True,
)

preferences = sa.Table(
    "preferences",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("chosen", sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("rejected", sa.ForeignKey("messages.id", ondelete="CASCADE"), nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)

responses = sa.Table(
    "responses",
    metadata,
    sa.Column("position", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("previous", sa.String(64)),  # the response that it continues; no foreign key: that one may be deleted
    sa.Column("input", sa.Text, nullable=False),
    sa.Column("response", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),  # bytes of both texts
    sa.Column("created", sa.Double, nullable=False, index=True),
    sa.Index("responses_by_owner", "owner", "position", "size"),
    sqlite_autoincrement=True,
)

SCHEMA = Schema(
    subject="store",
    metadata=metadata,
    marker=version,
    version=VERSION,
    example="chats.sqlite",
    added_tables={2: (responses,)},
    added_columns={3: (conversations.c.pinned,), 4: (version.c.id, conversations.c.pair)},
)
