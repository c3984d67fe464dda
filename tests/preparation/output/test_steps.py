"""From records to shards: every document once, in parts, the same for any units and any order of the work."""

import errno
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lmcraft.data import TokenSplit
from lmcraft.data.loader import check_dataset
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, write_json
from lmcraft.preparation.contracts import DocumentId, JsonObject, Record
from lmcraft.preparation.output import assemble, tokenizer_sample
from lmcraft.preparation.output.finish import finish
from lmcraft.preparation.output.steps import output_steps
from lmcraft.preparation.recipe import build_recipe
from lmcraft.tokenizer import Tokenizer, train_bpe, train_characters
from tests.preparation.output.running import RECORDS, locate, run_steps, write_units


def record(number: int, text: str, source: int = 0, **fields: Any) -> Record:
    notes = {"source": ("books", "web-zh")[source], "kind": "prose", "priority": 0, **fields.pop("notes", {})}
    return Record(DocumentId(source, 0, number), text, "file", number + 1, notes=notes, **fields)


def corpus(count: int = 60) -> list[Record]:
    books = [record(n, f"document {n} " + "of many words " * (n % 7 + 1), language="en") for n in range(count)]
    web = [record(n, f"第{n}篇" + "天地玄黄" * (n % 5 + 1), 1, language="zh") for n in range(count)]
    return books + web


def prepare(
    tmp_path: Path,
    records: Sequence[Record],
    *,
    unit: int = 16,
    backwards: bool = False,
    **settings: Any,
) -> tuple[DatasetFolder, JsonObject]:
    defaults = {} if "tokenizer" in settings else {"vocab_size": 300}
    recipe = build_recipe(
        {"source": [{"name": name, "paths": ["x"]} for name in ("books", "web-zh")], **defaults, **settings}
    )
    work, folder = tmp_path / "work", tmp_path / "data"
    units = [records[start : start + unit] for start in range(0, len(records), unit)]
    written = write_units(work, units)
    results = run_steps(output_steps(recipe, RECORDS), work, {RECORDS: written}, backwards=backwards)
    folder.mkdir()
    manifest = finish(folder, results, locate(work))
    write_json(folder / "manifest.json", manifest)
    return DatasetFolder(folder), manifest


def texts_of(folder: DatasetFolder, split: str) -> list[str]:
    tokens = TokenSplit(folder, split)
    tokenizer = Tokenizer.load(folder.path)
    starts = [*tokens.document_starts(0, len(tokens)).tolist(), len(tokens)]
    return [tokenizer.decode(tokens.slice(a, b)) for a, b in itertools.pairwise(starts)]


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_every_document_is_in_one_split_and_parts_have_their_own_shards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assemble, "SHARD_TOKENS", 500)
    records = corpus()
    folder, manifest = prepare(tmp_path, records, validation=0.2)
    check_dataset(folder)
    train, validation = texts_of(folder, "train"), texts_of(folder, "validation")
    whole = [text for text in train + validation if text in {record.text for record in records}]
    assert len(whole) >= len(records) - 2  # a text of each part may be cut in two
    assert sum(map(len, train + validation)) == sum(len(record.text) for record in records)
    assert [part["name"] for part in manifest["parts"]] == ["books.en", "web-zh.zh"]
    assert len(manifest["parts"][0]["train"]["shards"]) > 1
    for part in manifest["parts"]:
        share = part["validation"]["tokens"] / (part["train"]["tokens"] + part["validation"]["tokens"])
        assert 0.15 < share < 0.25
        tokens = TokenSplit.of_part(folder, "train", part, manifest["dtype"])
        assert len(tokens) == part["train"]["tokens"] and tokens.documents == part["train"]["documents"]
    for split in ("train", "validation"):
        files = [shard["file"] for part in manifest["parts"] for shard in part[split]["shards"]]
        assert files == [shard["file"] for shard in manifest["splits"][split]["shards"]] and len(set(files)) == len(files)
        assert all(file.startswith(f"{split}-00") for file in files)
        assert manifest["splits"][split]["bytes"] == sum(part[split]["bytes"] for part in manifest["parts"])
    sizes = sum(len(record.text.encode()) for record in records)
    assert sum(split["bytes"] + split["lost_bytes"] for split in manifest["splits"].values()) == sizes


def test_shards_are_copied_where_they_cannot_be_linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, _ = prepare(tmp_path / "a", corpus(), validation=0)

    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    actual, _ = prepare(tmp_path / "b", corpus(), validation=0)
    assert contents(actual.path) == contents(expected.path)


def test_documents_are_shuffled_inside_a_part(tmp_path: Path) -> None:
    records = corpus()
    folder, _ = prepare(tmp_path, records, validation=0)
    texts = texts_of(folder, "train")
    assert sorted(texts) == sorted(record.text for record in records)
    assert texts[:60] != [record.text for record in records[:60]] and set(texts[:60]) == {r.text for r in records[:60]}


def test_shards_do_not_depend_on_units_or_their_order(tmp_path: Path) -> None:
    expected, _ = prepare(tmp_path / "a", corpus(), validation=0.1)
    for name, unit, backwards in (("b", 1000, False), ("c", 7, True)):
        actual, _ = prepare(tmp_path / name, corpus(), unit=unit, backwards=backwards, validation=0.1)
        assert contents(actual.path) == contents(expected.path)


def test_documents_that_stand_for_clusters_are_parts_of_their_own(tmp_path: Path) -> None:
    records = corpus()
    for number, size in ((3, 2), (4, 5), (5, 7)):
        records[number].notes["cluster"] = size
    _, manifest = prepare(tmp_path, records, validation=0, mixture={"copies": {"2": 2, "5": 3}})
    counts = {part["name"]: (part["copies"], part["train"]["documents"]) for part in manifest["parts"]}
    assert counts == {"books.en": (1, 57), "books.en.x2": (2, 1), "books.en.x3": (3, 2), "web-zh.zh": (1, 60)}


def test_a_part_that_is_too_small_to_divide_is_for_training(tmp_path: Path) -> None:
    records = [*corpus(), record(0, "x", 1, language="fr")]
    _, manifest = prepare(tmp_path, records, validation=0.2)
    part = next(part for part in manifest["parts"] if part["language"] == "fr")
    assert part["train"]["documents"] == 1 and "validation" not in part


@pytest.mark.parametrize(("count", "documents"), [(2, 3), (8, 8)])
def test_every_training_document_ends_with_the_end_token(tmp_path: Path, count: int, documents: int) -> None:
    records = [record(n, f"document {n} of " + "many different words " * 20, language="en") for n in range(count)]
    folder, manifest = prepare(tmp_path, records, validation=0.05)
    assert sum(split["documents"] for split in manifest["splits"].values()) == documents  # one of two is cut
    for name in ("train", "validation"):
        split = TokenSplit(folder, name)
        ends = [*split.document_starts(0, len(split)).tolist()[1:], len(split)]
        assert {int(split.slice(end - 1, end)[0]) for end in ends} == {manifest["eos_token_id"]}


def test_the_tokenizer_of_the_recipe_is_brought(tmp_path: Path) -> None:
    train_characters(["document 0123456789 of many words"]).save(tmp_path / "own")
    records = [*corpus(), record(60, "many <|endoftext|> words", 0, language="en")]
    _, manifest = prepare(tmp_path, records, tokenizer=str(tmp_path / "own"), validation=0)
    assert contents(tmp_path / "own") == {
        name: contents(tmp_path / "data")[name] for name in ("tokenizer.json", "tokenizer_config.json")
    }
    zh = manifest["parts"][1]["train"]
    assert zh["lost_bytes"] > zh["bytes"] > 0  # all Chinese characters
    assert manifest["eos_token_id"] is None


def test_spellings_of_special_tokens_are_counted(tmp_path: Path) -> None:
    records = [*corpus(), record(60, "one <|endoftext|> two <|endoftext|>", 0, language="en")]
    folder, manifest = prepare(tmp_path, records, validation=0)
    assert manifest["special_spellings"] == {"<|endoftext|>": 2}
    assert "one <|endoftext|> two <|endoftext|>" in texts_of(folder, "train")


def test_a_large_corpus_trains_the_tokenizer_on_a_sample_by_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer_sample, "MAX_SAMPLE_BYTES", 4000)
    first, _ = prepare(tmp_path / "a", corpus(), validation=0)
    second, _ = prepare(tmp_path / "b", corpus(), unit=10, validation=0)
    assert contents(first.path) == contents(second.path)
    sampled = list((tmp_path / "a" / "work" / tokenizer_sample.SAMPLE).iterdir())
    assert len(sampled) == 8


def test_tokens_equal_those_of_the_library(tmp_path: Path) -> None:
    records = corpus()
    tokenizer = train_bpe([record.text for record in records], vocab_size=300)
    folder, _ = prepare(tmp_path, records, validation=0)
    split = TokenSplit(folder, "train")
    expected = sorted([*tokenizer.encode(record.text), tokenizer.eos_token_id] for record in records)
    starts = [*split.document_starts(0, len(split)).tolist(), len(split)]
    assert sorted(split.slice(a, b).tolist() for a, b in itertools.pairwise(starts)) == expected
    assert split.slice(0, 1).dtype == np.uint16


@pytest.mark.parametrize(("records", "message"), [([], "no document is left"), ([record(0, "a")], "split is empty")])
def test_too_little_text_is_an_error(tmp_path: Path, records: list[Record], message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(tmp_path, records, validation=0.1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"vocab_size": 10}, "vocab_size 10"), ({"digits": -1}, "digits -1"), ({"tokenizer": "nowhere"}, "'nowhere'")],
)
def test_an_impossible_tokenizer_is_named_before_the_work(settings: dict[str, Any], message: str) -> None:
    recipe = build_recipe({"source": [{"name": "books", "paths": ["x"]}], **settings})
    with pytest.raises(UserError, match=message):
        output_steps(recipe, RECORDS)
