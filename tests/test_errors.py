"""Errors and their exit statuses."""

import errno
import os

import pytest

from lmcraft.errors import InterruptedRunError, LmcraftError, RunError, UserError, explain_os_error


def test_exit_statuses_follow_the_shells_conventions() -> None:
    assert (LmcraftError.exit_status, RunError("x").exit_status, UserError("x").exit_status) == (1, 1, 2)
    assert InterruptedRunError("stopped", 15).exit_status == 143
    assert isinstance(UserError("x"), ValueError)


@pytest.mark.parametrize(
    ("number", "status", "words"),
    [
        (errno.ENOSPC, 1, "'out/a' cannot be written, since the disk is full: free some space"),
        (errno.EDQUOT, 1, "quota"),
        (errno.EMFILE, 1, "ulimit -n"),
        (errno.EROFS, 2, "its file system is read-only: choose another path"),
        (errno.EACCES, 2, "permission is denied"),
        (errno.ENOTDIR, 2, "a part of the path is a file"),
        (errno.EISDIR, 2, "'out/a' is a folder, not a file"),
        (errno.ENAMETOOLONG, 2, "a name that is too long"),
        (errno.ENOENT, 2, "'out/a' does not exist"),
        (errno.ENOTEMPTY, 1, "Directory not empty: 'out/a'"),  # not in the table
    ],
)
def test_an_error_of_the_system_becomes_a_sentence(number: int, status: int, words: str) -> None:
    error = explain_os_error(OSError(number, os.strerror(number), "out/a"))
    assert words in str(error) and error.exit_status == status


def test_the_destination_is_named_and_a_long_name_is_cut() -> None:
    assert str(explain_os_error(OSError(errno.ENOSPC, "full", "from", None, "to"))).startswith("'to' cannot be written")
    assert len(str(explain_os_error(OSError(errno.ENAMETOOLONG, "long", "x" * 5000)))) < 400
    assert "a file cannot be opened" in str(explain_os_error(OSError(errno.EMFILE, "many")))
