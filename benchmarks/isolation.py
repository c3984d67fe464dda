"""One client against another: how long a second API key waits for 8 tokens while the first repeats a hostile request.

For each hostile input it starts a server, lets several clients of the first key send the input in a loop, measures the
second key's requests, and sends SIGTERM while the loop goes on. It prints each wait in units of the wait beside an ordinary
request, and the seconds from SIGTERM to the end of the process.

python benchmarks/isolation.py smollm2-135m-instruct --inputs scoring nested
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

DRAIN_SECONDS = 1.0
WARM_UP_SECONDS = 3.0  # of the hostile loop, before the measurement
MAX_WAIT_RATIO, MAX_END_SECONDS = 3.0, 5.0
NUM_TOKENS = 8
WORD = "the quick brown fox jumps over the lazy dog "
Body = dict[str, Any]


def chat(text: str, **fields: Any) -> Body:
    return {"messages": [{"role": "user", "content": text}], "max_tokens": 64, "ignore_eos": True, **fields}


def nested(times: int) -> str:
    """A special token, spelled within itself again and again."""
    return "<|im_" * times + "<|im_end|>" + "end|>" * times


def schema(value: Body) -> Body:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": value}}}


def deep_schema(depth: int) -> Body:
    value: Body = {"type": "integer"}
    for _ in range(depth):
        value = {"type": "array", "items": value}
    return value


WIDE_SCHEMA = {
    "type": "object",
    "properties": {f"p{n}": {"type": "string", "pattern": "(a|b)*c{1,900}"} for n in range(200)},
}
# Refused at its end, after all of it was read: nothing of it can be kept for the next request.
WRONG_SCHEMA = {"type": "array", "prefixItems": [WIDE_SCHEMA, {"type": "string", "pattern": "("}]}
IMPORT = [{"messages": [{"role": "user", "content": WORD * 20_000}]}] * 60
INPUTS: dict[str, tuple[str, Body | list[Body]]] = {
    "ordinary": ("/v1/chat/completions", chat(WORD)),
    "nested": ("/v1/chat/completions", chat(nested(8_000))),
    "nested long": ("/v1/chat/completions", chat(nested(72_000))),
    "long prompt": ("/v1/chat/completions", chat(WORD * 700)),
    "many texts": ("/v1/chat/completions", chat(WORD, n=16, max_tokens=2000)),
    "scoring": ("/v1/completions", {"prompt": WORD * 110, "echo": True, "logprobs": 5, "max_tokens": 0}),
    "long scoring": ("/v1/completions", {"prompt": [WORD * 440] * 8, "echo": True, "logprobs": 20, "max_tokens": 0}),
    "embedding": ("/v1/embeddings", {"input": [WORD * 700] * 16}),
    "classify": ("/v1/classify", {"input": [WORD * 300] * 16, "labels": [f"label {n}" for n in range(64)]}),
    "classify repeated": (
        "/v1/classify",
        {"input": [WORD * 20_000] * 2, "labels": ["a", "b"], "instruction": "{text}" * 100_000},
    ),
    "tokenize": ("/tokenize", {"prompt": "你好世界" * 200_000}),
    "wide schema": ("/v1/chat/completions", chat(WORD, **schema(WIDE_SCHEMA))),
    "wrong schema": ("/v1/chat/completions", chat(WORD, **schema(WRONG_SCHEMA))),
    "many schemas": ("/v1/chat/completions", chat(WORD, n=16, **schema(WIDE_SCHEMA))),
    "deep schema": ("/v1/chat/completions", chat(WORD, **schema(deep_schema(200)))),
    "regex": ("/v1/chat/completions", chat(WORD, structured_outputs={"regex": "((a{1,100}){1,100}){1,100}"})),
    "wrong list": ("/v1/completions", {"prompt": [0.5] * 700_000}),
    "import": ("/api/import", IMPORT),
    "import without a key": ("/api/import", IMPORT),
    "leaving": ("/v1/chat/completions", chat(WORD * 700, stream=True)),
}


@contextmanager
def served(model: str, folder: Path) -> Iterator[tuple[subprocess.Popen[str], str, dict[str, str]]]:
    """A server with two keys: the process, its address, and the keys by name."""
    keys = {}
    command = [sys.executable, "-m", "lmcraft", "serve", "--api-keys", str(folder / "keys.toml")]
    for name in ("first", "second"):
        result = subprocess.run([*command, "--new-api-key", name], capture_output=True, text=True, check=True)
        keys[name] = result.stdout.strip()
    options = ["--port", "0", "--store", str(folder / "chats.sqlite"), "--drain-timeout", str(DRAIN_SECONDS)]
    process = subprocess.Popen([*command, model, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        yield process, url, keys
    finally:
        process.kill()
        process.wait()


def repeat(
    url: str, path: str, content: bytes, headers: dict[str, str], timeout: float, is_over: Callable[[], bool]
) -> None:
    """Send one request again and again, whatever comes back.

    It keeps its connection: to make a client for each request takes as long as a step of the model, on the same cores.
    """
    with httpx2.Client(headers=headers, timeout=timeout) as client:
        while not is_over():
            try:
                client.post(url + path, content=content)
            except httpx2.HTTPError:
                time.sleep(0.01)


def measure_waits(url: str, key: str, times: int) -> list[float]:
    """Seconds that each of the second key's requests takes."""
    waits = []
    with httpx2.Client(headers={"Authorization": f"Bearer {key}"}, timeout=120) as client:
        for n in range(times):
            start = time.monotonic()
            answer = client.post(url + "/v1/chat/completions", json=chat(f"Say {n}.", max_tokens=NUM_TOKENS))
            waits.append(time.monotonic() - start)
            if answer.status_code != 200:
                print(f"  status {answer.status_code}: {answer.text[:200]}")
    return waits


@contextmanager
def repeating(url: str, name: str, key: str, clients: int) -> Iterator[None]:
    """In the context, several clients repeat an input."""
    path, body = INPUTS[name]
    headers = {"Content-Type": "application/json"}
    if "without a key" not in name:
        headers["Authorization"] = f"Bearer {key}"
    over, timeout = threading.Event(), 0.2 if name == "leaving" else 600.0
    arguments = (url, path, json.dumps(body).encode(), headers, timeout, over.is_set)
    for _ in range(clients):
        threading.Thread(target=repeat, args=arguments, daemon=True).start()
    time.sleep(WARM_UP_SECONDS)
    try:
        yield
    finally:
        over.set()


def run_input(model: str, name: str, clients: int, times: int) -> tuple[float, list[float], float]:
    """The second key's usual wait beside an ordinary request, its waits, and the seconds from SIGTERM to the end."""
    with tempfile.TemporaryDirectory() as folder, served(model, Path(folder)) as (process, url, keys):
        measure_waits(url, keys["second"], 2)  # warms up
        with repeating(url, "ordinary", keys["first"], 1):
            usual = statistics.median(measure_waits(url, keys["second"], times))
        with repeating(url, name, keys["first"], clients):
            waits = measure_waits(url, keys["second"], times)
            start = time.monotonic()
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(DRAIN_SECONDS + 60)
            except subprocess.TimeoutExpired:
                print("  the process did not end")
            seconds = time.monotonic() - start
    return usual, waits, seconds


def main() -> None:
    """Measure each input, and say which ones exceed the bounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--inputs", nargs="*", default=list(INPUTS), choices=list(INPUTS))
    parser.add_argument("--clients", type=int, default=4, help="clients of the first key that repeat the input")
    parser.add_argument("--times", type=int, default=7, help="requests of the second key")
    arguments = parser.parse_args()
    print(f"{os.cpu_count()} processors; {arguments.clients} clients repeat each input", flush=True)
    failed = []
    for name in arguments.inputs:
        usual, waits, seconds = run_input(arguments.model, name, arguments.clients, arguments.times)
        ratio, longest = statistics.median(waits) / usual, max(waits) / usual
        text = f"{name:22} usually {usual:6.3f} s, now {ratio:5.2f} x (longest {longest:5.2f} x)"
        print(f"{text}, ended after {seconds:4.1f} s", flush=True)
        if ratio > MAX_WAIT_RATIO or seconds > DRAIN_SECONDS + MAX_END_SECONDS:
            failed.append(name)
    print(f"over the bounds: {', '.join(failed) or 'none'}")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
