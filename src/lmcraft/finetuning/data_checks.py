"""Checks of the data before the first step: length of the examples, and a printed batch (`--show-batch`)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lmcraft.data.loader import IGNORE_INDEX, Batch
from lmcraft.errors import UserError
from lmcraft.finetuning.config import FinetuneConfig
from lmcraft.finetuning.encoding import TokenizedExample
from lmcraft.finetuning.example_files import list_origins
from lmcraft.finetuning.examples import Example
from lmcraft.finetuning.objectives.base import DocumentPart
from lmcraft.tokenizer.tokenizer import Tokenizer

EncodedExample = tuple[Example, TokenizedExample]


@dataclass(frozen=True)
class LongExample:
    """An example that does not fit in a row."""

    origin: str
    tokens: int | None
    """None: more than the context, not counted."""
    num_documents: int = 1
    """Those that share its row, such as two answers to a prompt."""

    def reason(self, length: int) -> str:
        """Why it is left out of rows of `length` tokens."""
        size = "more tokens than the model's context" if self.tokens is None else f"{self.tokens:,} tokens"
        both = ", both answers together" if self.num_documents > 1 else ""
        return f"it has {size}{both}, and a row has {length:,}"


def select_fitting(examples: Sequence[EncodedExample], length: int, long_rows: list[LongExample]) -> list[EncodedExample]:
    """The examples of at most `length` tokens; `long_rows` gets the others."""
    too_long = [(example, tokens) for example, tokens in examples if len(tokens) > length]
    long_rows += [LongExample(example.origin, len(tokens), tokens.num_documents) for example, tokens in too_long]
    return [(example, tokens) for example, tokens in examples if len(tokens) <= length]


def check_lengths(long_rows: Sequence[LongExample], config: FinetuneConfig, context_length: int, length: int) -> None:
    """Raise UserError if examples are longer than a row and are not to be skipped.

    Args:
        long_rows: the longer examples.
        config: says what to do with them.
        context_length: of the model, in tokens.
        length: of a row, in tokens.
    """
    if not long_rows or config.too_long == "skip":
        return
    number, origins = len(long_rows), list_origins([row.origin for row in long_rows])
    both = ", with both answers in one row," if any(row.num_documents > 1 for row in long_rows) else ""
    examples = f"{number} examples{both} are" if number > 1 else f"1 example{both} is"
    skip = "--too-long skip to leave them out"
    if any(row.tokens is None or row.tokens > context_length for row in long_rows):
        raise UserError(
            f"{examples} longer than the model's context of {context_length} tokens ({origins}) and would be cut: "
            f"shorten {'them' if number > 1 else 'it'}, use a model with a longer context, or add {skip}"
        )
    longest = max(row.tokens or 0 for row in long_rows)
    raise UserError(
        f"{examples} longer than sequence_length={length} ({origins}; the longest has {longest} tokens) and would be cut: "
        f"add --sequence-length {longest}, or {skip}"
    )


def format_batch(
    batch: Batch,
    tokenizer: Tokenizer,
    *,
    targets_are_tokens: bool = True,
    describe: Callable[[int, Sequence[float]], DocumentPart] = lambda number, values: DocumentPart(),
) -> str:
    """The documents of a batch as quoted tokens, with a star before each token that the model learns to predict.

    Args:
        batch: rows of tokens.
        tokenizer: decodes them.
        describe: the part that a document plays in its row (`FinetuneObjective.describe_document`).
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
            part = describe(document, [] if batch.values is None else batch.values[number - 1].tolist())
            has_target &= part.is_learned
            name = f"document {document + 1}" + (f" ({part.name})" if part.name else "")
            lines.append(f"row {number}, {name}: {len(positions)} tokens, {int(has_target.sum())} of them learned")
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
