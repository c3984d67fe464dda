"""Metrics in Prometheus' text format."""

import re
import threading

from lmcraft.energy.energy import Energy
from lmcraft.server.metrics import Metrics

LINE = re.compile(r'[a-z]+:[a-z0-9_]+\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\} (?:[0-9.e+-]+|\+Inf)')


class Engine:
    name = "tiny"
    running, waiting, cache_usage = 0, 0, 0.0


def value(text: str, name: str, labels: str = 'model_name="tiny"') -> float:
    values = [line.rpartition(" ")[2] for line in text.splitlines() if line.startswith(f"{name}{{{labels}}} ")]
    assert len(values) == 1, (name, labels, text)
    return float(values[0])


def bucket(text: str, name: str, bound: str) -> float:
    return value(text, f"{name}_bucket", f'model_name="tiny",le="{bound}"')


def test_gauges_are_read_at_every_scrape() -> None:
    metrics, engine = Metrics(), Engine()
    metrics.add_source(engine)
    engine.running, engine.waiting, engine.cache_usage = 3, 2, 0.25
    text = metrics.render()
    assert value(text, "vllm:num_requests_running") == 3
    assert value(text, "vllm:num_requests_waiting") == 2
    assert value(text, "vllm:kv_cache_usage_perc") == 0.25


def test_counters_start_at_zero() -> None:
    metrics = Metrics()
    metrics.add_source(Engine())
    text = metrics.render()
    assert value(text, "vllm:prompt_tokens_total") == 0
    assert value(text, "lmcraft:energy_joules_total") == value(text, "lmcraft:energy_joules_high_total") == 0
    assert value(text, "vllm:request_success_total", 'finished_reason="stop",model_name="tiny"') == 0
    assert value(text, "vllm:time_to_first_token_seconds_count") == 0


def test_a_request_updates_every_metric() -> None:
    metrics = Metrics()
    metrics.record_first_token("tiny", 0.05)
    metrics.record_inter_token("tiny", 0.25, 3)
    metrics.record_finish("tiny", "length", 7, 4, 0.8)
    metrics.record_refusal(429)
    text = metrics.render()
    assert value(text, "vllm:prompt_tokens_total") == 7
    assert value(text, "vllm:generation_tokens_total") == 4
    assert value(text, "vllm:request_success_total", 'finished_reason="length",model_name="tiny"') == 1
    assert value(text, "lmcraft:requests_refused_total", 'status="429"') == 1
    assert value(text, "vllm:inter_token_latency_seconds_sum") == 0.75
    assert value(text, "vllm:inter_token_latency_seconds_count") == 3
    assert value(text, "vllm:e2e_request_latency_seconds_sum") == 0.8
    assert value(text, "vllm:request_prompt_tokens_sum") == 7
    assert value(text, "vllm:request_generation_tokens_count") == 1


def test_histogram_buckets_are_cumulative_and_include_their_bound() -> None:
    metrics = Metrics()
    for seconds in (0.05, 0.051, 1e9):
        metrics.record_first_token("tiny", seconds)
    text = metrics.render()
    values = [bucket(text, "vllm:time_to_first_token_seconds", bound) for bound in ("0.02", "0.05", "0.1", "640.0", "+Inf")]
    assert values == [0, 1, 2, 2, 3]


def test_every_line_is_prometheus_text_whatever_the_models_name() -> None:
    metrics = Metrics()
    metrics.record_finish('a"b\\c\nd', "stop", 1, 1, 1.0)
    metrics.record_energy('a"b\\c\nd', Energy(1e-7, 0.0, 1e22))
    metrics.record_refusal(401)
    metrics.record_judgment("answer", 0.001)
    metrics.record_decision("answer", "flag")
    metrics.record_reviews("kept", 2)
    metrics.record_logged_prompts("kept", 2)
    text = metrics.render()
    assert text.endswith("\n")
    lines = text.splitlines()
    assert all(LINE.fullmatch(line) for line in lines if not line.startswith("#"))
    names = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(names) == len(set(names)) == 20
    assert r'model_name="a\"b\\c\nd"' in text


def test_no_count_is_lost_between_threads() -> None:
    metrics = Metrics()

    def work() -> None:
        for n in range(500):
            metrics.record_finish(f"model {n % 50}", "stop", 2, 1, 0.1)
            metrics.record_inter_token("tiny", 0.01)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        metrics.render()
    text = metrics.render()
    assert value(text, "vllm:inter_token_latency_seconds_count") == 2000
    assert sum(value(text, "vllm:prompt_tokens_total", f'model_name="model {n}"') for n in range(50)) == 4000
