"""A dataset of text with marks, small enough for a test."""

from pathlib import Path

import numpy as np

from lmcraft.data.marks import BAD, GOOD, MARKS
from lmcraft.data.shards import save_shard
from lmcraft.folder import DatasetFolder, write_json
from lmcraft.tokenizer import train_characters

SPLITS = {"train": 300, "validation": 40}


def marked_dataset(folder: Path) -> Path:
    """A dataset folder of documents whose good sentences are of g, and whose bad ones are of b."""
    tokenizer = train_characters(["Line gb. \n"], special_tokens=("<|end|>",)).with_special_tokens(MARKS)
    out = DatasetFolder(folder / "data")
    out.path.mkdir()
    tokenizer.save(out.path)
    splits, counts = {}, {GOOD: 0, BAD: 0}
    for seed, (name, documents) in enumerate(SPLITS.items()):
        rng = np.random.default_rng(seed)
        texts: list[list[int]] = []
        for _ in range(documents):
            texts.append([])
            for _ in range(rng.integers(1, 5)):
                mark = MARKS[int(rng.random() < 0.4)]
                counts[mark] += 1
                sentence = ("g" if mark == GOOD else "b") * int(rng.integers(4, 12)) + ". "
                texts[-1] += [tokenizer.special_tokens[mark], *tokenizer.encode(sentence)]
            texts[-1].append(tokenizer.special_tokens["<|end|>"])
        tokens = np.concatenate(texts).astype(np.uint16)
        shard = save_shard(out.path / f"{name}-00000.npy", tokens, np.array([len(text) for text in texts]))
        splits[name] = {"documents": documents, "tokens": len(tokens), "bytes": len(tokens), "shards": [shard]}
    marks = {"good": tokenizer.id_of(GOOD), "bad": tokenizer.id_of(BAD)}
    marks |= {"good_passages": counts[GOOD], "bad_passages": counts[BAD]}
    sizes = {"vocab_size": tokenizer.vocab_size, "dtype": "uint16", "eos_token_id": tokenizer.eos_token_id}
    write_json(out.manifest_file, {"format_version": 1, **sizes, "splits": splits, "marks": marks})
    return out.path
