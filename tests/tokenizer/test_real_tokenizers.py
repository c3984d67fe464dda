"""Real tokenizers: GPT-2 against tiktoken, Qwen3 against transformers."""

import base64
import json
from pathlib import Path

import pytest

from lmcraft.tokenizer import Tokenizer

pytestmark = pytest.mark.assets

TEXTS = [
    "Hello, world! It's 12,345.67 o'clock; we'll see.",
    "人工智能正在改变世界。“你好”，他说——真的吗？",
    "😀👩‍👩‍👧‍👦🇨🇳 é ñ Ω ﷺ 한국어 日本語",
    "def f(x: int) -> int:\n    if x:\n\t\treturn x ** 2  # ok\n\n\n",
    "   leading,   runs \t\t of\u00a0 white \r\n\r\n space   ",
    "don't DON'T I'VE <|endoftext|> <|im_start|>",
    "",
    " ",
]


@pytest.fixture(scope="module")
def gpt2(gpt2_folder: Path) -> Tokenizer:
    return Tokenizer.load(gpt2_folder)


@pytest.fixture(scope="module")
def qwen3(qwen3_folder: Path) -> Tokenizer:
    return Tokenizer.load(qwen3_folder)


def test_gpt2_gives_the_ids_of_tiktoken(gpt2: Tokenizer, r50k_ranks: Path, sanguo_json: Path) -> None:
    import tiktoken

    lines = (line.split() for line in r50k_ranks.read_bytes().splitlines())
    reference = tiktoken.Encoding(
        "gpt2",
        pat_str=r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
        mergeable_ranks={base64.b64decode(token): int(rank) for token, rank in lines},
        special_tokens={"<|endoftext|>": 50256},
    )
    chinese = json.loads(sanguo_json.read_text(encoding="utf-8"))[0][:5000]
    for text in [*TEXTS, chinese, Path(__file__).read_text(encoding="utf-8")]:
        ids = gpt2.encode(text)
        assert ids == reference.encode(text, disallowed_special=())
        assert gpt2.encode(text, parse_special=True) == reference.encode(text, allowed_special="all")
        assert gpt2.decode(ids) == text
        assert [gpt2.token_bytes(token_id) for token_id in ids] == reference.decode_tokens_bytes(ids)
    assert gpt2.vocab_size == 50257
    assert gpt2.eos_token_id == 50256


def test_gpt2_saved_opens_in_transformers(gpt2: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    gpt2.save(tmp_path)
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert theirs.encode(text) == gpt2.encode(text, parse_special=True)
    assert theirs.eos_token_id == 50256


def test_qwen3_gives_the_ids_and_texts_of_transformers(qwen3: Tokenizer, qwen3_folder: Path, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(tokenizer_file=str(qwen3_folder / "tokenizer.json"))
    theirs.chat_template = qwen3.chat_template
    for text in TEXTS:
        ids = theirs.encode(text)
        assert qwen3.encode(text, parse_special=True) == ids
        assert qwen3.decode(ids, skip_special_tokens=False) == theirs.decode(ids)
        assert qwen3.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    messages = [
        {"role": "system", "content": "你是一个助手。"},
        {"role": "user", "content": "Hi <b>there</b>"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello!"},
        {"role": "user", "content": "再见"},
    ]
    for variables in ({}, {"enable_thinking": False}):
        for prompt in (True, False):
            expected = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt, **variables)
            assert qwen3.apply_chat_template(messages, add_generation_prompt=prompt, **variables) == expected
    assert qwen3.eos_token_id == qwen3.id_of("<|im_end|>")
    assert qwen3.id_of("<|im_start|>") not in qwen3.encode("<|im_start|>")
