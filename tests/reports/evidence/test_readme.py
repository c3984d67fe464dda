"""The parts of a README.md."""

import pytest

from lmcraft.errors import UserError
from lmcraft.reports.evidence.readme import Readme

PART = '<!-- lmcraft:begin {"tags":["a"]} -->\nold\n<!-- lmcraft:end -->'


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_peoples_text_stays_around_the_part(newline: str) -> None:
    text = f"---\nlicense: mit # mine\n---\n# Name\n\nMine.\n\n{PART}\n\n## Mine, too\n".replace("\n", newline)
    readme = Readme.parse(text)
    assert (readme.written, readme.owned) == ("old", {"tags": ["a"]})
    assert readme.format() == text
    assert readme.with_part("new\nlines", {"tags": ["b"]}, "other").format() == text.replace(
        f'{{"tags":["a"]}} -->{newline}old', f'{{"tags":["b"]}} -->{newline}new{newline}lines'
    )


def test_a_card_without_a_part_gets_it_at_its_end() -> None:
    readme = Readme.parse("# Theirs\n\nText.").with_metadata("license: mit").with_part("ours", {"a": "b"}, "name")
    assert readme.format() == (
        '---\nlicense: mit\n---\n# Theirs\n\nText.\n\n<!-- lmcraft:begin {"a":"b"} -->\nours\n<!-- lmcraft:end -->\n'
    )


def test_a_part_that_a_block_of_code_quotes_is_text() -> None:
    quoted = f"About markers:\n\n```text\n{PART}\n```\n"
    readme = Readme.parse(quoted)
    assert (readme.before, readme.written) == (quoted, "")
    whole = readme.with_part("```bash\nnew\n```", {"a": "b"}, "x").format()
    assert Readme.parse(whole).written == "```bash\nnew\n```" and quoted.rstrip() in whole


def test_an_unclosed_block_of_code_hides_no_part() -> None:
    text = f"```text\nopen\n\n{PART.replace('old', '```bash')}\n"
    assert Readme.parse(text).written == "```bash"


def test_of_several_parts_the_first_stays() -> None:
    readme = Readme.parse(f"a\n{PART}\nb\n{PART.replace('old', 'older')}\nc\n")
    assert (readme.before, readme.written, readme.after) == ("a\n", "old", "\nb\n\nc\n")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("---\nlicense: [mit\n---\n", r"not valid YAML \(line 2"),
        ("---\n- a\n- b\n---\n", "not a list of names with values"),
        ("---\n1: a\n---\n", "not a list of names with values"),
        ("---\nlicense: mit\n\n# Name\n", "has no closing line"),
        ("---\na: &a [x]\n" + "".join(f"k{n}: *a\n" for n in range(9)) + "---\n", "more than 8 aliases"),
        ("---\na: " + "[" * 3000 + "\n---\n", "more than 32 levels"),
        ("---\na: " + "x" * 2**19 + "\n---\n", "more than 256 KiB"),
        ("---\na: !!python/object/apply:os.system [x]\n---\n", "not valid YAML"),
        ("---\na: 2026-99-99\n---\n", "not valid YAML"),
        ('<!-- lmcraft:begin {"a":"b"} -->\nours\n', "no closing line"),
        ("text\n<!-- lmcraft:end -->\n", "no opening line"),
    ],
)
def test_damage_is_named(text: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        Readme.parse(text)


def test_a_card_that_begins_with_a_line_has_no_metadata() -> None:
    assert Readme.parse("---\n\nAbout this model.\n").metadata == ""


def test_a_damaged_record_is_no_metadata_of_ours() -> None:
    readme = Readme.parse(PART.replace('{"tags":["a"]}', "{tags}"))
    assert readme.written == "old" and readme.with_part("new", {}, "x").before == ""
