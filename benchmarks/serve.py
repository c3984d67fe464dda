"""Throughput and latency of OpenAI-compatible servers, one after another: 1 client, then 8, all streaming.

Each server is a command with {port} in it, which this script starts and stops. Tokens are counted by the servers themselves
(`usage`), or else by the pieces that they send.

python benchmarks/serve.py --model smol --server "lmcraft=lmcraft serve smol=models/smollm2 --weights int8 --port {port}" \
    --server "llama.cpp=llama-server -m smol.gguf --parallel 8 --ctx-size 16384 --port {port}"
"""

import argparse
import asyncio
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx2

TOPICS = ("the sea", "a small dog", "an old clock", "the moon", "a long train", "winter", "a garden", "a letter")
PORT = 8765


@dataclass
class LoadResult:
    """Measurements of concurrent clients."""

    tokens: int = 0
    seconds: float = 0.0
    first_token_seconds: list[float] = field(default_factory=list)
    """Seconds to the first token of each request."""

    @property
    def rate(self) -> float:
        return self.tokens / self.seconds

    def p95(self) -> float:
        ordered = sorted(self.first_token_seconds)
        return ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]


@contextmanager
def running_server(command: str) -> Iterator[float]:
    """Run a server for the duration of the context; yields the seconds until it was ready."""
    start = time.monotonic()
    process = subprocess.Popen(
        shlex.split(command.replace("{port}", str(PORT))),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        while True:
            try:
                if httpx2.get(f"http://127.0.0.1:{PORT}/health", timeout=1).status_code == 200:
                    break
            except httpx2.TransportError:
                if process.poll() is not None:
                    sys.exit(f"ended before it was ready: {command}")
            time.sleep(0.02)
        yield time.monotonic() - start
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


async def send_request(
    client: httpx2.AsyncClient, model: str, topic: str, arguments: argparse.Namespace, run: LoadResult
) -> None:
    prompt = f"Write a very long story about {topic}, with many people in it and much talk. Do not stop early."
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "max_tokens": arguments.tokens,
        "temperature": arguments.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    start, pieces, counted = time.monotonic(), 0, 0
    async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        if answer.status_code != 200:
            sys.exit((await answer.aread()).decode())
        async for line in answer.aiter_lines():
            if not line.startswith("data: {"):
                continue
            part = json.loads(line[6:])
            if any(choice.get("delta", {}).get("content") for choice in part["choices"]):
                pieces += 1
                if pieces == 1:
                    run.first_token_seconds.append(time.monotonic() - start)
            counted = (part.get("usage") or {}).get("completion_tokens", counted)
    run.tokens += counted or pieces


async def measure_load(model: str, clients: int, requests: int, arguments: argparse.Namespace) -> LoadResult:
    """Run `clients` concurrently, each with `requests` one after another."""
    run = LoadResult()
    limits = httpx2.Limits(max_keepalive_connections=0)  # llama-server closes connections that are being reused
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{PORT}", timeout=600, limits=limits) as client:

        async def run_client(n: int) -> None:
            for r in range(requests):
                await send_request(client, model, TOPICS[(n + r) % len(TOPICS)], arguments, run)

        start = time.monotonic()
        await asyncio.gather(*(run_client(n) for n in range(clients)))
        run.seconds = time.monotonic() - start
    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument(
        "--server", action="append", required=True, help="NAME=COMMAND or NAME|MODEL=COMMAND, with {port} in it"
    )
    parser.add_argument("--model", default="smol", help="model name in the requests")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--requests", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument(
        "--temperature", type=float, default=0.8, help="at 0, lmcraft speculates if there is a single client"
    )
    parser.add_argument("--rounds", type=int, default=1)
    arguments = parser.parse_args()
    results: dict[str, list[LoadResult]] = {}
    ready: dict[str, float] = {}
    for _ in range(arguments.rounds):
        for label, _, command in (server.partition("=") for server in arguments.server):
            name, _, model = label.partition("|")
            model = model or arguments.model
            with running_server(command) as seconds:
                ready[name] = min(seconds, ready.get(name, seconds))
                asyncio.run(measure_load(model, 2, 1, arguments))  # warm-up
                for clients in arguments.clients:
                    run = asyncio.run(measure_load(model, clients, arguments.requests, arguments))
                    results.setdefault(f"{name}|{clients}", []).append(run)
    print("| server | clients | tokens/s | times one client | first token, median | p95 | ready |")
    print("|---|---|---|---|---|---|---|")
    for key, runs in results.items():
        name, clients = key.split("|")
        best, single = (
            max(runs, key=lambda run: run.rate),
            max(results[f"{name}|{arguments.clients[0]}"], key=lambda run: run.rate),
        )
        first = f"{statistics.median(best.first_token_seconds):.3f} s | {best.p95():.3f} s"
        print(f"| {name} | {clients} | {best.rate:.1f} | {best.rate / single.rate:.2f} | {first} | {ready[name]:.1f} s |")


if __name__ == "__main__":
    main()
