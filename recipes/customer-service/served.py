"""Asks a server of lmcraft, as any client of OpenAI's API would."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

CLIENTS = 8
TIMEOUT_SECONDS = 900.0


@contextmanager
def server(folder: Path, *arguments: object) -> Iterator[str]:
    """The address of `lmcraft serve`, started in a folder, on a free port."""
    command = [sys.executable, "-m", "lmcraft", "serve", *map(str, arguments), "--port", "0"]
    print(f"\n$ lmcraft {' '.join(command[3:])}", flush=True)
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        if not (url := process.stdout.readline().strip()):
            sys.exit(f"the server did not start; see {folder / 'server.log'}")
        yield url
    finally:
        process.terminate()
        process.wait()


def ask(url: str, question: str, max_tokens: int) -> dict[str, Any]:
    """The message that answers a question."""
    body = {"messages": [{"role": "user", "content": question}], "max_tokens": max_tokens, "temperature": 0}
    request = Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urlopen(request, timeout=TIMEOUT_SECONDS) as response:
        message: dict[str, Any] = json.load(response)["choices"][0]["message"]
    return message


def ask_all(url: str, questions: Sequence[str], max_tokens: int) -> list[dict[str, Any]]:
    """The answers to all questions, asked by several clients at a time."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(lambda question: ask(url, question, max_tokens), questions))
