"""Structured output: a random model's text matches; an invalid grammar is an error and never ignored."""

import json
import re
from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.grammar import GrammarConstraint
from lmcraft.inference.json_schema import compile_schema
from tests.inference.helpers import language_model, run

pytest.importorskip("llguidance")

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "tags": {"type": "array", "items": {"enum": ["红", "blue"]}, "maxItems": 2},
        "n": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "tags", "n"],
    "additionalProperties": False,
}
MODEL = language_model(3)


@given(st.integers(0, 2**32))
@settings(max_examples=20, deadline=None)
def test_json_matches_its_schema(seed: int) -> None:
    text = MODEL.complete("Once", json_schema=json.dumps(SCHEMA), seed=seed, max_new_tokens=200, temperature=1.5)
    value = json.loads(text)
    assert value.keys() == SCHEMA["properties"].keys()
    assert len(value["name"]) <= 5 and set(value["tags"]) <= {"红", "blue"} and 0 <= value["n"] <= 99


@pytest.mark.parametrize("settings", [{"do_sample": False}, {"temperature": 2}, {"repetition_penalty": 1.3, "top_p": 0.9}])
@pytest.mark.parametrize("tier", ["eager", "auto"])
def test_text_matches_its_regular_expression(tier: str, settings: dict[str, float]) -> None:
    model = language_model(3)
    model._tier = tier  # type: ignore[assignment]
    for seed in range(5):
        pattern = r"(yes|no|也许), [0-9]{2,4}( days)?\."
        text = model.complete("Once", regex=pattern, seed=seed, max_new_tokens=60, **settings)
        assert re.fullmatch(pattern, text), text


def test_a_grammar_in_lark() -> None:
    lark = 'start: "a" b* "c"\nb: /[xy]/\n'
    rows = MODEL.generate(MODEL.tokenizer.encode("Once"), grammar=lark, num_return_sequences=4, seed=1, max_new_tokens=60)
    prompt = len(MODEL.tokenizer.encode("Once"))
    for row in rows:
        text = MODEL.tokenizer.decode(row[prompt:])
        assert re.fullmatch("a[xy]*c?", text) and (text.endswith("c") or len(row) - prompt == 60)


END = "<|endoftext|>"  # of the tests' tokenizer


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"regex": rf"a{re.escape(END)}b"}, f"a{END}b"),
        ({"regex": rf"({re.escape(END)}){{2}}"}, END + END),
        ({"json_schema": json.dumps({"const": END})}, f'"{END}"'),
        ({"json_schema": json.dumps({"enum": [f"é{END}x"]})}, f'"é{END}x"'),
        ({"grammar": f'start: "a{END}" "b"'}, f"a{END}b"),
    ],
)
def test_text_may_spell_a_special_token(setting: dict[str, str], expected: str) -> None:
    assert MODEL.tokenizer.encode(END, parse_special=True) == [MODEL.tokenizer.eos_token_id]
    assert MODEL.complete("Once", do_sample=False, max_new_tokens=60, **setting) == expected


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"regex": "[0-9"}, "regex cannot be used: .*unclosed"),
        ({"json_schema": '{"type": "strin"}'}, "json_schema cannot be used"),
        (
            {"json_schema": '{"items":' * 200 + "{}" + "}" * 200},
            "the schema is nested more than 120 levels deep: put inner parts into \\$defs",
        ),
        ({"json_schema": '{"items":' * 120 + "{}" + "}" * 120}, "the schema is nested more than 120 levels deep"),
        ({"json_schema": '{"items":' * 90_000}, "the schema is nested more than 120 levels deep|100,000"),
        ({"json_schema": "no json"}, "json_schema cannot be used"),
        ({"grammar": "start: nothing"}, "grammar cannot be used"),
        ({"json_schema": '{"$ref":"#"}'}, "^json_schema allows no text[^{<]*$"),
        ({"grammar": "start: start"}, "^grammar allows no text[^{<]*$"),
        ({"grammar": 'start: "a" start'}, "^grammar is too expensive to follow: simplify it[^{<]*$"),
        ({"regex": "a" * 200_000}, "at most 100,000"),
        ({"regex": "a?" * 6_000}, "regex has 6,000 parts that may be left out: give at most 5,000"),
        ({"regex": "(a|)" * 6_000}, "regex has 6,000 parts"),
        ({"regex": "a{0,1}" * 6_000}, "regex has 6,000 parts"),
        ({"grammar": "start: A\nA: " + '["x"] ' * 6_000}, "grammar has 6,000 parts"),
        ({"regex": "a", "grammar": "b"}, "are both set"),
        ({"regex": "a", "num_beams": 2, "do_sample": False}, "not supported in beam search"),
    ],
)
def test_an_invalid_grammar_is_refused(setting: dict[str, str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        MODEL.complete("Once", max_new_tokens=5, **setting)


def test_without_an_end_token_the_setting_is_named() -> None:
    with pytest.raises(UserError, match=r"^regex needs a model with an end token: set eos_token_id"):
        GrammarConstraint(GenerationConfig(regex="a"), MODEL.tokenizer, 100, [])


NUM_LINKS = 3_000


def chain_of_rules(body: str) -> str:
    rules = (f"a{n}: {body.format(f'a{n + 1}')}" for n in range(NUM_LINKS))
    return "\n".join(["start: a0", *rules, f'a{NUM_LINKS}: "x"\n'])


def chain_of_references(body: str) -> str:
    links = (f'"d{n}":{body % f"#/$defs/d{n + 1}"}' for n in range(NUM_LINKS - 1_000))
    return f'{{"$defs":{{{",".join(links)},"d{NUM_LINKS - 1_000}":{{"const":1}}}},"$ref":"#/$defs/d0"}}'


@pytest.mark.parametrize(
    "setting",
    [
        *({"grammar": chain_of_rules(body)} for body in ("{0}", '"y" {0}', "{0} {0}", '"y" | {0}', "{0}?")),
        *({"json_schema": chain_of_references(body)} for body in ('{"$ref":"%s"}', '{"items":{"$ref":"%s"}}')),
        {"json_schema": chain_of_references('{"anyOf":[{"$ref":"%s"},{"const":2}]}')},
        {"grammar": "start: %json " + chain_of_references('{"items":{"$ref":"%s"}}')},
    ],
)
def test_a_long_chain_of_references_does_not_end_the_process(setting: dict[str, str]) -> None:
    with suppress(UserError):  # some are too expensive to follow
        MODEL.complete("Once", max_new_tokens=3, do_sample=False, **setting)


def test_escaped_quantifiers_are_text() -> None:
    assert MODEL.complete("Once", regex="a" + r"\?\*" * 6_000, max_new_tokens=3) in ("a?*", "a?")


def test_a_failed_grammar_ends_its_own_request_only() -> None:
    from lmcraft.inference.engine import Engine
    from lmcraft.inference.request import Request

    engine = Engine(MODEL.transformer, tier="eager")
    ends = frozenset(MODEL.eos_token_ids)
    fields = {"prompt_ids": (5, 6), "eos_token_ids": ends, "tokenizer": MODEL.tokenizer}
    config = MODEL.generation_config.updated({"regex": "a+", "max_new_tokens": 9})
    failed = engine.submit(Request(**fields, config=config))  # type: ignore[arg-type]
    other = engine.submit(Request(**fields, config=config))  # type: ignore[arg-type]
    assert failed.constraint is not None
    failed.constraint._matcher.consume_token(0)  # not allowed: the library reports an error
    list(run(engine))
    assert failed.error is not None and other.error is None and other.finished and len(other.tokens) > 2


def test_texts_of_one_grammar_share_what_is_compiled_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[object] = []

    def compile_and_count(schema: object) -> str:
        compiled.append(schema)
        return compile_schema(schema)

    monkeypatch.setattr("lmcraft.inference.grammar.compile_schema", compile_and_count)
    config = GenerationConfig(json_schema='{"enum": ["aab", "abb", "test of sharing"]}')
    size = MODEL.transformer.config.vocab_size
    ends = MODEL.eos_token_ids

    def constraint(owner: str) -> GrammarConstraint:
        return GrammarConstraint(config, MODEL.tokenizer, size, ends, owner=owner)

    def allowed(constraint: GrammarConstraint) -> set[int]:
        return {*constraint.mask_logits(torch.zeros(1, size)).isfinite()[0].nonzero().flatten().tolist()}

    first, second = constraint("ada"), constraint("ada")
    assert len(compiled) == 1
    begin = allowed(first)
    first.accept(min(begin))
    assert allowed(second) == begin == allowed(constraint("ada")) and allowed(first) != begin
    constraint("bob")  # how long a request takes does not show what others ask for
    assert len(compiled) == 2


def test_an_invalid_grammar_is_an_error_each_time() -> None:
    for _ in range(2):
        with pytest.raises(UserError, match=r"json_schema .* levels deep"):
            MODEL.complete("Once", json_schema='{"items": ' * 200 + "true" + "}" * 200)
