"""Templates that loop forever or allocate gigabytes fail quickly with a clear error."""

import threading
import time
import tracemalloc

import pytest

from lmcraft.errors import UserError
from lmcraft.tokenizer.chat_template import render

DOUBLE = "{% set ns = namespace(s='ab') %}{% for i in range(60) %}{% set ns.s = "
MALICIOUS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "filtered loops": "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "renamed guards": "{% set counted_items = range %}{% set tick = range %}{% for a in range(99999) %}"
    "{% for b in range(99999) %}x{% endfor %}{% endfor %}",
    "macros": "{% macro m(n) %}{% if n %}{{ m(n - 1) }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(60) }}",
    "a bottomless macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "recursive loop": "{% for x in [1, 2] recursive %}{{ loop([1, 2]) }}{% endfor %}",
    "range": "{% for a in range(10 ** 12) %}{% endfor %}",
    "maps": "{% for a in range(99999) %}{{ range(99999) | map('string') | list | length }}{% endfor %}",
    "doubling by ~": DOUBLE + "ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    "doubling by +": DOUBLE + "ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    "doubling by *": DOUBLE + "ns.s * 2 %}{% endfor %}{{ ns.s }}",
    "doubling by join": DOUBLE + "[ns.s, ns.s] | join %}{% endfor %}{{ ns.s }}",
    "doubling by method": DOUBLE + "''.join([ns.s, ns.s]) %}{% endfor %}{{ ns.s }}",
    "doubling by replace": DOUBLE + "ns.s.replace('a', ns.s) %}{% endfor %}{{ ns.s }}",
    "doubling by the filter": DOUBLE + "ns.s | replace('a', ns.s) %}{% endfor %}{{ ns.s }}",
    "doubling by format": DOUBLE + "'%s%s' % (ns.s, ns.s) %}{% endfor %}{{ ns.s }}",
    "doubling by str.format": DOUBLE + "'{0}{0}'.format(ns.s) %}{% endfor %}{{ ns.s }}",
    "doubling lists": DOUBLE + "[ns.s, ns.s] %}{% endfor %}{{ ns.s | tojson }}",
    "doubling lists by +": "{% set ns = namespace(s=[1]) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "doubling dicts": DOUBLE + "{'a': ns.s, 'b': ns.s} %}{% endfor %}{{ ns.s }}",
    "doubling dict()": DOUBLE + "dict(a=ns.s, b=ns.s) %}{% endfor %}{{ ns.s }}",
    "nested namespaces": DOUBLE + "namespace(a=ns.s, b=ns.s) %}{% endfor %}{{ ns.s }}",
    "much output": "{% for i in range(99999) %}{{ 'x' * 1000 }}{% endfor %}",
    "repetition": "{{ 'a' * 10 ** 9 }}",
    "list repetition": "{{ [0] * 10 ** 9 }}",
    "power": "{{ 10 ** (10 ** 10) }}",
    "power in a loop": "{% set ns = namespace(n=10) %}{% for i in range(60) %}{% set ns.n = ns.n * ns.n %}{% endfor %}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent star": "{{ '%*d' % (1000000000, 1) }}",
    "format": "{{ '{:>1000000000}'.format(1) }}",
    "nested format": "{{ '{:>{}}'.format(1, 1000000000) }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "ljust": "{{ 'a'.ljust(10 ** 9) }}",
    "zfill": "{{ 'a'.zfill(1000000000) }}",
    "expandtabs": "{{ '\t'.expandtabs(1000000000) }}",
    "center": "{{ 'a' | center(1000000000) }}",
    "indent": "{{ 'a\nb' | indent(1000000000) }}",
    "wordwrap": "{{ ('a ' * 1000) | wordwrap(1000000000) }}",
    "tojson": "{{ [1] | tojson(indent=1000000000) }}",
    "lipsum": "{{ lipsum(100000) }}",
    "a long source": "{# " + "x" * 300_000 + " #}",
}


@pytest.mark.parametrize("name", MALICIOUS)
def test_a_malicious_template_is_stopped(name: str) -> None:
    start = time.process_time()
    tracemalloc.start()
    try:
        with pytest.raises(UserError, match=r"^the chat template cannot render these messages: "):
            render(MALICIOUS[name], [])
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()
    assert time.process_time() - start < 20


def test_normal_templates_render_unchanged() -> None:
    template = (
        "{%- macro show(x) -%}<{{ x }}>{%- endmacro -%}"
        "{%- for m in messages if m.role != 'x' -%}"
        "{{ loop.index }}/{{ loop.length }} {{ loop.first }} {{ loop.last }} {{ loop.nextitem.role if not loop.last }}"
        "{{ show(m.content | trim) ~ '|' ~ m.n }}{% if loop.index0 % 2 == 0 %}even{% endif %}"
        "{% else %}none{% endfor %}"
        "{{ '%s and %d' % ('a', 3) }} {{ 2 ** 10 }} {{ [1, 2] + [3] }} {{ {'a': [1, {'b': none}]} | tojson(indent=2) }}"
        "{% for key, value in {'k': 1, 'l': 2}.items() %}{{ key }}={{ value }};{% endfor %}"
        "{% set a, b = 1, 2 %}{{ a + b }}{{ messages[0]['content'].split('e')[0] }}{{ '{:>4}|{}'.format(a, b) }}"
        "{{ messages | map(attribute='role') | join(',') }}"
        "{{ 'x'.ljust(5) + '.' }}{{ messages[::-1][0].role }}{{ undefined_name }}{{ 'a-b'.replace('-', '+') }}"
    )
    messages = [{"role": "user", "content": " hello ", "n": 1}, {"role": "x"}, {"role": "bot", "content": "é", "n": 2.5}]
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    plain = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    plain.filters["tojson"] = lambda value, indent=None: __import__("json").dumps(value, indent=indent)
    assert render(template, messages) == plain.from_string(template).render(messages=messages)


def test_long_conversations_render() -> None:
    messages = [{"role": "user", "content": "word " * 400}] * 1000
    assert len(render("{% for m in messages %}{{ '<' + m.content ~ '>' }}{% endfor %}", messages)) == 2002 * 1000


def test_every_rendering_has_its_own_budget() -> None:
    template = "{% for i in range(90000) %}{% if i == 89999 %}done{% endif %}{% endfor %}"
    texts: list[str] = []
    threads = [threading.Thread(target=lambda: texts.append(render(template, []))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["done"] * 4
    assert [render(template, []) for _ in range(12)] == ["done"] * 12  # a shared budget would be used up


@pytest.mark.parametrize(
    "template",
    [
        "{% for a in [1] %}" * 25 + "{% endfor %}" * 25,
        "{% if messages %}" * 120 + "{% endif %}" * 120,
        "{% if messages %}" * 3000 + "{% endif %}" * 3000,
        "{% for a in [1] %}x{% endfor %}" * 4000,
        "{{ " + "+".join(["1"] * 20_000) + " }}",
        "{{ " + "(" * 50_000 + "1" + ")" * 50_000 + " }}",
        "{% break %}",
        "{{ dict(a=1, a=2) }}",
    ],
    ids=range(8),
)
def test_templates_that_are_no_programs_are_refused(template: str) -> None:
    with pytest.raises(UserError, match="the chat template cannot render these messages"):
        render(template, [])
