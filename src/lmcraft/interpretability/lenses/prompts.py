"""The prompts that a lens is fitted on: pieces of given texts, of the run's validation data, or of what the model writes."""

import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import asdict, dataclass
from pathlib import Path

from lmcraft.data import TokenSplit, read_documents
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder, ModelFolder, read_json, sha256_of, write_json
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.interpretability.lenses.plan import FitSettings
from lmcraft.language_model import LanguageModel
from lmcraft.lineage.record import read_lineage
from lmcraft.pretraining.config import PretrainConfig

MAX_CHARACTERS = 4_000_000  # of the texts that are read
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


def find_prompts(model: LanguageModel, folder: ModelFolder, settings: FitSettings) -> Prompts:
    """Pieces of the validation data of the model's own run, or else of texts that the model writes."""
    return validation_prompts(model, folder, settings) or written_prompts(model, settings)


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


def written_prompts(model: LanguageModel, settings: FitSettings) -> Prompts:
    """Texts that the model writes at temperature 1, each after the token that begins or ends texts, or a random one."""
    settings = settings.within(model.transformer.config.max_position_embeddings)
    tokenizer, length = model.tokenizer, settings.prompt_tokens
    ends = [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None]
    start = list(tokenizer.begin_ids) or ends[:1]
    count = settings.prompts
    starts = [start] if start else [[token] for token in _random_tokens(model, count, settings.seed)]
    writer = copy(model)
    writer.generation_config = GenerationConfig()
    rows = writer.generate(
        starts,
        max_new_tokens=length - len(starts[0]),
        min_new_tokens=length - len(starts[0]),
        temperature=1.0,
        seed=settings.seed,
        num_return_sequences=count if start else 1,
    )
    return _drawn(rows, settings, "texts that the model wrote")


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
