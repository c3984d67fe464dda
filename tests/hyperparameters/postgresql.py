"""A PostgreSQL server for tests, in a temporary folder."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

FOLDERS = Path("/usr/lib/postgresql")  # of Debian, by version
UNPRIVILEGED = "postgres"  # of the system: the server refuses to run as root
USER = "tester"  # of the database


def find_binaries() -> Path | None:
    """The folder of initdb and pg_ctl; None if PostgreSQL is not installed."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).parent] if on_path else sorted(FOLDERS.glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


@contextmanager
def postgresql(address: str = "", prefix: Sequence[str] = (), *, fsync: bool = False) -> Iterator[str]:
    """Run a server; yields the URL of its database, by the socket.

    Args:
        address: to listen on with TCP, too, for every host; empty: only the socket.
        prefix: of the commands, such as `ip netns exec NAME`.
        fsync: whether a commit waits for the disk, as it does outside tests.
    """
    binaries = find_binaries()
    assert binaries is not None
    with TemporaryDirectory(prefix="lmcraft-pg-", dir="/tmp") as name:
        folder = Path(name)
        switch: list[str] = []
        if os.geteuid() == 0:
            shutil.chown(folder, UNPRIVILEGED, UNPRIVILEGED)
            switch = ["setpriv", f"--reuid={UNPRIVILEGED}", f"--regid={UNPRIVILEGED}", "--clear-groups"]

        def run(program: str, *arguments: str) -> None:
            command = [*prefix, *switch, str(binaries / program), *arguments]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=folder)

        data = folder / "data"
        locale = ["--encoding", "UTF8", "--locale", "C"]
        run("initdb", "--pgdata", str(data), "--auth", "trust", "--no-sync", *locale, "--username", USER)
        if address:
            with (data / "pg_hba.conf").open("a", encoding="utf-8") as file:
                print("host all all all trust", file=file)
        options = f"-k {folder} -c listen_addresses='{address}' -c fsync={'on' if fsync else 'off'}"
        run("pg_ctl", "--pgdata", str(data), "--log", str(folder / "log"), "--wait", "-o", options, "start")
        try:
            yield f"postgresql+psycopg://{USER}@/postgres?host={folder}"
        finally:
            run("pg_ctl", "--pgdata", str(data), "--mode", "immediate", "--wait", "stop")
