"""What the server does, in numbers: Prometheus' text format (version 0.0.4) with vLLM's names, so its dashboards fit."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Protocol

PROMPT, GENERATED, SUCCESS = "vllm:prompt_tokens_total", "vllm:generation_tokens_total", "vllm:request_success_total"
REFUSED = "lmcraft:requests_refused_total"
COUNTERS = {
    PROMPT: "Tokens of the prompts of texts that have ended.",
    GENERATED: "Tokens found for texts that have ended.",
    SUCCESS: "Texts that have ended, by the reason.",
    REFUSED: "Answers that were errors, by the status.",
}
FINISH_REASONS = ("stop", "length", "abort")
FIRST, BETWEEN, WHOLE = (
    "vllm:time_to_first_token_seconds",
    "vllm:inter_token_latency_seconds",
    "vllm:e2e_request_latency_seconds",
)
PROMPT_LENGTH, ANSWER_LENGTH = "vllm:request_prompt_tokens", "vllm:request_generation_tokens"
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640)
TOKENS = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))
HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    FIRST: ("Seconds until a request's first token.", (0.001, 0.002, *SECONDS)),
    BETWEEN: ("Seconds between two tokens of a text.", (0.001, 0.002, *SECONDS[:-4])),
    WHOLE: ("Seconds until a text has ended.", (*SECONDS, 1280, 2560, 5120)),
    PROMPT_LENGTH: ("Tokens of a text's prompt.", TOKENS),
    ANSWER_LENGTH: ("Tokens found for a text.", TOKENS),
}


class Watched(Protocol):
    """An engine, as the gauges read it when they are asked."""

    @property
    def name(self) -> str: ...
    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def cache_usage(self) -> float: ...


GAUGES: dict[str, tuple[str, Callable[[Watched], float]]] = {
    "vllm:num_requests_running": ("Texts that grow.", lambda engine: engine.running),
    "vllm:num_requests_waiting": ("Requests that wait for their turn.", lambda engine: engine.waiting),
    "vllm:kv_cache_usage_perc": ("Share of the room for keys and values that is held, 0 to 1.", lambda e: e.cache_usage),
}


class _Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float, count: int) -> None:
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count


class Metrics:
    """Counts what happens; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: dict[str, Watched] = {}
        self._counters: dict[str, dict[str, float]] = {name: {} for name in COUNTERS}  # by labels
        self._histograms: dict[str, dict[str, _Histogram]] = {name: {} for name in HISTOGRAMS}

    def watch(self, engine: Watched) -> None:
        """Read the gauges of an engine from now on. Its counters are there from the start, as 0: rates need that."""
        with self._lock:
            self._watched[engine.name] = engine
            for reason in FINISH_REASONS:
                self._finish(engine.name, reason, 0, 0, 0.0, texts=0)
            for name in (FIRST, BETWEEN):
                self._observe(name, engine.name, 0.0, 0)

    def first_token(self, model: str, seconds: float) -> None:
        """A request's first token came, so long after the request."""
        with self._lock:
            self._observe(FIRST, model, seconds, 1)

    def inter_token(self, model: str, seconds: float, count: int = 1) -> None:
        """So many more tokens came, each so long after the one before."""
        with self._lock:
            self._observe(BETWEEN, model, seconds, count)

    def finished(self, model: str, reason: str, prompt_tokens: int, generated: int, seconds: float) -> None:
        """A text has ended, so long after its request; for a reason of `FINISH_REASONS`."""
        with self._lock:
            self._finish(model, reason, prompt_tokens, generated, seconds, texts=1)

    def refused(self, status: int) -> None:
        """A request was answered with an error."""
        with self._lock:
            self._count(REFUSED, {"status": str(status)}, 1)

    def _finish(self, model: str, reason: str, prompt_tokens: int, generated: int, seconds: float, *, texts: int) -> None:
        of_model = {"model_name": model}
        self._count(SUCCESS, {"finished_reason": reason, **of_model}, texts)
        self._count(PROMPT, of_model, prompt_tokens)
        self._count(GENERATED, of_model, generated)
        for name, value in ((PROMPT_LENGTH, prompt_tokens), (ANSWER_LENGTH, generated), (WHOLE, seconds)):
            self._observe(name, model, value, texts)

    def _count(self, name: str, labels: Mapping[str, str], count: int) -> None:
        values, key = self._counters[name], _labels(labels)
        values[key] = values.get(key, 0) + count

    def _observe(self, name: str, model: str, value: float, count: int) -> None:
        key = _labels({"model_name": model})
        self._histograms[name].setdefault(key, _Histogram(HISTOGRAMS[name][1])).observe(value, count)

    def render(self) -> str:
        """All of it, as text."""
        with self._lock:
            watched = list(self._watched.values())
            lines = _counter_lines(self._counters) + _histogram_lines(self._histograms)
        return "\n".join([*_gauge_lines(watched), *lines, ""])  # engines have locks of their own: not within ours


def _gauge_lines(watched: list[Watched]) -> list[str]:
    lines = []
    for name, (about, read) in GAUGES.items():
        values = {_labels({"model_name": engine.name}): read(engine) for engine in watched}
        lines += _head(name, about, "gauge") + [f"{name}{{{key}}} {value}" for key, value in values.items()]
    return lines


def _counter_lines(counters: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = []
    for name, values in counters.items():
        lines += _head(name, COUNTERS[name], "counter") + [f"{name}{{{key}}} {value}" for key, value in values.items()]
    return lines


def _histogram_lines(histograms: Mapping[str, Mapping[str, _Histogram]]) -> list[str]:
    lines = []
    for name, values in histograms.items():
        lines += _head(name, HISTOGRAMS[name][0], "histogram")
        for key, histogram in values.items():
            total = 0
            for bound, count in zip([*map(float, histogram.bounds), "+Inf"], histogram.counts, strict=True):
                total += count
                lines.append(f'{name}_bucket{{{key},le="{bound}"}} {total}')
            lines += [f"{name}_sum{{{key}}} {histogram.sum}", f"{name}_count{{{key}}} {total}"]
    return lines


def _head(name: str, about: str, kind: str) -> list[str]:
    return [f"# HELP {name} {about}", f"# TYPE {name} {kind}"]


def _labels(labels: Mapping[str, str]) -> str:
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()}
    return ",".join(f'{name}="{value}"' for name, value in escaped.items())
