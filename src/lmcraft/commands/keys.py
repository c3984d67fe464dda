"""`lmcraft keys export` and `lmcraft keys erase`: what a server has stored for one API key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lmcraft.commands.serve import DEFAULT_REVIEWS, DEFAULT_STORE
from lmcraft.config import Config, command_config, takes_settings
from lmcraft.errors import RunError, UserError
from lmcraft.extras import import_optional
from lmcraft.setting_values import expand_user
from lmcraft.terminal import print_result

if TYPE_CHECKING:
    from lmcraft.server.privacy.stores import Stores

MAX_NAME_CHARS = 200
STORES = "and --store, --reviews and --log-prompts"


@dataclass(frozen=True)
class KeyConfig(Config):
    """An API key, and where its server keeps data."""

    key: str
    """Name of the key in the server's --api-keys file; "default": that of --api-key; "": a server without keys."""

    _: KW_ONLY

    store: str = DEFAULT_STORE
    """The server's --store: a file, or a database's URL; "none": it has none."""
    reviews: str = DEFAULT_REVIEWS
    """The server's --reviews: a file, or a database's URL; "none": it has none."""
    log_prompts: Path | None = None
    """The server's --log-prompts. [default: it logs no prompts]"""


@command_config
@dataclass(frozen=True)
class KeysExportConfig(KeyConfig):
    """Export everything that a server has stored for one API key.

    These are conversations, ratings, responses, texts in reviews, verdicts, and logged prompts. The server may run.
    """

    _: KW_ONLY

    out: Path
    """Folder to write, which only you can read."""


@command_config
@dataclass(frozen=True)
class KeysEraseConfig(KeyConfig):
    """Erase everything that one API key has sent, for good: no byte of it stays in the files of the databases.

    The server may run. The key itself keeps working until you remove it from the file of keys.
    """

    _: KW_ONLY

    dry_run: bool = False
    """Only say what would be erased."""


@takes_settings(KeysExportConfig)
def export_key_data(config: KeysExportConfig) -> dict[str, int]:
    """Write a folder with what is stored for a key.

    Returns:
        The number of `conversations`, `messages`, `preferences`, `responses`, `reports`, `review items`, `verdicts` and
        `logged prompts`.

    Raises:
        UserError: nothing is stored for the key, a store cannot be opened, or `out` is there already.
        RunError: a store failed.
    """
    from lmcraft.folder.output import KEY_DATA, check_output
    from lmcraft.folder.writing import atomic_write
    from lmcraft.server.privacy.key_data import export_data
    from lmcraft.server.privacy.stores import describe_counts

    sources = [("store", config.store), ("reviews", config.reviews)]
    check_output(config.out, KEY_DATA, overwrite=False, sources=sources)
    with _opened(config) as stores:
        _check_known(stores, config.key)
        with atomic_write(config.out) as folder:
            folder.mkdir(mode=0o700)
            counts = export_data(stores, config.key, folder)
    print_result(f"{config.out}: {describe_counts(counts)}")
    return dict(counts)


@takes_settings(KeysEraseConfig)
def erase_key_data(config: KeysEraseConfig) -> dict[str, int]:
    """Erase what is stored for a key.

    Returns:
        What was erased, or would be, as `export_key_data` counts it.

    Raises:
        UserError: a store cannot be opened, or with `dry_run` nothing is stored for the key.
        RunError: a store failed; calling again goes on.
    """
    from lmcraft.server.privacy.key_data import VERDICTS, count_data, count_remaining, erase_data
    from lmcraft.server.privacy.retention import purge_all
    from lmcraft.server.privacy.stores import describe_counts

    with _opened(config) as stores:
        if config.dry_run:
            _check_known(stores, config.key)
            counts = count_data(stores, config.key)
            del counts[VERDICTS]
            print_result(f"to erase: {describe_counts(counts)}")
            return dict(counts)
        counts = erase_data(stores, config.key)
        try:
            purge_all(stores)  # also if there is nothing: an earlier call may have ended before its purge
        except RunError as error:
            raise RunError(f"{error}: run the command again") from error
        num_verdicts, num_unattributed = count_remaining(stores, config.key)
        is_known = counts.total() or num_verdicts
        outcome = f"erased: {describe_counts(counts)}" if is_known else _describe_purge(stores, config.key)
    print_result(outcome, *_remaining_lines(num_verdicts, num_unattributed))
    return dict(counts)


def _remaining_lines(num_verdicts: int, num_unattributed: int) -> Iterator[str]:
    from lmcraft.data.documents import count_noun

    if num_verdicts:
        verdicts = count_noun(num_verdicts, "verdict", "verdicts")
        yield f"{verdicts} that the key has given as a reviewer stay: the audit log needs them as evidence"
    if num_unattributed:
        texts = count_noun(num_unattributed, "text", "texts")
        yield f"{texts} in reviews were added by an older lmcraft, which did not record their keys: --retention erases them"


def _check_known(stores: Stores, key: str) -> None:
    """Raise UserError if nothing is stored for a key: its name may be misspelled."""
    from lmcraft.server.privacy.key_data import count_data

    if count_data(stores, key).total():
        return
    raise UserError(f"nothing is stored for key={key!r}{_list_keys(stores)}: check its name, {STORES}")


def _describe_purge(stores: Stores, key: str) -> str:
    """The outcome of an erasure that had nothing to delete: an earlier one may have ended before its purge."""
    return (
        f"nothing is stored for key={key!r} (any more){_list_keys(stores)}. The files are purged of everything that was "
        f"deleted. If you have not erased this key before, check its name, {STORES}"
    )


def _list_keys(stores: Stores) -> str:
    from lmcraft.server.privacy.key_data import keys_with_data

    names = sorted(keys_with_data(stores))
    return f"; there is data of {', '.join(map(repr, names))}" if names else ""


@contextmanager
def _opened(config: KeyConfig) -> Iterator[Stores]:
    """The stores of a server; by default, those of its default paths that exist.

    Raises:
        UserError: there are none, or one cannot be opened.
    """
    import_optional("sqlalchemy", "serve", "the server's data")
    from lmcraft.annotation.store import ReviewStore
    from lmcraft.annotation.tables import SCHEMA
    from lmcraft.database import check_text, open_database
    from lmcraft.server.conversations.store import Store
    from lmcraft.server.privacy.prompt_files import check_log
    from lmcraft.server.privacy.stores import Stores

    check_text("key", config.key, MAX_NAME_CHARS)

    def is_present(location: str, default: str) -> bool:
        return location != "none" and (location != default or expand_user(location).exists())

    with ExitStack() as stack:
        conversations = reviews = None
        if is_present(config.store, DEFAULT_STORE):
            conversations = Store.open(config.store, create=False)
            stack.callback(conversations.close)
        if is_present(config.reviews, DEFAULT_REVIEWS):
            reviews = ReviewStore(open_database(config.reviews, SCHEMA, create=False))
            stack.callback(reviews.close)
        path = None if config.log_prompts is None else expand_user(config.log_prompts)
        if path is not None:
            check_log(path)
        if conversations is None and reviews is None and path is None:
            raise UserError("there is no store: name the server's --store, --reviews or --log-prompts")
        yield Stores(conversations, None if conversations is None else conversations.engine, reviews, path)
