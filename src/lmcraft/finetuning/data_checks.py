"""Checks of the data before the first step: example length, trained tokens, and a printed batch (`--show-batch`)."""

from collections.abc import Sequence

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.errors import UserError
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.tokenizer.tokenizer import Tokenizer


def select_fitting(examples: Sequence[TokenizedExample], length: int, *, skip: bool) -> tuple[list[TokenizedExample], int]:
    """The examples of at most `length` tokens, and the number of longer ones.

    Raises:
        UserError: some are longer and `skip` is false, or all are longer.
    """
    fitting = [example for example in examples if len(example) <= length]
    num_skipped = len(examples) - len(fitting)
    if num_skipped and not skip:
        longest = max(map(len, examples))
        raise UserError(
            f"{num_skipped} of {len(examples)} examples are longer than sequence_length={length} (the longest has {longest} "
            f"tokens) and would be cut: add --sequence-length {longest}, or --too-long skip to leave them out"
        )
    if not fitting:
        raise UserError(f"all {len(examples)} examples are longer than sequence_length={length}: raise it")
    return fitting, num_skipped


def check_targets(examples: Sequence[TokenizedExample]) -> None:
    """Raise UserError if an example has no trained token."""
    empty = next((n for n, example in enumerate(examples) if not (example.targets != IGNORE_INDEX).any()), None)
    if empty is not None:
        raise UserError(f"example {empty + 1} has no token to learn, because its answer is empty: remove it from the data")


def format_batch(batch: Batch, tokenizer: Tokenizer, *, targets_are_tokens: bool = True) -> str:
    """The documents of a batch as quoted tokens, with a star before each token that the model learns to predict.

    Args:
        batch: rows of tokens.
        tokenizer: decodes them.
        targets_are_tokens: false if targets are label numbers at the end of a document; these are printed as numbers.
    """
    lines = []
    rows = zip(batch.input_ids, batch.targets, batch.document_ids, strict=True)
    for number, (ids, targets, documents) in enumerate(rows, start=1):
        for document in range(documents[-1] + 1):
            positions = (documents == document).nonzero()[0]
            has_target = targets[positions] != IGNORE_INDEX
            if document == documents[-1] > 0 and not has_target.any():
                lines.append(f"row {number}: {len(positions)} positions of padding")
                continue
            lines.append(
                f"row {number}, document {document + 1}: {len(positions)} tokens, {int(has_target.sum())} of them learned"
            )
            if targets_are_tokens:
                # A position's target is the token after it.
                stars = [False, *has_target[:-1].tolist()]
                tail = [(targets[positions[-1]], True)] if has_target[-1] else []
                tokens = [*zip(ids[positions].tolist(), stars, strict=True), *tail]
                lines.append(" ".join(f"{'*' if star else ''}{_quote(tokenizer, token)}" for token, star in tokens))
            else:
                lines.append(" ".join(_quote(tokenizer, token) for token in ids[positions].tolist()))
                lines.append(f"  -> {targets[positions][has_target].tolist()}")
    return "\n".join(lines)


def _quote(tokenizer: Tokenizer, token: int) -> str:
    data = tokenizer.token_bytes(int(token))
    try:
        return repr(data.decode("utf-8"))
    except UnicodeDecodeError:  # part of a character
        return repr(data)
