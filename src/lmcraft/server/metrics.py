"""Metrics in Prometheus' text format (version 0.0.4), with vLLM's names, so that dashboards made for vLLM work."""

import threading
from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from lmcraft.energy.energy import NO_ENERGY, Energy

PROMPT_TOKENS, GENERATION_TOKENS = "vllm:prompt_tokens_total", "vllm:generation_tokens_total"
FINISHED_REQUESTS, REFUSED_REQUESTS = "vllm:request_success_total", "lmcraft:requests_refused_total"
DECISIONS, JUDGE_RESTARTS = "lmcraft:moderation_decisions_total", "lmcraft:judge_restarts_total"
REVIEWS, LOGGED_PROMPTS = "lmcraft:texts_for_review_total", "lmcraft:logged_prompts_total"
ENERGY, ENERGY_LOW, ENERGY_HIGH = (f"lmcraft:energy_joules{bound}_total" for bound in ("", "_low", "_high"))
COUNTERS = {
    PROMPT_TOKENS: "Prompt tokens of finished sequences.",
    GENERATION_TOKENS: "Generated tokens of finished sequences.",
    FINISHED_REQUESTS: "Finished sequences, by reason.",
    REFUSED_REQUESTS: "Error responses, by status.",
    DECISIONS: "Prompts and answers that the policy has decided about, by stage and action.",
    JUDGE_RESTARTS: "Judges that have ended, and were replaced.",
    REVIEWS: "Texts that the policy sent to review, by whether they were kept or lost.",
    LOGGED_PROMPTS: "Requests for the log of --log-prompts, by whether they were kept or lost.",
    ENERGY: "Joules drawn for requests, without idle time: the best estimate.",
    ENERGY_LOW: "Joules drawn for requests: the low end of the interval.",
    ENERGY_HIGH: "Joules drawn for requests: the high end of the interval.",
}
FINISH_REASONS = ("stop", "length", "abort")
TIME_TO_FIRST_TOKEN = "vllm:time_to_first_token_seconds"
INTER_TOKEN_LATENCY = "vllm:inter_token_latency_seconds"
END_TO_END_LATENCY = "vllm:e2e_request_latency_seconds"
JUDGMENT_SECONDS = "lmcraft:judgment_seconds"
PROMPT_LENGTH, GENERATION_LENGTH = "vllm:request_prompt_tokens", "vllm:request_generation_tokens"
SECONDS_BUCKETS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320, 640)
TOKEN_BUCKETS = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))
HISTOGRAMS: dict[str, tuple[str, tuple[float, ...]]] = {
    TIME_TO_FIRST_TOKEN: ("Seconds from a request to its first token.", (0.001, 0.002, *SECONDS_BUCKETS)),
    INTER_TOKEN_LATENCY: ("Seconds between two tokens of a sequence.", (0.001, 0.002, *SECONDS_BUCKETS[:-4])),
    END_TO_END_LATENCY: ("Seconds from a request to the end of a sequence.", (*SECONDS_BUCKETS, 1280, 2560, 5120)),
    JUDGMENT_SECONDS: (
        "Seconds that a prompt or a sentence of an answer waits for its judge.",
        (0.001, 0.002, *SECONDS_BUCKETS),
    ),
    PROMPT_LENGTH: ("Prompt tokens per sequence.", TOKEN_BUCKETS),
    GENERATION_LENGTH: ("Generated tokens per sequence.", TOKEN_BUCKETS),
}


class GaugeSource(Protocol):
    """A worker, as far as the gauges read it at each scrape."""

    @property
    def name(self) -> str: ...
    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def cache_usage(self) -> float: ...


GAUGES: dict[str, tuple[str, Callable[[GaugeSource], float]]] = {
    "vllm:num_requests_running": ("Sequences being generated.", lambda source: source.running),
    "vllm:num_requests_waiting": ("Queued requests.", lambda source: source.waiting),
    "vllm:kv_cache_usage_perc": ("Share of the KV cache in use, 0 to 1.", lambda source: source.cache_usage),
}


class _Histogram:
    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float, count: int) -> None:
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count


class Metrics:
    """Counters, histograms and gauges; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sources: dict[str, GaugeSource] = {}
        self._counters: dict[str, dict[str, float]] = {name: {} for name in COUNTERS}  # by labels
        self._histograms: dict[str, dict[str, _Histogram]] = {name: {} for name in HISTOGRAMS}

    def add_source(self, source: GaugeSource) -> None:
        """Add a worker to the gauges, and start its counters at 0, because Prometheus' rates need a first value."""
        with self._lock:
            self._sources[source.name] = source
            for reason in FINISH_REASONS:
                self._record_finish(source.name, reason, 0, 0, 0.0, sequences=0)
            for name in (TIME_TO_FIRST_TOKEN, INTER_TOKEN_LATENCY):
                self._observe(name, {"model_name": source.name}, 0.0, 0)
            self._count_energy(source.name, NO_ENERGY)

    def record_first_token(self, model: str, seconds: float) -> None:
        """Record a request's first token, `seconds` after the request arrived."""
        with self._lock:
            self._observe(TIME_TO_FIRST_TOKEN, {"model_name": model}, seconds, 1)

    def record_inter_token(self, model: str, seconds: float, count: int = 1) -> None:
        """Record `count` further tokens, each `seconds` after the one before."""
        with self._lock:
            self._observe(INTER_TOKEN_LATENCY, {"model_name": model}, seconds, count)

    def record_finish(self, model: str, reason: str, prompt_tokens: int, generated: int, seconds: float) -> None:
        """Record the end of a sequence, `seconds` after its request arrived; `reason` is one of `FINISH_REASONS`."""
        with self._lock:
            self._record_finish(model, reason, prompt_tokens, generated, seconds, sequences=1)

    def record_refusal(self, status: int) -> None:
        """Record an error response."""
        with self._lock:
            self._count(REFUSED_REQUESTS, {"status": str(status)}, 1)

    def record_judgment(self, stage: str, seconds: float) -> None:
        """Record how long a text waited for its judge."""
        with self._lock:
            self._observe(JUDGMENT_SECONDS, {"stage": stage}, seconds, 1)

    def record_decision(self, stage: str, action: str) -> None:
        """Record what the policy decides about a prompt or an answer."""
        with self._lock:
            self._count(DECISIONS, {"stage": stage, "action": action}, 1)

    def record_reviews(self, outcome: Literal["kept", "lost"], count: int) -> None:
        """Record what became of texts that the policy sent to review."""
        with self._lock:
            self._count(REVIEWS, {"outcome": outcome}, count)

    def record_logged_prompts(self, outcome: Literal["kept", "lost"], count: int) -> None:
        """Record what became of requests that the prompt log should have."""
        with self._lock:
            self._count(LOGGED_PROMPTS, {"outcome": outcome}, count)

    def record_judge_restart(self) -> None:
        """Record that a judge has ended, and is replaced."""
        with self._lock:
            self._count(JUDGE_RESTARTS, {"judge": "policy"}, 1)

    def record_energy(self, model: str, energy: Energy) -> None:
        """Record what was drawn for requests to a model."""
        with self._lock:
            self._count_energy(model, energy)

    def _count_energy(self, model: str, energy: Energy) -> None:
        for name, joules in ((ENERGY, energy.joules), (ENERGY_LOW, energy.low), (ENERGY_HIGH, energy.high)):
            self._count(name, {"model_name": model}, joules)

    def _record_finish(
        self, model: str, reason: str, prompt_tokens: int, generated: int, seconds: float, *, sequences: int
    ) -> None:
        labels = {"model_name": model}
        self._count(FINISHED_REQUESTS, {"finished_reason": reason, **labels}, sequences)
        self._count(PROMPT_TOKENS, labels, prompt_tokens)
        self._count(GENERATION_TOKENS, labels, generated)
        values = ((PROMPT_LENGTH, prompt_tokens), (GENERATION_LENGTH, generated), (END_TO_END_LATENCY, seconds))
        for name, value in values:
            self._observe(name, labels, value, sequences)

    def _count(self, name: str, labels: Mapping[str, str], count: float) -> None:
        values, key = self._counters[name], _format_labels(labels)
        values[key] = values.get(key, 0) + count

    def _observe(self, name: str, labels: Mapping[str, str], value: float, count: int) -> None:
        key = _format_labels(labels)
        self._histograms[name].setdefault(key, _Histogram(HISTOGRAMS[name][1])).observe(value, count)

    def render(self) -> str:
        """All metrics in Prometheus' text format."""
        with self._lock:
            sources = list(self._sources.values())
            lines = _counter_lines(self._counters) + _histogram_lines(self._histograms)
        # Outside our lock, because reading a gauge takes the worker's lock.
        return "\n".join([*_gauge_lines(sources), *lines, ""])


def _gauge_lines(sources: list[GaugeSource]) -> list[str]:
    lines = []
    for name, (description, read) in GAUGES.items():
        values = {_format_labels({"model_name": source.name}): read(source) for source in sources}
        lines += _header_lines(name, description, "gauge") + [f"{name}{{{key}}} {value}" for key, value in values.items()]
    return lines


def _counter_lines(counters: Mapping[str, Mapping[str, float]]) -> list[str]:
    lines = []
    for name, values in counters.items():
        lines += _header_lines(name, COUNTERS[name], "counter") + [f"{name}{{{key}}} {n}" for key, n in values.items()]
    return lines


def _histogram_lines(histograms: Mapping[str, Mapping[str, _Histogram]]) -> list[str]:
    lines = []
    for name, values in histograms.items():
        lines += _header_lines(name, HISTOGRAMS[name][0], "histogram")
        for key, histogram in values.items():
            total = 0
            for bound, count in zip([*map(float, histogram.bounds), "+Inf"], histogram.counts, strict=True):
                total += count
                lines.append(f'{name}_bucket{{{key},le="{bound}"}} {total}')
            lines += [f"{name}_sum{{{key}}} {histogram.sum}", f"{name}_count{{{key}}} {total}"]
    return lines


def _header_lines(name: str, description: str, kind: str) -> list[str]:
    return [f"# HELP {name} {description}", f"# TYPE {name} {kind}"]


def _format_labels(labels: Mapping[str, str]) -> str:
    escaped = {name: value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for name, value in labels.items()}
    return ",".join(f'{name}="{value}"' for name, value in escaped.items())
