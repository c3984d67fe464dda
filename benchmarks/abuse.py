"""Ill-treat a running server for some minutes, and count what came of it.

At once: clients that ask and half of the time leave midway, slow readers, slow senders, huge bodies, bodies that are not
UTF-8 or not JSON, hostile schemas, and malformed requests that hypothesis makes up. In the end the server has to be well,
hold nothing, be as large as before, and have answered or refused cleanly every good request of those who stayed.

lmcraft serve smol=models/smollm2 --weights int8 --port 8765 --store none & python benchmarks/abuse.py --pid $! --minutes 10
"""

import argparse
import asyncio
import json
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CLEAN = {200, 400, 408, 413, 422, 429, 503, 504}
REFUSALS = {429, 503, 504}
REST = 15.0  # seconds in which a server may put its memory in order
HELLO = [{"role": "user", "content": "hello"}]
VALID: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO, "max_tokens": 2},
    "/v1/completions": {"prompt": "hello", "max_tokens": 2},
    "/v1/responses": {"input": "hello", "max_output_tokens": 2},
    "/v1/embeddings": {"input": "hello"},
    "/v1/classify": {"input": "hello", "labels": ["a", "b"]},
    "/v1/moderations": {"input": "hello"},
    "/tokenize": {"messages": HELLO},
    "/detokenize": {"tokens": [1, 2]},
}
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FIELDS = (
    *(
        "model",
        "messages",
        "prompt",
        "input",
        "tools",
        "tool_choice",
        "stop",
        "n",
        "seed",
        "logprobs",
        "top_logprobs",
        "user",
    ),
    *("logit_bias", "response_format", "temperature", "stream_options", "suffix", "echo", "tokens", "labels", "instruction"),
)
MALFORMED = st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=12), ODD, min_size=1, max_size=3)


def hostile(rng: random.Random) -> dict[str, Any]:
    """A schema, an expression or a grammar that is meant to cost much."""
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(200):
        deep = {"type": "array", "items": deep}
    wide = {"type": "object", "properties": {f"p{n}": {"type": "string", "pattern": "(a|b)*c{1,900}"} for n in range(200)}}
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}}}
    many = {"enum": [f"word {n}" for n in range(5000)]}
    schemas = [deep, wide, loop, many, {"type": "nothing"}, {"minLength": 10**9, "type": "string"}]
    if rng.random() < 0.4:
        return {
            "structured_outputs": {
                "regex": rng.choice(["(a*)*b", "(x+x+)+y", "((a{1,100}){1,100}){1,100}", "[", "a{99999}"])
            }
        }
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": rng.choice(schemas)}}
    return {"response_format": form}


class Abuse:
    """The actors, and what they saw: counts by actor and outcome, and faults in words."""

    def __init__(self, port: int, seconds: float) -> None:
        self.port, self.end = port, time.monotonic() + seconds
        self.counts: Counter[tuple[str, str]] = Counter()
        self.faults: list[str] = []
        self.rng = random.Random(1)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=100)
        self.client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=180, limits=limits)

    def saw(self, actor: str, outcome: object) -> None:
        self.counts[actor, str(outcome)] += 1

    def check(self, actor: str, answer: httpx2.Response, allowed: set[int] = CLEAN) -> None:
        """An answer is a good one or an error in one sentence."""
        self.saw(actor, answer.status_code)
        if answer.status_code not in allowed:
            self.faults.append(f"{actor}: status {answer.status_code}: {answer.text[:200]}")
        elif answer.status_code != 200 and not answer.json()["error"]["message"]:
            self.faults.append(f"{actor}: status {answer.status_code} without a sentence")

    def chat(self, **more: Any) -> dict[str, Any]:
        words = " ".join(
            self.rng.choices(["sea", "dog", "clock", "moon", "train", "why", "天", "?"], k=self.rng.randint(3, 60))
        )
        return {"messages": [{"role": "user", "content": words}], "max_tokens": self.rng.randint(1, 40), **more}

    async def asks(self) -> None:
        """Good requests; half of them are left midway."""
        leaves, stream = self.rng.random() < 0.5, self.rng.random() < 0.5
        path, body = "/v1/chat/completions", self.chat(stream=stream)
        if leaves:
            try:
                async with asyncio.timeout(self.rng.uniform(0.01, 2)):
                    await self.client.post(path, json=body)
                self.saw("leaves", "was answered before")
            except (TimeoutError, httpx2.TransportError):
                self.saw("leaves", "left")
            return
        answer = await self.client.post(path, json=body)
        self.check("stays", answer, {200} | REFUSALS)
        if answer.status_code == 200 and stream and not answer.text.rstrip().endswith("data: [DONE]"):
            self.faults.append("stays: a stream has no end")
        if answer.status_code in REFUSALS:
            await asyncio.sleep(self.rng.uniform(0.1, 1))

    async def reads_slowly(self) -> None:
        body = json.dumps(self.chat(stream=True, max_tokens=300, logprobs=True, top_logprobs=20)).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1024)
        try:
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n")
            writer.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()
            for _ in range(20):
                if not await reader.read(64):
                    break
                await asyncio.sleep(1)
            self.saw("reads slowly", "hung up")
        except OSError:
            self.saw("reads slowly", "was cut off")
        finally:
            writer.close()

    async def sends_slowly(self) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            for byte in b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 60:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.5)
            self.saw("sends slowly", "was listened to for 50 s")
            self.faults.append("sends slowly: headers may take for ever")
        except OSError:
            self.saw("sends slowly", "was cut off")
        finally:
            writer.close()

    async def sends_much(self) -> None:
        content = b'{"messages": [{"role": "user", "content": "' + b"a" * (6 * 2**20) + b'"}]}'
        self.check("huge body", await self.post(content), {413})

    async def sends_noise(self) -> None:
        contents = (
            b"\xff\xfe{}",
            b'{"messages": "\xc3\x28"}',
            b"{" * 5000,
            b"[" * 100_000,
            b"",
            b"null",
            b'{"a":' + b"1" * 4000 + b"}",
        )
        self.check("not UTF-8, not JSON", await self.post(self.rng.choice(contents)), {400, 422})

    async def sends_schema(self) -> None:
        answer = await self.client.post("/v1/chat/completions", json=self.chat(max_tokens=8, **hostile(self.rng)))
        self.check("hostile schema", answer)

    async def post(self, content: bytes) -> httpx2.Response:
        return await self.client.post("/v1/chat/completions", content=content, headers={"Content-Type": "application/json"})

    async def repeat(self, actor: Callable[[], Awaitable[None]], pause: float) -> None:
        while time.monotonic() < self.end:
            try:
                await actor()
            except (httpx2.TransportError, OSError) as error:
                self.saw(actor.__name__, f"connection: {type(error).__name__}")
                self.faults.append(f"{actor.__name__}: {error!r}")
            await asyncio.sleep(self.rng.uniform(0, 2 * pause))

    async def malformed(self, bodies: list[tuple[str, bytes]]) -> None:
        for path, content in bodies:
            answer = await self.client.post(path, content=content, headers={"Content-Type": "application/json"})
            self.check("malformed", answer, CLEAN | {404})
            await asyncio.sleep(0.02)

    async def run(self, clients: int, bodies: list[tuple[str, bytes]]) -> None:
        actors = [(self.asks, 0.1)] * clients + [(self.reads_slowly, 1.0)] * 10 + [(self.sends_slowly, 1.0)] * 10
        actors += [(self.sends_much, 2.0)] * 2 + [(self.sends_noise, 0.2)] * 2 + [(self.sends_schema, 0.5)] * 2
        await asyncio.gather(*(self.repeat(actor, pause) for actor, pause in actors), self.malformed(bodies))

    async def settled(self) -> str:
        """What the server says of itself when nothing is asked any more."""
        text = ""
        for _ in range(600):
            text = (await self.client.get("/metrics")).text
            gauges = [line for line in text.splitlines() if line.startswith(("vllm:num_requests", "vllm:kv_cache"))]
            if all(float(line.rpartition(" ")[2]) == 0 for line in gauges):
                await asyncio.sleep(REST)
                return ""
            await asyncio.sleep(0.1)
        return f"it still holds something: {' '.join(gauges)}"


def made_up(count: int) -> list[tuple[str, bytes]]:
    """Malformed requests: a path and a body each."""
    found: list[tuple[str, bytes]] = []

    @settings(max_examples=count, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(sorted(VALID)), MALFORMED)
    def collect(path: str, odd: dict[str, Any]) -> None:
        found.append((path, json.dumps({**VALID[path], **odd}).encode()))

    collect()
    return found[:count]


def resident(pid: int) -> float:
    """MiB of a process that are in memory."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


async def fill(port: int, pid: int) -> None:
    """Long prompts, until all room for keys and values has been used once: it becomes memory where it is first used."""
    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=600) as client:
        length = (await client.get("/v1/models")).json()["data"][0]["max_model_len"] - 1
        for token in range(100, 200):
            before = resident(pid)
            answer = await client.post("/v1/completions", json={"prompt": [token] * length, "max_tokens": 1})
            answer.raise_for_status()
            if resident(pid) < 1.01 * before:
                break


async def scene(port: int, pid: int, minutes: float, clients: int, requests: int) -> int:
    warnings.simplefilter("ignore")
    bodies = made_up(requests)
    await fill(port, pid)
    warm = Abuse(port, min(60.0, 60 * minutes / 4))  # so that what grows once has grown: caches, threads' stacks
    await warm.run(clients, bodies[:100])
    await warm.settled()
    before = resident(pid)
    abuse = Abuse(port, 60 * minutes)
    await abuse.run(clients, bodies)
    holds = await abuse.settled()
    healthy = (await abuse.client.get("/health")).status_code
    after = resident(pid)
    print("| actor | outcome | count |\n|---|---|---|")
    for (actor, outcome), count in sorted(abuse.counts.items()):
        print(f"| {actor} | {outcome} | {count} |")
    grown = f"memory {before:.0f} MiB before, {after:.0f} after ({after / before - 1:+.1%})"
    print(f"\nhealth {healthy}; {holds or 'nothing is held'}; {grown}")
    for fault in abuse.faults[:20]:
        print("fault:", fault)
    return int(bool(abuse.faults) or bool(holds) or healthy != 200 or after > 1.05 * before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--port", type=int, default=8765)
    parser.add_argument("--pid", type=int, required=True, help="of the server, to read its memory")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=1000, help="malformed ones")
    args = parser.parse_args()
    sys.exit(asyncio.run(scene(args.port, args.pid, args.minutes, args.clients, args.requests)))


if __name__ == "__main__":
    main()
