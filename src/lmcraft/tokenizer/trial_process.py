"""The process in which a tokenizer from a stranger is tried first (`trial`); it imports nothing of lmcraft.

Reads tokenizer.json from standard input, and encodes and decodes texts that would make a runaway normalizer or regular
expression run away. Its exit status is 0 if all went well; it is killed at its limits.
"""

import json
import sys
from typing import Any

RUN_CHARACTERS = 3000  # of one character: a pattern whose time grows with the cube of it takes minutes
MAX_GROWTH = 24  # characters per character; NFKC writes 18 for one
COMMON = " a0.\n\t-_=<é模🙂\u0301\u200b"
GROWS, FAILS = 3, 4  # exit status


def limit_resources(seconds: int, memory_bytes: int) -> None:
    try:
        import resource
    except ImportError:  # Windows; the parent still limits the time
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))


def patterns_of(value: Any) -> list[str]:
    """The texts in the parts of a tokenizer that rewrite or split a text."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for item in value for text in patterns_of(item)] if isinstance(value, list) else []


def trial_texts(contents: dict[str, Any]) -> list[str]:
    """Long runs of each character that the tokenizer's own rules mention, of pairs of them, and the rules' texts."""
    rules = [contents.get(part) for part in ("normalizer", "pre_tokenizer", "decoder", "post_processor")]
    patterns = patterns_of(rules)[:200]
    letters = "".join(dict.fromkeys("".join(patterns)[:2000]))[:64]
    characters = "".join(dict.fromkeys(COMMON + letters))
    texts = [character * RUN_CHARACTERS + "!" for character in characters]
    texts += [(first + second) * 300 + "!" for first, second in zip(characters, characters[1:] + "x", strict=True)]
    texts += [(pattern[:100] + " ") * 50 for pattern in patterns]
    everyday = "The quick brown fox's 12,345 jumps!\n\n\tdef f(x): return [x]  # 天地玄黄 Ünïcödé 🙂 مرحبا\n"
    return [everyday * 20, *texts]


def main() -> int:
    seconds, memory_bytes = int(sys.argv[1]), int(sys.argv[2])
    limit_resources(seconds, memory_bytes)
    text = sys.stdin.buffer.read().decode("utf-8")
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(text)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    try:
        tokenizer.encode("a")
        for sample in trial_texts(json.loads(text)):
            normalized = sample if tokenizer.normalizer is None else tokenizer.normalizer.normalize_str(sample)
            ids = tokenizer.encode(sample, add_special_tokens=False).ids
            decoded = tokenizer.decode(ids, skip_special_tokens=False)
            if max(len(normalized), len(decoded)) > MAX_GROWTH * len(sample) + 1000:
                return GROWS
    except BaseException as error:  # a panic of the library is no Exception
        print(error)
        return FAILS
    return 0


if __name__ == "__main__":
    sys.exit(main())
