"""Deletes what is older than a server's retention: conversations, responses, texts of users in reviews, logged prompts."""

import logging
import math
import threading
import time
from collections import Counter
from collections.abc import Callable

from lmcraft.annotation.queue.erasure import erase_items_before
from lmcraft.annotation.tables import SCHEMA as REVIEW_SCHEMA
from lmcraft.errors import RunError, UserError
from lmcraft.server.conversations.deletion import delete_before
from lmcraft.server.conversations.tables import metadata
from lmcraft.server.privacy.prompt_files import remove_entries, time_of
from lmcraft.server.privacy.purge import purge_deleted
from lmcraft.server.privacy.stores import LOGGED_PROMPTS, REVIEW_ITEMS, Stores, add_up, describe_counts

log = logging.getLogger("lmcraft.server")
ACTOR = "retention"
"""Who erases items, in the audit log."""
SECONDS_BETWEEN_PURGES = 60.0
SWEEPS_PER_RETENTION = 30
MIN_INTERVAL_SECONDS, MAX_INTERVAL_SECONDS = 1.0, 24 * 3600.0
CLOSE_SECONDS = 2.0


def interval_seconds(retention: float) -> float:
    """The time between two sweeps: what is too old stays for at most this long. Both in seconds."""
    return min(max(retention / SWEEPS_PER_RETENTION, MIN_INTERVAL_SECONDS), MAX_INTERVAL_SECONDS)


def purge_all(stores: Stores) -> None:
    """Remove the bytes of deleted rows from the files of all databases.

    Raises:
        RunError: a database failed.
    """
    if stores.database is not None:
        purge_deleted(stores.database, metadata)
    if stores.reviews is not None:
        purge_deleted(stores.reviews.engine, REVIEW_SCHEMA.metadata)


def delete_old(stores: Stores, moment: float) -> Counter[str]:
    """Delete what was last changed before a moment, in seconds since 1970; `purge_all` removes its bytes.

    Returns:
        How much was deleted, by what it is.

    Raises:
        OSError, RunError, UserError: a store failed; the others are swept all the same.
    """

    def sweep_conversations() -> Counter[str]:
        if stores.database is None:
            return Counter()
        return Counter(delete_before(stores.database, moment))

    def sweep_reviews() -> Counter[str]:
        if stores.reviews is None:
            return Counter()
        return Counter({REVIEW_ITEMS: erase_items_before(stores.reviews, moment, ACTOR)})

    def sweep_prompts() -> Counter[str]:
        if stores.prompt_log is None:
            return Counter()
        return Counter({LOGGED_PROMPTS: remove_entries(stores.prompt_log, lambda entry: time_of(entry) < moment)})

    return add_up(sweep_conversations, sweep_reviews, sweep_prompts)


class Housekeeping:
    """A thread that sweeps at the start of a server and then at regular times, and purges databases when it is asked to.

    Args:
        stores: of the server.
        retention: in seconds; 0: nothing is too old.
        clock: returns seconds since 1970.
    """

    def __init__(self, stores: Stores, retention: float, clock: Callable[[], float] = time.time) -> None:
        self._stores, self.retention, self._clock = stores, retention, clock
        self._wake, self._is_ending = threading.Event(), False
        self._needs_purge = retention > 0  # an earlier server may have been killed before its purge
        self._thread = threading.Thread(target=self._run, name="housekeeping", daemon=True)
        self._thread.start()

    def purge_soon(self) -> None:
        """Remove the bytes of rows that were deleted, within a minute: a purge takes time, and users may ask for many."""
        self._needs_purge = True
        self._wake.set()

    def close(self) -> None:
        """End the thread, with the purge that was asked for; what is cut off is completed by the next server."""
        self._is_ending = True
        self._wake.set()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        next_sweep, last_purge = time.monotonic(), -math.inf
        while True:
            now = time.monotonic()
            if self.retention and now >= next_sweep:
                self._attempt(self._sweep)
                next_sweep = now + interval_seconds(self.retention)
            if self._needs_purge and (self._is_ending or now >= last_purge + SECONDS_BETWEEN_PURGES):
                self._needs_purge = False
                self._attempt(lambda: purge_all(self._stores))
                last_purge = now
            if self._is_ending:
                return
            moments = [next_sweep] * bool(self.retention) + [last_purge + SECONDS_BETWEEN_PURGES] * self._needs_purge
            self._wake.wait(max(min(moments) - time.monotonic(), 0.0) if moments else None)
            self._wake.clear()

    def _sweep(self) -> None:
        deleted = delete_old(self._stores, self._clock() - self.retention)
        if deleted.total():
            self._needs_purge = True
            log.info("deleted, since it is older than the retention: %s", describe_counts(deleted))

    def _attempt(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            is_known = isinstance(error, OSError | RunError | UserError)
            log.error("what users have deleted, or is too old, is not gone yet (%s)", error, exc_info=not is_known)
            self._needs_purge = True  # rows may be deleted whose bytes are left
