"""Tokens that a folder's files list beside its vocabulary: the same as in transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from lmcraft.errors import UserError
from lmcraft.tokenizer import Tokenizer, train_bpe

END, START, TURN = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEXT = "  Hello 1234  don't\n\n stop" + f"{START}user\n{TURN} x {END} y<extra> z"
FILES = tuple[list[str], dict[str, dict[str, Any]]]


def entry(content: str, **flags: bool) -> dict[str, Any]:
    return {"content": content, "special": True, "normalized": False} | flags


def write_folder(folder: Path, in_vocabulary: list[str], files: dict[str, dict[str, Any]], *, whole: bool = False) -> Path:
    """A byte-level tokenizer whose vocabulary contains these tokens, as vocab.json and merges.txt or as tokenizer.json."""
    contents = json.loads(train_bpe(["some text, hello world " * 20], vocab_size=290)._hf.to_str())
    contents["added_tokens"], model = [], contents["model"]
    tokens = [token for token in model["vocab"] if token != END]
    model["vocab"] = {token: token_id for token_id, token in enumerate([*in_vocabulary, *tokens])}
    if whole:
        (folder / "tokenizer.json").write_text(json.dumps(contents))
    else:
        (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
        merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
        (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values))
    return folder


GPT2 = {"tokenizer_class": "GPT2Tokenizer"}
# Of 275 tokens (with END): those at the beginning of the vocabulary, and the files.
CASES: dict[str, FILES] = {
    "decoder": (
        [END, START, TURN],
        {
            "tokenizer_config.json": {
                **GPT2,
                "eos_token": TURN,
                "added_tokens_decoder": {"0": entry(END), "1": entry(START), "2": entry(TURN)},
            },
            "special_tokens_map.json": {"eos_token": TURN},
        },
    ),
    "beyond the vocabulary": (
        [END],
        {
            "tokenizer_config.json": {
                **GPT2,
                "eos_token": END,
                "added_tokens_decoder": {
                    "0": entry(END),
                    "277": entry("<extra>", special=False, lstrip=True, rstrip=True),
                    "275": entry(START),
                    "276": entry(TURN),
                },
            }
        },
    ),
    "added_tokens.json": (
        [END],
        {
            "tokenizer_config.json": {**GPT2, "additional_special_tokens": [TURN]},
            "added_tokens.json": {TURN: 276, START: 275, "<extra>": 277},
        },
    ),
    "roles": (
        [END, START, TURN],
        {"tokenizer_config.json": {**GPT2, "eos_token": TURN, "bos_token": entry(START) | {"__type": "AddedToken"}}},
    ),
    "additional": (
        [END],
        {
            "tokenizer_config.json": GPT2,
            "special_tokens_map.json": {"additional_special_tokens": [START, TURN], "pad_token": "<extra>"},
        },
    ),
    "named": ([END], {"tokenizer_config.json": {**GPT2, "image_token": START, "extra_special_tokens": {"turn": TURN}}}),
    "prefix space": ([END], {"tokenizer_config.json": {**GPT2, "add_prefix_space": True}}),
    "begin": ([END, START], {"tokenizer_config.json": {**GPT2, "bos_token": START, "add_bos_token": True}}),
    "Qwen": (
        [],
        {
            "tokenizer_config.json": {
                "tokenizer_class": "Qwen2Tokenizer",
                "added_tokens_decoder": {"274": entry(END), "275": entry(START), "276": entry(TURN)},
            }
        },
    ),
    "NeoX": ([END, "<|padding|>"], {"tokenizer_config.json": {"tokenizer_class": "GPTNeoXTokenizerFast"}}),
    "the model's type": ([END], {"config.json": {"model_type": "qwen2"}}),
}


def check_equal(folder: Path) -> None:
    ours, theirs = Tokenizer.load(folder), AutoTokenizer.from_pretrained(folder)
    assert ours.vocabulary == theirs.get_vocab()
    assert ours._hf.get_added_tokens_decoder() == theirs.added_tokens_decoder
    assert {"eos_token": ours.eos_token_id, "bos_token": ours.bos_token_id} == {
        "eos_token": theirs.eos_token_id,
        "bos_token": theirs.bos_token_id,
    }
    for text in (TEXT, "cafe\u0301 12"):
        ids = ours.encode(text, parse_special=True)
        assert [*ours.begin_ids, *ids] == theirs(text)["input_ids"]
        assert ours.decode(ids) == theirs.decode(ids, skip_special_tokens=True)


@pytest.mark.parametrize(("in_vocabulary", "files"), CASES.values(), ids=CASES)
def test_a_vocabulary_and_merges(in_vocabulary: list[str], files: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    folder = write_folder(tmp_path, in_vocabulary, files)
    check_equal(folder)
    ids = Tokenizer.load(folder).encode(TEXT, parse_special=True)
    Tokenizer.load(folder).save(folder / "copy")
    assert Tokenizer.load(folder / "copy").encode(TEXT, parse_special=True) == ids
    (folder / "vocab.json").rename(folder / "encoder.json")
    (folder / "merges.txt").rename(folder / "vocab.bpe")
    assert Tokenizer.load(folder).encode(TEXT, parse_special=True) == ids


@pytest.mark.parametrize("name", ["decoder", "beyond the vocabulary", "added_tokens.json", "roles", "additional", "named"])
def test_a_tokenizer_json_that_lacks_them(name: str, tmp_path: Path) -> None:
    in_vocabulary, files = CASES[name]
    config = files["tokenizer_config.json"] | {"tokenizer_class": "PreTrainedTokenizerFast"}
    check_equal(write_folder(tmp_path, in_vocabulary, {**files, "tokenizer_config.json": config}, whole=True))


def test_an_ordinary_character_does_not_become_special(tmp_path: Path) -> None:
    config = {**GPT2, "pad_token": "!"}
    tokenizer = Tokenizer.load(write_folder(tmp_path, [END], {"tokenizer_config.json": config}))
    assert tokenizer.decode(tokenizer.encode("stop!")) == "stop!"
    assert tokenizer.pad_token_id == tokenizer.id_of("!")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"tokenizer_config.json": {"added_tokens_decoder": {"400": entry(START)}}}, "the id 400, but .* the id 275"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"7": entry(TURN)}}}, r"'<\|im_end\|>' the id 7, but"),
        ({"added_tokens.json": {START: 5}}, r"added_tokens.json' gives the token '<\|im_start\|>' the id 5"),
        ({"added_tokens.json": {START: None}}, "the id None: give a whole number"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"-1": entry(START)}}}, "the id '-1': give a whole number"),
        ({"tokenizer_config.json": {"added_tokens_decoder": [START]}}, "no token under 'added_tokens_decoder'"),
        ({"tokenizer_config.json": {"added_tokens_decoder": {"1": START}}}, "no token under '1'"),
    ],
)
def test_ids_that_contradict_the_vocabulary(
    files: dict[str, dict[str, Any]], error: str, whole: bool, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path, [END], files, whole=whole)
    with pytest.raises(UserError, match=error):
        Tokenizer.load(folder)


def test_a_class_that_needs_a_tokenizer_json(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, [END], {"tokenizer_config.json": {"tokenizer_class": "CLIPTokenizer"}})
    with pytest.raises(UserError, match="tokenizer_class 'CLIPTokenizer' is not supported without one: write one"):
        Tokenizer.load(folder)
