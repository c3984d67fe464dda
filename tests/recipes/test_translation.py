"""The recipe translation: pairs, near-duplicates, dictionary, and how a candidate is picked."""

import json
import sys
from pathlib import Path

import pytest

from lmcraft.errors import UserError
from recipes.__main__ import RECIPES

sys.path.append(str(RECIPES / "translation"))

from dictionary import Dictionary
from pairs import divide, read_pairs
from similarity import TrigramIndex, trigrams
from translator import Candidate, Choice

VERBS = {
    "open": "打开",
    "close": "关闭",
    "read": "读取",
    "write": "写入",
    "delete": "删除",
    "rename": "重命名",
    "copy": "复制",
}
NOUNS = {
    "file": "文件",
    "directory": "目录",
    "branch": "分支",
    "commit": "提交",
    "tag": "标签",
    "remote": "远程",
    "stash": "贮藏",
}
PAIRS = [(f"cannot {verb} {noun} %s", f"无法{VERBS[verb]}{NOUNS[noun]} %s") for verb in VERBS for noun in NOUNS]


def write_pairs(file: Path, pairs: list[tuple[str, str]]) -> None:
    file.write_text("".join(json.dumps({"source": a, "target": b}) + "\n" for a, b in pairs), encoding="utf-8")


def test_pairs_are_cleaned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [(f"word{'x' * (n % 7)} {chr(97 + n % 26)}{n}", f"词{n}") for n in range(250)]
    odd = [
        ("  two\nlines ", "两\0行"),
        ("Two lines", "又两行"),
        ("x" * 10_000, "长"),
        ("", "空"),
        ("empty", "  "),
        ("... !", "…… ！"),
        ("same", "same"),
        ("שלום <file>", "你好 <文件>"),
    ]
    write_pairs(tmp_path / "a.jsonl", words + odd)
    pairs = read_pairs([tmp_path / "a.jsonl"])
    assert [(pair.source, pair.target) for pair in pairs[250:]] == [("two lines", "两 行"), ("שלום <file>", "你好 <文件>")]
    printed = capsys.readouterr().out
    assert "252 pairs" in printed
    assert "2 empty; 2 without words to translate" in printed.replace("1 repeated; 1 longer than 160 characters; ", "")
    assert read_pairs([tmp_path / "a.jsonl"], reverse=True)[0].source == "词0"


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("few.csv", "a,b\nx,y\n", "1 usable pairs are too few; give 200 or more"),
        ("one.csv", "a\nx\n", "a row needs two columns"),
        ("text.txt", "hello", "is not a table of rows"),
    ],
)
def test_files_without_pairs(tmp_path: Path, name: str, contents: str, message: str) -> None:
    (tmp_path / name).write_text(contents, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_pairs([tmp_path / name])


def test_near_duplicates_are_on_one_side(tmp_path: Path) -> None:
    write_pairs(
        tmp_path / "a.jsonl", PAIRS * 5 + [(f"{a} again", b) for a, b in PAIRS] + [(f"{a}!{a}", b) for a, b in PAIRS] * 2
    )
    write_pairs(tmp_path / "b.jsonl", [(f"{chr(97 + n % 26) * 4}{n} {chr(97 + n // 26) * 5}", f"词{n}") for n in range(300)])
    pairs = divide(read_pairs([tmp_path / "a.jsonl", tmp_path / "b.jsonl"]))
    sides: dict[int, set[str]] = {}
    for pair in pairs:
        sides.setdefault(pair.group, set()).add(pair.side)
    assert all(len(names) == 1 for names in sides.values())
    assert {pair.side for pair in pairs} == {"train", "validation", "test"}
    groups = {pair.source: pair.group for pair in pairs}
    assert groups["cannot open file %s"] == groups["cannot open file %s again"]


def test_the_most_similar_phrases_come_first() -> None:
    index = TrigramIndex([source for source, _ in PAIRS])
    ((first, *_),) = index.nearest(["could not open a branch: %d"], 3)
    assert PAIRS[first][0] == "cannot open branch %s"
    assert trigrams("%s <file>") == trigrams("")


def test_the_dictionary_translates_what_it_has_not_seen() -> None:
    dictionary = Dictionary([pair for pair in PAIRS if pair[0] != "cannot open branch %s"])
    assert dictionary.translate("cannot open branch %s") == "无法打开分支%s"
    assert dictionary.translate("Frobnicate") == "Frobnicate"
    assert dictionary.translate("") == ""
    candidates = dictionary.candidates("cannot open branch %s", 5)
    assert next(iter(candidates)) == "无法打开分支%s"
    assert len(candidates) == 5
    assert list(candidates.values()) == sorted(candidates.values(), reverse=True)
    assert list(dictionary.candidates("", 5)) == [""]


def test_the_weights_decide_between_candidates() -> None:
    candidates = (Candidate("ab", -1.0), Candidate("abcd", -2.0), Candidate("x", -2.0, "memory"))
    choice = Choice("source", candidates, (-9.0, -5.0, 0.0))
    assert choice.best((0.0, 0.0, 0.0, 0.0)) == 0
    assert choice.best((0.5, 0.0, 0.0, -9.0)) == 1
    assert choice.best((0.5, 0.0, 0.0, 0.0)) == 2
