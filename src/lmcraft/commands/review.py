"""`lmcraft review add` and `lmcraft review guideline`: what a review store holds."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from lmcraft.config import DATA, SEVERAL_VALUES, Config, command_config, takes_settings
from lmcraft.errors import InterruptedRunError, LmcraftError, UserError
from lmcraft.setting_values import expand_user
from lmcraft.terminal import line_printer, print_result

if TYPE_CHECKING:
    from pathlib import Path

    from lmcraft.annotation.guidelines.guideline import GuidelineVersion
    from lmcraft.annotation.queue.importing import ImportCounts
    from lmcraft.annotation.store import ReviewStore
    from lmcraft.data.documents import ReadStats


@dataclass(frozen=True, kw_only=True)
class ActorConfig(Config):
    """Who does it."""

    actor: str = ""
    """Your name in the audit log. [default: your login name]"""

    def name(self) -> str:
        """The name for the log."""
        from getpass import getuser

        try:
            return self.actor or getuser()
        except (KeyError, OSError):  # a user without a name, in a container
            return "owner"


@command_config
@dataclass(frozen=True)
class ReviewAddConfig(ActorConfig):
    """Add items from files to the queue of a review store.

    A row is judged by what it has: a prompt and an answer, messages, two answers to compare, a prompt alone, or a text. Also
    the decision records of `lmcraft serve`, the folder of `lmcraft audit safety`, and a dataset with documents that its
    preparation set aside for review.
    """

    store: str
    """The review store: a file, such as reviews.sqlite, which is created, or postgresql://USER@HOST/NAME."""
    files: Annotated[tuple[str, ...], SEVERAL_VALUES]
    """.jsonl, .json, .csv, .tsv, .parquet (also .gz and .zst), texts, folders of audits or datasets; "-": standard input."""

    _: KW_ONLY

    guideline: str = "harm"
    """The guideline to judge by: its name in the store, a template's name, or a Markdown file."""
    gold: bool = False
    """The rows have the right verdict (label and rule), to check the reviewers by."""
    source: Literal["file", "server", "report", "audit", "filter"] = "file"
    """Where the items come from, which adjudicators see."""
    subject: Literal["answer", "prompt", "document"] | None = None
    """What the text of a row is. [default: a document, unless the row says otherwise]"""
    text_field: Annotated[str, DATA] = "text"
    """Field that holds the text of a row; a.b is the field b of a."""
    group_field: Annotated[str, DATA] = ""
    """Field that holds the group of a row, such as its category, for a guideline with a sampling plan."""
    encoding: Annotated[str | None, DATA] = None
    """Encoding of the files, such as gb18030. [default: UTF-8, else detected for each file]"""
    malformed: Annotated[Literal["skip", "fail"], DATA] = "skip"
    """What to do with unusable rows: skip and count them, or fail."""


@command_config
@dataclass(frozen=True)
class ReviewGuidelineConfig(ActorConfig):
    """Add a guideline to a review store, or a new version of one, and show which verdicts its changes touch."""

    store: str
    """The review store: a file, such as reviews.sqlite, which is created, or postgresql://USER@HOST/NAME."""
    guideline: str
    """A Markdown file, with translations beside it (harm.md, harm.zh.md), or the name of a template that lmcraft brings."""


@takes_settings(ReviewAddConfig)
def review_add(config: ReviewAddConfig) -> dict[str, int]:
    """Add the items of files; those that the store has already are passed over.

    Returns:
        The numbers of items that were `added`, that came again in the files (`repeated`), that were `present` before, that
        could not become gold items (`not_gold`), and of rows that cannot be used (`malformed`).

    Raises:
        UserError: a file, the guideline or the store cannot be used.
        InterruptedRunError: a signal stopped it; the message says how many items were added.
    """
    counts, stats = _add_files(config)
    if not counts.total:
        raise UserError(f"there is nothing to review in {', '.join(config.files)}{stats.describe_malformed()}")
    return {**asdict(counts), "malformed": stats.malformed_count}


def _add_files(config: ReviewAddConfig) -> tuple[ImportCounts, ReadStats]:
    """Add the items of files, and print how many; see `review_add`."""
    from lmcraft.annotation.queue.importing import ImportCounts, import_items
    from lmcraft.annotation.sources.items import read_items
    from lmcraft.annotation.sources.rows import ItemFormat
    from lmcraft.data.documents import ReadStats

    if not config.files:
        raise UserError("files is empty: name a file of items")
    if "" in config.files:
        raise UserError("files has an empty name: name a file of items, or . for this folder")
    files = [expand_user(file) for file in config.files]
    for file in files:
        if not file.exists():
            raise UserError(f"'{file}' does not exist: check the path")
    counts, stats = ImportCounts(), ReadStats(malformed_action=config.malformed)
    with opened_store(config.store, create=True) as store:
        guideline = stored_guideline(store, config.guideline, config.name())
        form = ItemFormat(guideline, config.source, config.subject, config.text_field, config.group_field, gold=config.gold)
        new = (item for file in files for item in read_items(file, form, stats, encoding=config.encoding))
        try:
            with _counter("adding") as show:
                for state in import_items(store, new, guideline, config.name(), counts, stats):
                    show(state.total)
        except KeyboardInterrupt as interruption:
            message = f"stopped: {counts.added:,} items were added; the same command adds the others"
            raise InterruptedRunError(message, signal.SIGINT) from interruption
        except LmcraftError as error:
            if counts.added:
                line_printer()(f"{counts.added:,} items were added before the error; the same command adds the others")
            raise error
    if counts.total:
        line_printer()(_describe_import(counts, guideline.name, stats))
    return counts, stats


@takes_settings(ReviewGuidelineConfig)
def review_guideline(config: ReviewGuidelineConfig) -> int:
    """Add a guideline, unless it is the current version already.

    Returns:
        Its version.

    Raises:
        UserError: the guideline has a mistake, or the store cannot be opened.
    """
    from lmcraft.annotation.guidelines.guideline_file import open_guideline

    guideline = open_guideline(config.guideline)
    with opened_store(config.store, create=True) as store:
        before = {version.name: version for version in store.guidelines()}.get(guideline.name)
        version, changed = store.add_guideline(guideline, config.name())
        citing = [vote for vote in store.votes(version.name) if vote.rule in changed] if changed else []
    if before is not None and before.version == version.version:
        print_result(f"guideline {version.name} is in the store already, as version {version.version}")
        return version.version
    print_result(f"added guideline {version.name}, version {version.version}, with {len(version.rules)} rules")
    if changed:
        print_result(f"changed or removed rules: {', '.join(changed)}; {len(citing):,} verdicts cite them")
    return version.version


def stored_guideline(store: ReviewStore, address: str, actor: str) -> GuidelineVersion:
    """The guideline of the store that a setting names; one that the store lacks is added.

    Args:
        store: the store.
        address: the guideline's name in the store, a template's name, or a Markdown file.
        actor: who adds it.

    Raises:
        UserError: there is none, or a file differs from what the store has.
    """
    from lmcraft.annotation.guidelines.guideline_file import open_guideline

    stored = {version.name: version for version in store.guidelines()}
    if address in stored:
        return stored[address]
    guideline = open_guideline(address)
    if guideline.name not in stored:
        version, _ = store.add_guideline(guideline, actor)
        line_printer()(f"added guideline {version.name}, version {version.version}")
        return version
    if (current := stored[guideline.name]).sha256 != guideline.sha256:
        raise UserError(
            f"guideline='{address}' differs from version {current.version} of {guideline.name} in the store: add "
            f"it with `lmcraft review guideline` first, or use the store's with --guideline {guideline.name}"
        )
    return current


def check_store(location: str) -> None:
    """Check, before a long run, that a review store can be written; a file that does not exist is created.

    Raises:
        UserError: it cannot.
    """
    with opened_store(location, create=True):
        pass


def add_for_review(location: str, folder: Path | None) -> None:
    """Add to a review store what a command has written for people to judge by the guideline `harm`.

    Args:
        location: of the store.
        folder: of an audit or a dataset; None: there is nothing to judge.

    Raises:
        UserError: the store cannot be written.
    """
    if folder is None or not _add_files(ReviewAddConfig(location, (str(folder),)))[0].total:
        line_printer()(f"nothing is to be reviewed, so nothing was added to {location}")


@contextmanager
def _counter(description: str) -> Iterator[Callable[[int], None]]:
    """A line on standard error that counts items, at a terminal; yields the function that moves it."""
    from lmcraft.terminal import shows_bars, stderr_console

    console = stderr_console()
    if not shows_bars(console):
        yield lambda number: None
        return
    with console.status(description) as status:
        yield lambda number: status.update(f"{description}: {number:,} items")


def _describe_import(counts: ImportCounts, guideline: str, stats: ReadStats) -> str:
    from lmcraft.data.documents import count_noun

    numbers = {
        "repeated": "came again, which counts as traffic",
        "present": "already in the store",
        "not_gold": "cannot become gold items, since people have judged them",
    }
    others = [f"{asdict(counts)[name]:,} {text}" for name, text in numbers.items() if asdict(counts)[name]]
    added = f"added {count_noun(counts.added, 'item', 'items')} to guideline {guideline}"
    return "; ".join([added, *others]) + stats.describe_malformed()


@contextmanager
def opened_store(location: str, *, create: bool = False) -> Iterator[ReviewStore]:
    """A review store, which is closed at the end.

    Args:
        location: a file or a URL.
        create: create the file if it does not exist.

    Raises:
        UserError: it cannot be opened.
    """
    from lmcraft.extras import import_optional

    import_optional("sqlalchemy", "review", "the review store")
    from lmcraft.annotation.store import ReviewStore

    store = ReviewStore.open(location, create=create)
    try:
        yield store
    finally:
        store.close()
