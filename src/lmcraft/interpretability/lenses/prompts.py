"""The prompts that a lens is fitted on: pieces of given texts, of the run's validation data, or of what the model writes."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lmcraft.data import TokenSplit, read_documents
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, read_json, sha256_of, write_json
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.interpretability.lenses.plan import FitSettings, Report
from lmcraft.language_model import LanguageModel
from lmcraft.lineage.record import read_lineage
from lmcraft.pretraining.config import PretrainConfig

MAX_CHARACTERS = 4_000_000  # of the texts that are read
TEXTS_TOGETHER = 25  # that the model writes at a time
CHARACTERS_TOGETHER = 200_000  # that are encoded at a time


@dataclass(frozen=True)
class Prompts:
    """Token ids, and where they are from."""

    ids: Sequence[Sequence[int]]
    source: str


def cut_prompts(model: LanguageModel, texts: Iterable[str], settings: FitSettings, source: str = "texts") -> Prompts:
    """Pieces of texts, drawn at random from the first 4 million characters."""
    settings = settings.within(model.transformer.config.max_position_embeddings)
    begin, length = list(model.tokenizer.begin_ids), settings.prompt_tokens
    pieces: list[list[int]] = []
    for group in _groups(texts):
        for ids in model.tokenizer.encode_batch(group):
            step = length - len(begin)
            pieces += [[*begin, *ids[start : start + step]] for start in range(0, len(ids), step)]
    return _drawn(pieces, settings, source)


def read_prompts(model: LanguageModel, files: Sequence[str], settings: FitSettings) -> Prompts:
    """Pieces of files or folders of texts.

    Raises:
        UserError: one of them does not exist, or is not text.
    """
    return cut_prompts(model, (document.text for document in read_documents(files)), settings, ", ".join(files))


def find_prompts(
    model: LanguageModel, folder: ModelFolder, settings: FitSettings, report: Report = lambda done, total: None
) -> Prompts:
    """Pieces of the validation data of the model's own run, or else texts that the model writes, which `report` counts."""
    return validation_prompts(model, folder, settings) or written_prompts(model, settings, report)


def validation_prompts(model: LanguageModel, folder: ModelFolder, settings: FitSettings) -> Prompts | None:
    """Pieces of the validation data of a pretraining run; None if it is not here, or has changed."""
    settings = settings.within(model.transformer.config.max_position_embeddings)
    lineage = read_lineage(folder.path)
    if not folder.config_toml.is_file() or not lineage.data:
        return None
    with suppress(UserError, OSError):  # the settings of another kind of run; data that is gone
        data = DatasetFolder(PretrainConfig.from_toml(folder.config_toml).data)
        if sha256_of(data.manifest_file) != lineage.data[0].manifest_sha256:
            return None
        split = TokenSplit(data, "validation")
        length = min(settings.prompt_tokens, len(split))
        starts = range(0, len(split) - length + 1, length)
        chosen = random.Random(settings.seed).sample(starts, min(settings.prompts, len(starts)))
        pieces = [split.slice(start, start + length).tolist() for start in chosen]
        if len(pieces) >= 2:
            return _drawn(pieces, settings, f"validation data of '{data.path}'")
    return None


def written_prompts(model: LanguageModel, settings: FitSettings, report: Report = lambda done, total: None) -> Prompts:
    """Texts that the model writes at temperature 1, each after the token that begins or ends texts, or a random one."""
    settings = settings.within(model.transformer.config.max_position_embeddings)
    tokenizer, count = model.tokenizer, settings.prompts
    ends = [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None]
    start = list(tokenizer.begin_ids) or ends[:1]
    starts = [start] * count if start else [[token] for token in _random_tokens(model, count, settings.seed)]
    writer = LanguageModel(model.transformer, tokenizer, GenerationConfig())  # in PyTorch, many texts at a time
    rows: list[list[int]] = []
    for first in range(0, count, TEXTS_TOGETHER):
        report(first, count)
        rows += _write(writer, starts[first : first + TEXTS_TOGETHER], settings.prompt_tokens, settings.seed * count + first)
    report(count, count)
    return _drawn(rows, settings, "texts that the model wrote")


def _write(writer: LanguageModel, starts: Sequence[Sequence[int]], length: int, seed: int) -> list[list[int]]:
    """Texts of so many tokens."""
    new = length - len(starts[0])
    limits: dict[str, Any] = {"max_new_tokens": new, "min_new_tokens": new, "temperature": 1.0, "seed": seed}
    if all(start == starts[0] for start in starts):  # one batch
        return writer.generate(starts[0], num_return_sequences=len(starts), **limits)
    return writer.generate(starts, **limits)


def _random_tokens(model: LanguageModel, count: int, seed: int) -> list[int]:
    return random.Random(seed).choices(sorted(model.tokenizer.vocabulary.values()), k=count)


def _drawn(pieces: Sequence[Sequence[int]], settings: FitSettings, source: str) -> Prompts:
    """Some of the pieces that are long enough."""
    long_enough = [piece for piece in pieces if len(piece) > settings.skipped + 1]
    return Prompts(random.Random(settings.seed).sample(long_enough, min(settings.prompts, len(long_enough))), source)


def _groups(texts: Iterable[str]) -> Iterator[list[str]]:
    """Texts to encode together, up to `MAX_CHARACTERS`."""
    group: list[str] = []
    total = size = 0
    for text in texts:
        kept = text[: MAX_CHARACTERS - total]
        total, size = total + len(kept), size + len(kept)
        group.append(kept)
        if size >= CHARACTERS_TOGETHER or total >= MAX_CHARACTERS:
            yield group
            group, size = [], 0
        if total >= MAX_CHARACTERS:
            return
    if group:
        yield group


def save_prompts(prompts: Prompts, path: Path, weights_sha256: str, settings: FitSettings) -> None:
    """Keep prompts for a fit that may be stopped, since writing them takes time."""
    write_json(path, {**asdict(prompts), "weights": weights_sha256, "settings": asdict(settings)})


def load_prompts(path: Path, weights_sha256: str, settings: FitSettings) -> Prompts | None:
    """Prompts that were kept for these weights and settings; None if there are none."""
    try:
        kept = read_json(path) if path.is_file() else {}
        if (kept.get("weights"), kept.get("settings")) != (weights_sha256, asdict(settings)):
            return None
        return Prompts([list(map(int, ids)) for ids in kept["ids"]], str(kept["source"]))
    except (UserError, LookupError, TypeError, ValueError):  # damaged
        return None
