"""What a policy costs a streamed answer, and what leaves when its judge is killed.

python benchmarks/moderation/streaming.py [--kills N]

An engine with scripted answers stands behind two gateways, one with the default policy and one without. Each answer is
streamed through both, in random order, and the difference of the times to its last event is what the policy adds. With a
policy the first words wait for the end of their sentence, so the time to the first text is reported, too.

`--kills N` kills the default policy's judge N times, each time when the first sentence of an answer has arrived.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2 as httpx
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from lmcraft.moderation.judge_process import JudgeProcess
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics
from lmcraft.server.moderation.guard import Guard, open_guard
from lmcraft.statistics.bootstrap import bootstrap
from tests.server.scripted_engine import in_words, scripted_engine
from tests.server.tiny_server import running

SENTENCES = {
    "en": [
        "The river is high in spring, because the snow melts in the mountains.", "Bake the bread for forty minutes.",
        "In 1905 he published four papers that changed physics!", "Is that what you had in mind?",
        "A list keeps its order, and a set keeps each value only once, so choose the one whose promise you need.",
    ],
    "zh": [
        "春天雪化了，河水就涨起来。", "面包要烤四十分钟左右。", "你想的是这个意思吗？",
        "列表保持顺序，集合里每个值只出现一次，所以要看你需要哪一种。",
    ],
}  # fmt: skip
NUM_SENTENCES = 8


@dataclass(frozen=True)
class Times:
    """When a client reads an answer, in seconds after its request."""

    first_text: float
    last_event: float


def make_answer(language: str, rng: random.Random) -> list[str]:
    """The pieces of an answer, as large as tokens."""
    text = " ".join(rng.choices(SENTENCES[language], k=NUM_SENTENCES))
    if language == "zh":
        return [text[n : n + 2] for n in range(0, len(text), 2)]
    return text.replace(" ", "\0 ").split("\0")


def stream(client: httpx.Client, url: str, on_first_text: Callable[[], None] = lambda: None) -> tuple[Times, str]:
    """Read an answer; returns the times and the text."""
    body = {"model": "scripted", "messages": [{"role": "user", "content": "Tell me something."}], "stream": True}
    start, first, text = time.perf_counter(), 0.0, ""
    with client.stream("POST", url + "/v1/chat/completions", json=body) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                for choice in json.loads(line[6:])["choices"]:
                    text += choice["delta"].get("content", "")
                    if text and not first:
                        first = time.perf_counter() - start
                        on_first_text()
    return Times(first, time.perf_counter() - start), text


def interval(seconds: Sequence[float]) -> str:
    """The median with its interval of 95%, and the 95th percentile."""
    metric = bootstrap(seconds, lambda samples: np.median(samples, axis=-1))
    value, low, high = (1000 * (number or 0.0) for number in (metric.value, metric.low, metric.high))
    return f"median {value:.1f} ms [{low:.1f}, {high:.1f}], 95% below {1000 * np.percentile(seconds, 95):.1f} ms"


def measure(folder: Path, answers: int, seconds_per_piece: float) -> None:
    """Compare both gateways."""
    for name in ("plain", "guarded"):
        (folder / name).mkdir()
    rng = random.Random(0)
    with (
        scripted_engine(seconds_per_piece=seconds_per_piece) as engine,
        running(folder / "plain", upstream=engine.url) as plain,
        running(folder / "guarded", upstream=engine.url, guard=started_guard) as guarded,
        httpx.Client(timeout=60) as client,
    ):
        for language in SENTENCES:
            ends, firsts = [], []
            for _ in range(answers):
                pieces = make_answer(language, rng)
                engine.script = lambda body, pieces=pieces: pieces
                servers = [plain, guarded]
                rng.shuffle(servers)
                results = {server.url: stream(client, server.url) for server in servers}
                assert results[plain.url][1] == results[guarded.url][1], "the policy changed a harmless answer"
                before, after = results[plain.url][0], results[guarded.url][0]
                ends.append(after.last_event - before.last_event)
                firsts.append(after.first_text - before.first_text)
            print(f"{language}: {answers} answers of {NUM_SENTENCES} sentences, {1 / seconds_per_piece:.0f} pieces/s")
            print(f"  added to the answer:         {interval(ends)}")
            print(f"  added to the first text:     {interval(firsts)}")
        judge = guarded.state.moderator
        waits = [
            asyncio.run(timed(judge, sentence)) for _ in range(100) for texts in SENTENCES.values() for sentence in texts
        ]
        print(f"a sentence waits for its judge: {interval(waits)}")


async def timed(guard: Guard, text: str) -> float:
    start = time.perf_counter()
    await guard.judge(text, "answer")
    return time.perf_counter() - start


def started_guard(metrics: Metrics) -> Guard:
    guard = open_guard("default", Limits(), metrics)
    guard.start()
    return guard


def kill(folder: Path, kills: int) -> None:
    """Kill the judge of the default policy in the middle of an answer, `kills` times."""
    judges: list[JudgeProcess] = []

    def guard(metrics: Metrics) -> Guard:
        judge = JudgeProcess("default", timeout_seconds=30.0, on_restart=metrics.record_judge_restart)
        judge.start()
        judges.append(judge)
        return Guard(judge, metrics)

    def kill_judge() -> None:
        nonlocal killed
        if (process := judges[0].process_id) is not None:  # it restarts
            os.kill(process, signal.SIGKILL)
            killed += 1

    killed = refusals = whole = 0
    with (
        scripted_engine() as engine,
        running(folder, upstream=engine.url, guard=guard) as server,
        httpx.Client(timeout=60) as client,
    ):
        refusal = server.state.moderator.policy.refusal_text()
        written = "Hello there. " + "".join(f"This is sentence {n} of them. " for n in range(40))
        engine.script = lambda body: in_words(written)
        while killed < kills:
            text = stream(client, server.url, kill_judge)[1]
            if text == written:
                whole += 1
            else:
                assert text.endswith(refusal) and written.startswith(text.removesuffix(refusal).rstrip()), text[-80:]
                refusals += 1
    print(f"{killed} kills: {refusals} answers ended with the refusal, {whole} were whole since another judge saw the rest")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=int, default=100)
    parser.add_argument("--seconds-per-piece", type=float, default=0.02)
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.kills:
            kill(Path(folder), options.kills)
        else:
            measure(Path(folder), options.answers, options.seconds_per_piece)


if __name__ == "__main__":
    main()
