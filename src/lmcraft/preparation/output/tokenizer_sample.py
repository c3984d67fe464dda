"""The step "tokenizer": brings the tokenizer of the recipe, or trains one on a sample of the documents."""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from lmcraft.data.marks import MARKS
from lmcraft.data.shards import hash_text
from lmcraft.folder import sha256_of
from lmcraft.preparation.contracts import JsonObject, Position, Tally, Unit, UnitResult
from lmcraft.preparation.recipe import Recipe
from lmcraft.preparation.records import read_records, write_records
from lmcraft.tokenizer import Tokenizer, train_bpe, train_characters
from lmcraft.tokenizer.fill_in_middle import FILL_IN_MIDDLE_TOKENS, with_fill_in_middle
from lmcraft.tokenizer.train import END_OF_TEXT, check_settings

SAMPLE, TOKENIZER = "tokenizer-sample", "tokenizer"  # steps
# Bytes of text to train on, by the size of the vocabulary. Training takes up to 60 bytes of memory for a byte of Chinese.
MIN_SAMPLE_BYTES, MAX_SAMPLE_BYTES, SAMPLE_BYTES_PER_TOKEN = 16 << 20, 50_000_000, 1000
TARGET_SHARE = 0.9  # of the maximum, which a sample by hashes misses a little


def check_tokenizer(recipe: Recipe) -> None:
    """Check what a recipe says about the tokenizer, before hours of work that it is needed after.

    Raises:
        UserError: there is no tokenizer at its path, or one cannot be trained with its settings.
    """
    if recipe.tokenizer is not None:
        Tokenizer.load(recipe.tokenizer)
    elif recipe.tokenizer_type == "bpe":
        check_settings(recipe.vocab_size, recipe.digits, _special_tokens(recipe.has_marks, recipe.fim))


def sample_units(recipe: Recipe, records: Sequence[UnitResult]) -> list[Unit]:
    """Units that choose documents for training a tokenizer; none if all of them serve, or none are needed."""
    total = sum(result.values["bytes"] for result in records)
    size = _sample_bytes(recipe)
    if recipe.tokenizer is not None or recipe.tokenizer_type == "characters" or total <= size:
        return []
    share = TARGET_SHARE * size / total
    return [
        Unit(
            step=SAMPLE,
            number=number,
            function=f"{__name__}:sample",
            arguments={"records": result.unit.key, "share": share},
            inputs=(result.unit.key,),
            size=result.values["bytes"],
        )
        for number, result in enumerate(records)
    ]


def _sample_bytes(recipe: Recipe) -> int:
    return min(max(MIN_SAMPLE_BYTES, SAMPLE_BYTES_PER_TOKEN * recipe.vocab_size), MAX_SAMPLE_BYTES)


def sample(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """A unit of the sample: the documents whose hash is under the share."""
    bound = int(arguments["share"] * 2**64)
    with write_records(out) as writer:
        for record in read_records(inputs[arguments["records"]]):
            if hash_text(record.text) < bound:
                writer.write(record)
    return Tally(), {"documents": writer.documents}


def tokenizer_unit(recipe: Recipe, records: Sequence[UnitResult], samples: Sequence[UnitResult]) -> Unit:
    """The unit that brings or trains the tokenizer."""
    marked: JsonObject = ({"marks": MARKS} if recipe.has_marks else {}) | ({"fim": True} if recipe.fim else {})
    if recipe.tokenizer is not None:
        arguments: JsonObject = {"path": str(recipe.tokenizer.absolute()), "hashes": _hash_files(recipe.tokenizer), **marked}
        return Unit(step=TOKENIZER, number=0, function=f"{__name__}:bring", arguments=arguments)
    texts = samples or records
    settings: JsonObject = {"type": recipe.tokenizer_type, "vocab_size": recipe.vocab_size, "digits": recipe.digits}
    settings |= {"library": version("tokenizers"), **marked}
    keys = tuple(result.unit.key for result in texts)
    size = min(sum(result.values["bytes"] for result in records), _sample_bytes(recipe))
    return Unit(
        step=TOKENIZER, number=0, function=f"{__name__}:train", arguments={**settings, "texts": keys}, inputs=keys, size=size
    )


def _special_tokens(marked: bool, fim: bool) -> tuple[str, ...]:
    return (END_OF_TEXT, *(MARKS if marked else ()), *(FILL_IN_MIDDLE_TOKENS if fim else ()))


def _hash_files(path: Path) -> dict[str, str]:
    files = [path] if path.is_file() else sorted(file for file in path.iterdir() if file.suffix in (".json", ".txt", ".bpe"))
    return {file.name: sha256_of(file) for file in files}


def bring(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Copy the tokenizer of the recipe, and add the marks and the tokens of fill-in-the-middle if there are any."""
    tokenizer = Tokenizer.load(arguments["path"]).with_special_tokens(arguments.get("marks", ()))
    return Tally(), _save(with_fill_in_middle(tokenizer) if "fim" in arguments else tokenizer, out)


def train(arguments: JsonObject, inputs: Mapping[str, Path], out: Path, position: Position) -> tuple[Tally, JsonObject]:
    """Train a tokenizer on the documents of some units."""

    def texts() -> Iterator[str]:
        for key in arguments["texts"]:
            for record in read_records(inputs[key]):
                if record.id not in position.skipped:
                    position.at(record.id)
                    yield record.text
        position.at(None)

    special_tokens = _special_tokens("marks" in arguments, "fim" in arguments)
    if arguments["type"] == "characters":
        first = (END_OF_TEXT,) if "fim" in arguments else ()  # what ends a middle
        return Tally(), _save(train_characters(texts(), special_tokens=first).with_special_tokens(special_tokens[1:]), out)
    settings = {name: arguments[name] for name in ("vocab_size", "digits")}
    return Tally(), _save(train_bpe(texts(), special_tokens=special_tokens, **settings), out)


def _save(tokenizer: Tokenizer, out: Path) -> JsonObject:
    tokenizer.save(out)
    return {"vocab_size": tokenizer.vocab_size, "eos_token_id": tokenizer.eos_token_id}


@lru_cache(1)
def open_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer in a unit's output; a worker opens it once."""
    return Tokenizer.load(folder)
