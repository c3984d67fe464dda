"""Lists of words as people write and publish them."""

import base64
import json
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from lmcraft.moderation.lexicon.term import expand_forms
from lmcraft.moderation.lexicon.word_list import read_list

GROUP = "[[terms]]\n"
RAT, CAT = ("rat", "profanity", 2), ("cat", "profanity", 2)
BASE64 = b"\n".join(map(base64.b64encode, ("老鼠".encode(), b"rat")))
FILES = {
    "lines.txt": (b"rat\n\n# comment\n cat \n", [RAT, CAT]),
    "bom.txt": (b"\xef\xbb\xbfrat\r\ncat\r\n", [RAT, CAT]),
    "cr.txt": (b"rat\rcat", [RAT, CAT]),
    "wide.txt": ("rat\n鼠".encode("utf-16"), [RAT, ("鼠", "profanity", 2)]),
    "chinese.txt": (
        "傻瓜\n笨蛋\n坏人坏事坏天气".encode("gb18030"),
        [(w, "profanity", 2) for w in ("傻瓜", "笨蛋", "坏人坏事坏天气")],
    ),
    "names.json": (json.dumps(["rat", "", "cat"]).encode(), [RAT, CAT]),
    "groups.json": (json.dumps({"hate": ["rat"]}).encode(), [("rat", "hate", 2)]),
    "objects.json": (b'[{"text": "rat", "severity": 2.6, "label": "hate"}, "cat"]', [("rat", "hate", 3), CAT]),
    "lines.jsonl": (b'{"term": "rat", "level": 1}\n"cat"\n', [("rat", "profanity", 1), CAT]),
    "table.csv": (
        b'Word,Category,Severity\nrat,hate,3\n"a rat, dead",,\n',
        [("rat", "hate", 3), ("a rat, dead", "profanity", 2)],
    ),
    "table.tsv": ("词\t等级\n鼠\t1\n".encode(), [("鼠", "profanity", 1)]),
    "own.toml": (
        b'name = "house"\n[[terms]]\ncategory = "hate"\nseverity = 3\nwords = ["rat(|s)"]',
        [("rat", "hate", 3), ("rats", "hate", 3)],
    ),
    "hidden.toml": (b'[[terms]]\nfile = "hidden.bin"\nencoding = "base64"', [("老鼠", "profanity", 2), RAT]),
    "others.toml": (
        b'[[terms]]\nfile = "odd.csv"\ncategory = "spam"\ncolumns = {word = "w", category = "c"}\n'
        b'categories = {slur = "hate"}',
        [("rat", "hate", 2), ("cat", "spam", 2)],
    ),
}


@pytest.mark.parametrize("name", FILES)
def test_files_are_read(tmp_path: Path, name: str) -> None:
    content, expected = FILES[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "hidden.bin").write_bytes(BASE64)
    (tmp_path / "odd.csv").write_bytes(b"w,c\nrat,slur\ncat,other\n")
    terms = read_list(name, tmp_path)
    assert [(term.text, term.category, term.severity) for term in terms] == expected
    assert {term.source for term in terms} == {"house" if name == "own.toml" else Path(name).stem}


WRONG = {
    "empty.txt": (b" \n", "has no words"),
    "binary.txt": (bytes(range(256)) * 20, "not text"),
    "long.txt": (b"a" * 2000, ":1: the word has 2,000 characters"),
    "number.json": (b"[1]", "'1' is no word"),
    "cut.json": (b"[1,", "is not JSON"),
    "deep.json": (b"[" * 100_000, "is not JSON"),
    "text.json": (b'"rat"', "is no list of words"),
    "group.json": (b'{"hate": 1}', "'hate' is no list of words"),
    "line.jsonl": (b'"rat"\nrat\n', ":2: not JSON"),
    "headless.csv": (b"rat,3\n", "has no column 'word'"),
    "severity.csv": (b"word,severity\nrat,9\n", ":2: severity='9' is not 1"),
    "category.csv": (b"word,category\nrat,odd\n", ":2: category: there is no category 'odd'"),
    "quote.csv": (b'word\n"rat\ncat\n', "a line break in it"),
    "none.toml": (b'name = "x"', "it has no words"),
    "both.toml": (b'[[terms]]\nwords = ["a"]\nfile = "b"', "either words or a file"),
    "key.toml": (b'[[terms]]\nword = ["a"]', "has no setting 'word'"),
    "blank.toml": (b'[[terms]]\nwords = [" "]', "has an empty word"),
    "severity.toml": (b'[[terms]]\nseverity = 4\nwords = ["a"]', "severity=4 is not 1"),
    "bool.toml": (b'[[terms]]\nseverity = true\nwords = ["a"]', "severity=True is not 1"),
    "kind.toml": (b'[[terms]]\nkind = "odd"\nwords = ["a"]', "kind='odd' is not one of"),
    "apart.toml": (b'[[terms]]\nkind = "identity"\nseverity = 2\nwords = ["a"]', "never count: leave out the severity"),
    "category.toml": (b'[[terms]]\ncategory = "odd"\nwords = ["a"]', "there is no category 'odd'"),
    "missing.toml": (b'[[terms]]\nfile = "no.txt"', "file='no.txt' does not exist"),
    "encoding.toml": (b'[[terms]]\nfile = "a.txt"\nencoding = "rot13"', "encoding='rot13' is not one of"),
    "plain.toml": (b'[[terms]]\nfile = "a.txt"\nencoding = "base64"', "a.txt:1: 'rat!' is not base64"),
    "address.toml": (b'[[terms]]\nfile = "pypi:words"', "has no version"),
    "numbers.toml": (b"[[terms]]\nwords = [5]", "terms[1].words=[5] is not a list whose items are a string"),
    "groups.toml": (b"terms = [5]", "terms=[5] is not a list whose items are a table"),
    "chinese.toml": ('[[terms]]\nwords = ["词"]'.encode("gb18030"), "save it as UTF-8"),
    "broken.toml": (b"[[terms]", "cannot be read as TOML"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_file_and_the_remedy(tmp_path: Path, name: str) -> None:
    content, message = WRONG[name]
    (tmp_path / name).write_bytes(content)
    (tmp_path / "a.txt").write_text("rat!")
    with pytest.raises(UserError) as error:
        read_list(name, tmp_path)
    assert message in str(error.value) and str(tmp_path) in str(error.value)


@pytest.mark.parametrize("name", ["missing.txt", ".", ""])
def test_lists_that_do_not_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="use en, zh, identity, reclaimed, or the path of a file of words"):
        read_list(name, tmp_path)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("rat", ["rat"]),
        ("rat(|s)", ["rat", "rats"]),
        ("(a|the (old|new)) rat", ["a rat", "the old rat", "the new rat"]),
        ("a|b", ["a|b"]),
        ("(a|a)", ["a"]),
    ],
)
def test_forms(word: str, expected: list[str]) -> None:
    assert expand_forms(word) == expected


@pytest.mark.parametrize("word", ["a(b", "a)b", "(a|b)" * 40])
def test_forms_that_cannot_be_expanded(word: str) -> None:
    with pytest.raises(UserError, match=r"parenthesis|forms"):
        expand_forms(word)
