"""ECMAScript's regular expressions in Rust's syntax: the same texts match."""

import json

import pytest

pytest.importorskip("llguidance")

from lmcraft.inference.json_schema.patterns import translate_conditions
from lmcraft.inference.json_schema.scope import SchemaError
from tests.inference.json_schema.matching import Grammar


@pytest.mark.parametrize(
    ("pattern", "matches", "others"),
    [
        (r"^\S$", "a\x85", "\ufeff \u2003\n"),
        (r"^\s$", "\ufeff\u00a0\v", "\x85a"),
        (r"^\d\D$", ["1a", "1٣"], ["٣a", "11"]),
        (r"^\w\W$", ["aé", "_ "], ["éa"]),
        (r"^.$", "a\x85", "\n\r\u2028\u2029"),
        (r"^[a&&b]$", "a&b", "c"),
        (r"^[[a]]$", ["[]", "a]"], "a"),
        (r"^[a~~b-]$", "~-", "c"),
        (r"^[\.\-/]$", ".-/", "a"),
        (r"^[+--]$", "+,-", "."),
        (r"^[\w-.]$", "a-.", "!"),
        (r"^[a-\d]$", "a-5", "b"),
        (r"^[^]$", "a\n", ["", "aa"]),
        (r"^[\b\]\\]$", ["\b", "]", "\\"], "b"),
        (r"^[*+?{}()|$^.]+$", ["*(^", "{}"], "a"),
        (r"^\cJ\/\-\#$", ["\n/-#"], ["J/-#"]),
        (r"^\x41\u00e9\u{1f600}\ud83d\udc32$", ["Aé😀🐲"], ["A"]),
        (r"^[\ud83d\udc32-\ud83d\udc35]$", "🐲🐵", "😀"),
        (r"^\0\x01[\x02]$", ["\0\x01\x02"], ["", "\x02"]),
        (r"^(?<year>a)(?:b)(c)$", ["abc"], ["ab"]),
        (r"^a{2}b{1,}?{c}]$", ["aab{c}]"], ["ab{c}]"]),
        (r"^\p{Script=Greek}\p{L}[^\P{Lu}]$", ["αaA"], ["αaa"]),
        (r"a|b", ["xax", "b"], "c"),
        (r'^"\\$', ['"\\'], '"'),
        ("^é😀$", ["é😀"], "é"),
        (r"^(?=.*[A-Z])(?=.*\d)[A-Za-z\d(]{4,}$", ["abC1", "1B(("], ["abc1", "ABCD", "aB1"]),
        (r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$", ["1", "-0.5", ".5", "+1."], ["", "-", ".", "+.", "x"]),  # pydantic's Decimal
        (r"^(?=a|b)(?:a|c)$", "a", "bc"),
        (r"^(?!\.)(?!.*\.\.)[a.]*@$", ["@", "a@", "a.a.@"], [".a@", "a..a@", "a..@", "..@"]),  # zod's email
        (r"^(?!.*[ab])(?![^\d]).*$", ["", "1c", "9"], ["1a", "b", "c"]),
        (r"^(?!\d)(?!.*\s).+$", ["a1", "a"], ["1a", "a b", ""]),
    ],
)
def test_the_same_texts_match(pattern: str, matches: str | list[str], others: str | list[str]) -> None:
    grammar = Grammar({"type": "string", "pattern": pattern})
    assert [text for text in matches if not grammar.accepts(text)] == []
    assert [text for text in others if grammar.accepts(text)] == []


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a(?=b)b", r"'\(\?=b' at character 2 cannot be enforced"), ("(?!a)", "character 1"), ("(?<=a)b", "character 1"),
        ("(?i)a", "character 1"), ("(?P<x>a)", "character 1"), (r"\bfoo", r"\\b cannot"), (r"(a)\1", r"\\1 cannot"),
        (r"\a", r"\\a cannot"), (r"\Z", r"\\Z cannot"), (r"\k<n>", r"\\k cannot"), ("a**", "character 3"),
        ("a++", "character 3"), ("a\\", "character 2"), ("[a", "not closed"), ("[z-a]", "range z-a is in the wrong"),
        (r"\ud83d", "no character"), (r"\u{110000}", "no character"), (r"\01", "octal"),
        ("^(?=a)b|c", "beside alternatives"), ("^(?!ab)c", "character 2"), ("^(?=a", "not closed"),
    ],
)  # fmt: skip
def test_what_has_no_equivalent_is_an_error(pattern: str, reason: str) -> None:
    with pytest.raises(SchemaError, match=reason):
        translate_conditions(pattern)


def test_no_name_passes_for_another_by_its_spelling() -> None:
    grammar = Grammar({"properties": {"a": {"type": "integer"}}, "patternProperties": {"^🐲*$": {"type": "integer"}}})
    for name in ("a", "\\u0061", "🐲", "\\ud83d\\udc32"):
        assert not grammar.accepts_text(f'{{"{name}": "x"}}')
    assert grammar.accepts_text('{"b\\n": "\\t"}')


@pytest.mark.parametrize(
    ("schema", "value", "other"),
    [
        ({"const": ["a\0"]}, ["a\0"], ["a"]), ({"enum": [{"a": "\x7f"}]}, {"a": "\x7f"}, {"a": ""}),
        ({"pattern": r"^\0a$"}, "\0a", "a"), ({"pattern": r"^a[\0]$"}, "a\0", "a"),
    ],
)  # fmt: skip
def test_control_characters_need_closed_objects(schema: dict[str, object], value: object, other: object) -> None:
    open_object = {"properties": {"x": schema}}
    with pytest.raises(SchemaError, match="a control character needs objects without further properties"):
        Grammar(open_object)
    closed = Grammar(open_object | {"additionalProperties": False})
    assert closed.accepts_text(f'{{"x": {json.dumps(value)}}}'.replace("\x7f", "\\u007f"))
    assert not closed.accepts({"x": other})
