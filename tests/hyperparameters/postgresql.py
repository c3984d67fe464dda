"""A PostgreSQL server for tests, in a temporary folder, on a Unix socket only."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

FOLDERS = Path("/usr/lib/postgresql")  # of Debian, by version
UNPRIVILEGED = "postgres"  # the server refuses to run as root


def find_binaries() -> Path | None:
    """The folder of initdb and pg_ctl; None if PostgreSQL is not installed."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else sorted(FOLDERS.glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@contextmanager
def postgresql(addresses: str = "") -> Iterator[str]:
    """Run a server; yields the URL of its database.

    Args:
        addresses: to listen on with TCP, too; empty: only the socket.
    """
    binaries = find_binaries()
    assert binaries is not None
    with TemporaryDirectory(prefix="lmcraft-pg-", dir="/tmp") as name:
        folder = Path(name)
        user = UNPRIVILEGED if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(folder, user, user)

        def run(program: str, *arguments: str) -> None:
            command = [str(binaries / program), *arguments]
            switched = {"user": user, "group": user, "extra_groups": []} if os.geteuid() == 0 else {}
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder, **switched)  # type: ignore[call-overload]

        data = str(folder / "data")
        run(
            "initdb", "--pgdata", data, "--auth", "trust", "--no-sync", "--encoding", "UTF8", "--locale", "C", "-U", "tester"
        )
        options = f"-k {folder} -c listen_addresses='{addresses}' -c fsync=off"
        run("pg_ctl", "--pgdata", data, "--log", str(folder / "log"), "--wait", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://tester@/postgres?host={folder}"
        finally:
            run("pg_ctl", "--pgdata", data, "--mode", "immediate", "--wait", "stop")
