"""The tables of the review store, and which of their columns the audit log holds.

An item's long texts are in `contents`, so that a claim rewrites only the short row. A `buckets` row stands for all items
that the same people can claim: of one guideline, in one queue, with the same people excluded. With an index on bucket and
priority the next item is the best of a few heads, however many items a person has already judged.
"""

import sqlalchemy as sa

from lmcraft.annotation.audit_log.log import metadata
from lmcraft.database import Schema, marker_table

VERSION = 2  # `SCHEMA` has what it added
AUDITED_ITEM_COLUMNS = (
    "id", "guideline", "content_sha256", "source", "state", "num_verdicts", "num_skips", "label", "rule", "verdict",
    "expected_label", "expected_rule", "round",
)  # fmt: skip
"""What the log keeps of an item: not its traffic, priority and lease, which are no evidence."""

_POSITION = sa.BigInteger().with_variant(sa.Integer, "sqlite")

marker = marker_table("lmcraft_reviews", metadata)

guidelines = sa.Table(
    "guidelines",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("content", sa.Text, nullable=False),  # JSON, as `Guideline.as_json` gives it
    sa.Column("changed_rules", sa.Text, nullable=False),  # JSON: the ids of the rules that this version changed or removed
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
)

buckets = sa.Table(
    "buckets",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("key", sa.String(64), nullable=False, unique=True),  # hash of the next four
    sa.Column("guideline", sa.String(64), nullable=False),
    sa.Column("queue", sa.String(16), nullable=False),  # review, adjudicate, gold, round; empty: nobody can claim them
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("excluded", sa.Text, nullable=False),  # JSON: who has judged, skipped or escalated them
    sa.Column("size", sa.Integer, nullable=False),  # items in it
)

items = sa.Table(
    "items",
    metadata,
    sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(32), nullable=False, unique=True),  # the first digits of content_sha256
    sa.Column("content_sha256", sa.String(64), nullable=False),  # of guideline, subject, messages and answers
    sa.Column("guideline", sa.String(64), nullable=False),
    sa.Column("subject", sa.String(16), nullable=False),
    sa.Column("source", sa.String(16), nullable=False),
    sa.Column("excerpt", sa.Text, nullable=False),
    sa.Column("severity", sa.Double, nullable=False),
    sa.Column("uncertainty", sa.Double, nullable=False),
    sa.Column("traffic", sa.BigInteger, nullable=False),
    sa.Column("is_reported", sa.Boolean, nullable=False),
    sa.Column("priority", sa.Double, nullable=False),
    sa.Column("bucket", sa.ForeignKey("buckets.id"), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("num_verdicts", sa.Integer, nullable=False, default=0),
    sa.Column("num_skips", sa.Integer, nullable=False, default=0),
    sa.Column("label", sa.String(64)),  # the final verdict: its label, rule and id
    sa.Column("rule", sa.String(64)),
    sa.Column("verdict", sa.String(64)),
    sa.Column("expected_label", sa.String(64)),  # of a gold item
    sa.Column("expected_rule", sa.String(64)),
    sa.Column("round", sa.String(64)),  # the calibration round that took the item
    sa.Column("holder", sa.Text, nullable=False, default=""),
    sa.Column("lease", sa.String(32), nullable=False, default=""),  # the token of who holds the item
    sa.Column("lease_expires", sa.Double, nullable=False, default=0.0),
    sa.Column("lease_task", sa.String(16), nullable=False, default=""),
    sa.Column("lease_version", sa.Integer, nullable=False, default=0),  # of the guideline, as it was shown
    sa.Column("created", sa.Double, nullable=False),
    sa.Index("items_by_bucket", "bucket", sa.desc("priority"), "position"),
    sa.Index("items_by_priority", sa.desc("priority"), "position"),
    sa.Index("items_by_state", "state", sa.desc("priority"), "position"),
    sa.Index("items_by_guideline", "guideline", sa.desc("priority"), "position"),
    sa.Index("items_by_guideline_and_state", "guideline", "state", sa.desc("priority"), "position"),
    sa.Index("items_by_source", "source", sa.desc("priority"), "position"),
    sa.Index("items_by_source_and_state", "source", "state", sa.desc("priority"), "position"),
    sqlite_autoincrement=True,
)
# Literals: an index on a condition serves no parameters. Not `holder != ''`: without statistics PostgreSQL expects that of
# most rows, and reads the whole table.
_TASKS: list[sa.ColumnElement[str]] = [sa.literal_column(f"'{task}'") for task in ("review", "adjudicate")]
IS_HELD = items.c.lease_task.in_(_TASKS)
"""Whether an item has a holder, whose lease may have ended."""
sa.Index("items_by_holder", items.c.holder, sqlite_where=IS_HELD, postgresql_where=IS_HELD)
sa.Index(
    "items_by_round", items.c.round, sqlite_where=items.c.round.is_not(None), postgresql_where=items.c.round.is_not(None)
)
sa.Index(
    "items_by_expected",
    items.c.guideline,
    items.c.position,
    sqlite_where=items.c.expected_label.is_not(None),
    postgresql_where=items.c.expected_label.is_not(None),
)

contents = sa.Table(
    "contents",
    metadata,
    sa.Column("item", sa.ForeignKey("items.id"), primary_key=True),
    sa.Column("content", sa.Text, nullable=False),  # JSON: subject, messages, answers
    sa.Column("decision", sa.Text, nullable=False),  # JSON: what a policy decided
    sa.Column("origin", sa.Text, nullable=False),  # JSON: where it was
)

verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("position", _POSITION, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(64), nullable=False, unique=True),
    sa.Column("item", sa.ForeignKey("items.id"), nullable=False),
    sa.Column("reviewer", sa.Text, nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),  # review or adjudicate
    sa.Column("guideline", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("label", sa.String(64), nullable=False),
    sa.Column("rule", sa.String(64), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("correction", sa.Text, nullable=False),
    sa.Column("contains", sa.Text, nullable=False),  # JSON
    sa.Column("excludes", sa.Text, nullable=False),  # JSON
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("swapped", sa.Boolean, nullable=False),  # whether the second answer was shown first
    sa.Column("is_gold", sa.Boolean, nullable=False),  # of a gold item
    sa.Column("round", sa.String(64)),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("answer_state", sa.String(16), nullable=False),  # the answer to the client, which a repetition gets again
    sa.Column("answer_verdicts", sa.Integer, nullable=False),
    sa.UniqueConstraint("item", "reviewer", name="one_verdict_per_reviewer"),
    sa.Index("verdicts_by_reviewer", "reviewer", "created"),
    sa.Index("verdicts_of_gold", "reviewer", "is_gold", "created"),
    sa.Index("verdicts_by_guideline", "guideline", "version", "rule"),
    sqlite_autoincrement=True,
)
skips = sa.Table(
    "skips",
    metadata,
    sa.Column("item", sa.ForeignKey("items.id"), primary_key=True),
    sa.Column("reviewer", sa.Text, primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),  # skip or escalate
    sa.Column("task", sa.String(16), nullable=False),
    sa.Column("token", sa.String(32), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("answer_state", sa.String(16), nullable=False),
    sa.Column("answer_verdicts", sa.Integer, nullable=False),
)

reviewers = sa.Table(
    "reviewers",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("guideline", sa.String(64), primary_key=True),
    sa.Column("num_judged", sa.Integer, nullable=False),  # verdicts and skips, gold items included
    sa.Column("gold_position", sa.BigInteger, nullable=False),  # all gold items up to here are done
)

exposures = sa.Table(
    "exposures",
    metadata,
    sa.Column("reviewer", sa.Text, primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),  # UTC
    sa.Column("item", sa.String(32), primary_key=True),
)

rounds = sa.Table(
    "rounds",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("guideline", sa.String(64), nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),  # open or revealed
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
    sa.Column("revealed", sa.Double),
    sa.Column("revealed_by", sa.Text),
)

round_items = sa.Table(
    "round_items",
    metadata,
    sa.Column("round", sa.ForeignKey("rounds.id"), primary_key=True),
    sa.Column("item", sa.ForeignKey("items.id"), primary_key=True),
    sa.Column("position", sa.Integer, nullable=False),
)

comments = sa.Table(
    "comments",
    metadata,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("round", sa.ForeignKey("rounds.id"), nullable=False),
    sa.Column("item", sa.ForeignKey("items.id"), nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
    sa.Index("comments_by_item", "round", "item", "created"),
)

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("item", sa.ForeignKey("items.id"), primary_key=True),
    sa.Column("reporter", sa.String(64), primary_key=True),  # hash of a secret of the store and the name
    sa.Column("reason", sa.String(16), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created", sa.Double, nullable=False),
)

senders = sa.Table(
    "senders",
    metadata,
    sa.Column("item", sa.ForeignKey("items.id"), primary_key=True),
    sa.Column("sender", sa.String(64), primary_key=True, index=True),  # hash of a secret of the store and the name
)

samples = sa.Table(
    "samples",
    metadata,
    sa.Column("guideline", sa.String(64), primary_key=True),
    sa.Column("stratum", sa.String(64), primary_key=True),  # of the guideline's sampling plan
    sa.Column("name", sa.String(64), primary_key=True),  # such as a month
    sa.Column("version", sa.Integer, nullable=False),  # of the guideline
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("pool", sa.BigInteger, nullable=False),  # items that it was drawn from
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("groups", sa.Text, nullable=False),  # JSON: the items of the pool in each group
    sa.Column("items_sha256", sa.String(64), nullable=False),  # of the ids and groups in `sample_items`
    sa.Column("created", sa.Double, nullable=False),
    sa.Column("created_by", sa.Text, nullable=False),
)

sample_items = sa.Table(
    "sample_items",
    metadata,
    sa.Column("guideline", sa.String(64), primary_key=True),
    sa.Column("stratum", sa.String(64), primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("item", sa.ForeignKey("items.id"), primary_key=True),
    sa.Column("group_name", sa.Text, nullable=False),
    sa.ForeignKeyConstraint(
        ("guideline", "stratum", "name"), ("samples.guideline", "samples.stratum", "samples.name"), name="sample_of_item"
    ),
)

settings = sa.Table(
    "settings",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),  # JSON
)

SCHEMA = Schema(
    subject="reviews",
    metadata=metadata,
    marker=marker,
    version=VERSION,
    example="reviews.sqlite",
    added_tables={2: (senders,)},
)
