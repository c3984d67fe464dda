"""From sources to a dataset folder."""

import gzip
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from lmcraft import PrepareConfig, prepare
from lmcraft.cli import main
from lmcraft.data.loader import TokenSplit
from lmcraft.data.sources import read_documents
from lmcraft.errors import UserError
from lmcraft.json_lines import read_json_lines
from lmcraft.tokenizer.fill_in_middle import FillInMiddle
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.train import train_bpe
from tests.finetuning.chat import chat_folder
from tests.tiny import TEXT


def manifest_of(tmp_path: Path, *sources: Path, **settings: Any) -> dict[str, Any]:
    config = PrepareConfig(tuple(map(str, sources)), out=tmp_path / "out", **({"vocab_size": 300} | settings))
    return prepare(config).manifest()


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "json", "parquet"])
def test_every_kind_of_rows_is_read(kind: str, tmp_path: Path) -> None:
    rows = [{"text": f"row {n}\n第{n}行"} for n in range(50)]
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = tmp_path / f"a.{kind}"
    match kind:
        case "jsonl":
            path.write_bytes(lines)
        case "jsonl.gz":
            path.write_bytes(gzip.compress(lines))
        case "jsonl.zst":
            path.write_bytes(pytest.importorskip("zstandard").compress(lines))
        case "json":
            path.write_text(json.dumps(rows))
        case "parquet":
            pa = pytest.importorskip("pyarrow")
            pytest.importorskip("pyarrow.parquet").write_table(pa.Table.from_pylist(rows), path)
    assert [document.text for document in read_documents([str(path)])] == [row["text"] for row in rows]


def test_a_folder_is_read_in_order_without_what_is_hidden_or_binary(tmp_path: Path) -> None:
    for name in ("b.md", "a.txt", "sub/c.py", ".hidden/d.txt", "skip.log"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "image.bin").write_bytes(b"\x00\x01")
    assert [d.text for d in read_documents([str(tmp_path)], exclude=["*.log"])] == ["a.txt", "b.md", "sub/c.py"]
    assert [d.text for d in read_documents([str(tmp_path / "*.md")])] == ["b.md"]


def test_spellings_of_special_tokens_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stories.txt"
    path.write_text("<|endoftext|>\n".join([TEXT] * 3), encoding="utf-8")
    assert manifest_of(tmp_path, path, validation=0.0)["special_spellings"] == {"<|endoftext|>": 2}
    assert "the text spells '<|endoftext|>' 2 times" in capsys.readouterr().out


@pytest.mark.parametrize("size", [50, 1000, 10**6])
def test_the_pieces_of_a_long_text_are_the_text(size: int, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    pieces = [document.text for document in read_documents([str(path)], document_chars=size)]
    assert "".join(pieces) == TEXT and max(map(len, pieces)) <= size


def test_malformed_rows_are_counted_with_file_and_line_or_fatal(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = "".join(json.dumps({"text": f"good row {n}"}) + "\n" for n in range(40))
    path.write_text(good + '{"text": 5}\nnot json\n{"other": "x"}\n')
    malformed = manifest_of(tmp_path, path, validation=0.3)["malformed"]
    assert malformed["count"] == 3 and [row["line"] for row in malformed["first"]] == [41, 42, 43]
    with pytest.raises(UserError, match=r"a\.jsonl:41"):
        manifest_of(tmp_path, path, malformed="fail", overwrite=True)


def test_every_malformed_row_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "good row {n}"}}\n{{"oops": {n}}}\n' for n in range(40)))
    config = PrepareConfig((str(path),), out=tmp_path / "out", overwrite=True)
    for _ in range(2):
        folder = prepare(config)
        assert [row["line"] for row in read_json_lines(folder.skipped)] == [*range(2, 81, 2)]
        assert f"and 20 more; {folder.skipped} lists them all" in capsys.readouterr().out


def test_no_document_is_in_both_splits_and_the_counts_add_up(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"text": f"text {n % 90}"}) + "\n" for n in range(120)))  # 30 of them twice
    manifest = manifest_of(tmp_path, path, validation=0.3)
    tokenizer = Tokenizer.load(tmp_path / "out")
    texts: dict[str, set[str]] = {}
    for name in ("train", "validation"):
        split = TokenSplit(tmp_path / "out", name)
        texts[name] = set(
            tokenizer.decode(split.slice(0, len(split)).tolist(), skip_special_tokens=False).split("<|endoftext|>")
        )
    assert texts["train"] & texts["validation"] == {""} and len(texts["train"] | texts["validation"]) == 91
    assert sum(split["documents"] for split in manifest["splits"].values()) == 120
    for split in manifest["splits"].values():
        for shard in split["shards"]:
            assert hashlib.sha256((tmp_path / "out" / shard["file"]).read_bytes()).hexdigest() == shard["sha256"]


def test_the_tail_is_the_end_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    manifest_of(tmp_path, path, tokenizer_type="characters", split="tail", validation=0.1)
    split, tokenizer = TokenSplit(tmp_path / "out", "validation"), Tokenizer.load(tmp_path / "out")
    assert tokenizer.decode(split.slice(0, len(split)).tolist()) == TEXT[int(0.9 * len(TEXT)) :]


def test_an_existing_dataset_is_kept_unless_overwrite_is_set(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(TEXT, encoding="utf-8")
    manifest_of(tmp_path, path)
    with pytest.raises(UserError, match="overwrite"):
        manifest_of(tmp_path, path)


def test_a_store_of_conversations_becomes_examples(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sqlalchemy")
    from lmcraft.server.conversations.store import Store

    path, out = tmp_path / "chats.sqlite", tmp_path / "out"
    store = Store.open(path)
    spoken = [{"id": "1", "role": "user", "content": "why?"}]
    answers = [{"id": "2", "parent": "1", "role": "assistant", "content": "because", "rating": 1}]
    store.load("", [{"messages": spoken + answers}])
    assert main(["prepare", "--from-store", str(path), "--out", str(out)]) == 0  # while the server has it open
    lines = capsys.readouterr().out.splitlines()
    assert (
        lines[0] == f"{out / 'sft.jsonl'}: 1 conversations"
        and lines[-1] == f"next: lmcraft finetune MODEL {out / 'sft.jsonl'}"
    )
    assert main(["prepare", "--from-store", str(path), "--out", str(out)]) == 2
    folder = prepare(PrepareConfig(out=out, from_store=str(path), overwrite=True))
    assert folder.manifest()["files"]["sft.jsonl"]["rows"] == 1
    with pytest.raises(UserError, match="no tokens, only examples"):
        TokenSplit(out, "train")
    store.delete("", store.find("")[0][0]["id"])
    store.close()
    with pytest.raises(UserError, match="has no examples"):
        prepare(PrepareConfig(out=tmp_path / "none", from_store=str(path)))
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("objective", ["sft", "dpo", "kto", "classification"])
def test_verdicts_of_reviewers_become_examples_and_tests(
    objective: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("sqlalchemy")
    from lmcraft.annotation.store import ReviewStore
    from tests.annotation.samples import add_texts, judge_next

    path, out, model = tmp_path / "reviews.sqlite", tmp_path / "out", chat_folder(tmp_path / "model")
    store = ReviewStore.open(path)
    for n in range(8):
        add_texts(store, f"fox {n}", messages=[{"role": "user", "content": f"who {n}?"}])
        for person in ("bob", "eve"):
            judge_next(store, person, "harmful" if n % 2 else "acceptable", correction="the dog" if n % 2 else "")
    assert main(["prepare", "--from-review", str(path), "--guideline", "harm", "--out", str(out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{out / 'regressions.jsonl'}: 4 tests" in lines
    assert lines[-2:] == [
        f"next: lmcraft finetune MODEL {out / 'sft.jsonl'}",
        f"then: lmcraft evaluate MODEL --tasks {out / 'regressions.toml'} --require regressions=1",
    ]
    assert store.counts()["exported"] == 8
    store.close()
    assert main(["prepare", "--from-review", str(path), "--out", str(out)]) == 2
    assert main(["prepare", "--from-review", str(path), "--out", str(out), "--overwrite"]) == 0
    names = {"sft": "sft.jsonl", "dpo": "preferences.jsonl", "kto": "judgments.jsonl", "classification": "labels.jsonl"}
    tuned = ["--objective", objective, "--max-steps", "2", "--out", str(tmp_path / "tuned"), "--precision", "fp32"]
    assert main(["finetune", str(model), str(out / names[objective]), *tuned]) == 0
    if objective == "dpo":
        evaluate = ["evaluate", str(tmp_path / "tuned"), "--tasks", str(out / "regressions.toml"), "--precision", "fp32"]
        assert main([*evaluate, "--require", "regressions=0"]) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "sources is empty"),
        ({"from_review": "a.sqlite", "from_store": "chats.sqlite"}, "cannot be combined"),
        ({"from_review": "nowhere.sqlite"}, "'nowhere.sqlite' does not exist"),
        ({"sources": ("a.txt",), "guideline": "harm"}, "guideline='harm' is for verdicts of reviewers"),
        ({"sources": ("a.txt",), "from_store": "chats.sqlite"}, "cannot be combined"),
        ({"from_store": "nowhere.sqlite"}, "'nowhere.sqlite' does not exist"),
    ],
)
def test_text_or_a_store_is_prepared_and_not_both(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        prepare(PrepareConfig(out=tmp_path / "out", **settings))


def test_without_sqlalchemy_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(UserError, match=r"pip install .*\[serve\]'"):
        prepare(PrepareConfig(out=tmp_path / "out", from_store="chats.sqlite"))


def test_lost_characters_are_counted_and_bits_per_byte_count_spelled_bytes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.txt").write_text("abc " * 100)
    (tmp_path / "b.txt").write_text("abc Привет. " * 100, encoding="utf-8")
    train = ["tokenizer", "train", str(tmp_path / "a.txt"), "--tokenizer-type", "characters"]
    assert main([*train, "--out", str(tmp_path / "tokenizer")]) == 0
    splits = manifest_of(tmp_path, tmp_path / "b.txt", tokenizer=tmp_path / "tokenizer")["splits"]
    assert sum(split["bytes"] for split in splits.values()) == sum(split["tokens"] for split in splits.values()) == 500
    assert sum(split["lost_bytes"] for split in splits.values()) == 1300
    assert "lost: 1,235 of 1,710 bytes (72.2%)" in capsys.readouterr().out


@pytest.mark.parametrize("files", [1, 2, 3, 7, 20])
def test_small_folders_have_both_sides(files: int, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    for n in range(files):
        (tmp_path / "texts" / f"{n}.txt").write_text(f"This is text number {n}. " * (20 + 7 * n))
    splits = manifest_of(tmp_path, tmp_path / "texts")["splits"]
    tokens = {name: split["tokens"] for name, split in splits.items()}
    assert 0.035 < tokens["validation"] / sum(tokens.values()) < 0.065


def test_sources_without_text_name_the_first_malformed_row(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"messages": []}\n')
    with pytest.raises(
        UserError, match=r"no text \(malformed rows: 1; the first is .*a.jsonl:1: no field 'text' \(it has `messages`"
    ):
        manifest_of(tmp_path, tmp_path / "a.jsonl")


@pytest.mark.parametrize("given", [False, True], ids=["trained", "given"])
@pytest.mark.parametrize("form", ["flag", "recipe"])
def test_the_tokenizer_gets_the_tokens_of_fill_in_the_middle(given: bool, form: str, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text("def f(x):\n    return x\n\n" * 50, encoding="utf-8")
    settings: dict[str, Any] = {"vocab_size": 260}
    if given:
        train_bpe([text.read_text()], vocab_size=265).save(tmp_path / "tokenizer")
        settings = {"tokenizer": tmp_path / "tokenizer"}
    sources = str(text)
    if form == "recipe":
        recipe = {**{name: str(value) if given else value for name, value in settings.items()}, "fim": True}
        table = {"name": "code", "paths": [sources]}
        (tmp_path / "recipe.toml").write_text(tomli_w.dumps({**recipe, "validation": 0.0, "source": [table]}), "utf-8")
        prepare(PrepareConfig((str(tmp_path / "recipe.toml"),), out=tmp_path / "data"))
    else:
        prepare(PrepareConfig((sources,), out=tmp_path / "data", fim=True, **settings))
    tokenizer = Tokenizer.load(tmp_path / "data")
    assert FillInMiddle.of(tokenizer) is not None and tokenizer.eos_token_id == 0
    assert tokenizer.vocab_size == (len(Tokenizer.load(tmp_path / "tokenizer").vocabulary) + 3 if given else 260)
