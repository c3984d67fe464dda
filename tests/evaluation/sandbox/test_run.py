"""Programs in the sandbox compute and end, and can do nothing else."""

import os
import socket
import sys
from pathlib import Path

import pytest

from lmcraft.evaluation.sandbox import run_program
from lmcraft.evaluation.sandbox.seccomp import ARCHITECTURES, build_filter

USEFUL = """
import collections, datetime, decimal, functools, hashlib, heapq, itertools, json, math, random, re, statistics, string
import threading, typing
from math import sqrt
thread = threading.Thread(target=lambda: None)
thread.start()
thread.join()
print("some output")
assert open(typing.__file__).read()
assert sqrt(4) == 2 and random.random() < 1 and hashlib.sha256(b"a").hexdigest()
"""
# Each tries something that must not happen; PATH is a file that must stay, and NEW one that must not appear.
HOSTILE = {
    "fork": "import os\nos.fork()",
    "subprocess": "import subprocess\nsubprocess.run(['touch', NEW])",
    "exec": "import os\nos.execv('/bin/touch', ['touch', NEW])",
    "multiprocessing": "import multiprocessing\nmultiprocessing.Process(target=print).start()",
    "write": "open(NEW, 'w').write('x')",
    "append": "open(PATH, 'a').write('x')",
    "descriptor": "import os\nos.open(NEW, os.O_CREAT | os.O_RDWR)",
    "remove": "import os\nos.remove(PATH)",
    "rename": "import os\nos.rename(PATH, NEW)",
    "folder": "import os\nos.mkdir(NEW)",
    "link": "import os\nos.symlink(PATH, NEW)",
    "mode": "import os\nos.chmod(PATH, 0)",
    "truncate": "import os\nos.truncate(PATH, 0)",
    "socket": "import socket\nsocket.create_connection(('127.0.0.1', PORT))",
    "shared memory": "from multiprocessing.shared_memory import SharedMemory\nSharedMemory(create=True, size=9)",
    "kill": "import os\nos.kill(os.getppid(), 9)",
    "memory": "bytearray(8 << 30)",
    "much memory": "parts = []\nwhile True: parts.append(bytearray(1 << 20))",
    "much output": "while True: print('x' * 1000000)",
    "endless loop": "while True: pass",
    "recursion": "def f(): f()\nf()",
    "early end": "import os\nos._exit(0)",
    "polite end": "import sys\nsys.exit(0)",
    "crash": "import ctypes\nctypes.string_at(0)",
    "forged result": "import os\nfor descriptor in range(20):\n try: os.write(descriptor, b'passed')\n except OSError: pass",
    "failed test": "assert 1 == 2",
    "no program": "def f(:",
}


def test_a_useful_program_passes() -> None:
    assert run_program(USEFUL).passed


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_program_fails_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    path, new = tmp_path / "file", tmp_path / "new"
    path.write_text("contents")
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        names = {"PATH": str(path), "NEW": str(new), "PORT": server.getsockname()[1]}
        program = "".join(f"{key} = {value!r}\n" for key, value in names.items()) + HOSTILE[name]
        outcome = run_program(program, seconds=1)
        assert not outcome.passed
        assert outcome.reason
        with pytest.raises(BlockingIOError):
            server.accept()
    assert path.read_text() == "contents"
    assert path.stat().st_mode & 0o600
    assert not os.path.lexists(new)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel enforces this on Linux only")
def test_foreign_functions_are_confined_too(tmp_path: Path) -> None:
    run_program(f"import ctypes\nctypes.CDLL(None).system(b'touch {tmp_path / 'new'}')")
    assert not (tmp_path / "new").exists()


def test_any_text_is_a_program() -> None:
    assert run_program("x = '\ud800'").reason.startswith("UnicodeEncodeError")
    assert run_program("x = '\u2028天'").passed
    assert run_program("").passed


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_the_filter_is_within_the_kernels_limit(machine: str) -> None:
    program = build_filter(machine)
    assert len(program) % 8 == 0
    assert len(program) // 8 <= 4096
