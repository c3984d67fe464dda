"""Model folders and dataset folders: where their files are."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from html import escape
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder.mismatch import has_file, mismatch_error
from lmcraft.folder.names import CHECKPOINTS, LINEAGE, MANIFEST, RUN, RUN_CONFIG, SKIPPED, SNAPSHOTS
from lmcraft.json_lines import parse_json

DOCUMENTS = ("README.md", "LICENSE*", "LICENCE*", "NOTICE*")  # of a model folder, for people; they may be the user's
# How sentence-transformers computes an embedding, besides `1_Pooling/config.json`.
EMBEDDING_FILES = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")
# The files of a model folder besides its weights, as patterns.
MODEL_FILES = (
    *DOCUMENTS,
    "config.json",
    "generation_config.json",
    "quantize_config.json",  # this and the next two: how early quantized checkpoints are quantized
    "quant_config.json",
    "hf_quant_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "encoder.json",
    "vocab.bpe",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "additional_chat_templates",
    *EMBEDDING_FILES,
    "1_Pooling",  # how sentence-transformers makes an embedding of hidden states
    "adapter_config.json",
)


def is_model_file(name: str) -> bool:
    """Whether a file or folder of this name belongs to a model folder in Hugging Face's layout."""
    return any(fnmatchcase(name, pattern) for pattern in (*MODEL_FILES, "*.safetensors"))


def is_document(name: str) -> bool:
    """Whether a file of a model folder is for people, and no program reads it."""
    return any(fnmatchcase(name, pattern) for pattern in DOCUMENTS)


@dataclass(frozen=True)
class ModelFolder:
    """A model folder in Hugging Face's layout; its `lmcraft/` subfolder holds the files that only lmcraft reads."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def run(self) -> Path:
        return self.path / RUN

    @property
    def config_toml(self) -> Path:
        return self.run / RUN_CONFIG

    @property
    def history(self) -> Path:
        return self.run / "history.jsonl"

    @property
    def metrics(self) -> Path:
        return self.run / "metrics.jsonl"

    @property
    def guarantee(self) -> Path:
        """The guarantee of differential privacy, if the model has one (`lmcraft.privacy.guarantee`)."""
        return self.run / "privacy.json"

    @property
    def canaries(self) -> Path:
        """The canaries of the run, if it has some (`lmcraft.data.canaries`)."""
        return self.run / "canaries.jsonl"

    @property
    def privacy_audit(self) -> Path:
        """The folder of the privacy audit."""
        return self.run / "privacy_audit"

    @property
    def forgetting(self) -> Path:
        """What the model was made to forget, if anything (`lmcraft.unlearning.results`)."""
        return self.run / "forgetting.json"

    @property
    def samples(self) -> Path:
        return self.run / "samples.jsonl"

    @property
    def skipped(self) -> Path:
        """JSON lines with the file, the line and the reason of each row of the data that was left out, if any were."""
        return self.run / SKIPPED

    @property
    def labels(self) -> Path:
        """The labels of a classifier."""
        return self.run / "labels.json"

    @property
    def lineage(self) -> Path:
        return self.run / LINEAGE

    @property
    def jacobian_lens(self) -> Path:
        return self.run / "jacobian_lens.safetensors"

    @property
    def report(self) -> Path:
        return self.run / "report.html"

    @property
    def checkpoints(self) -> Path:
        return self.run / CHECKPOINTS

    @property
    def snapshots(self) -> Path:
        """Copies of the model along the run, if it keeps some."""
        return self.run / SNAPSHOTS

    def _repr_html_(self) -> str | None:
        """The run's report, for notebooks."""
        if not self.report.is_file():
            return None
        page = escape(self.report.read_text(encoding="utf-8"))
        return f'<iframe srcdoc="{page}" style="width: 100%; height: 40em; border: 0"></iframe>'


@dataclass(frozen=True)
class DatasetFolder:
    """Token shards with their tokenizer, or fine-tuning examples; `manifest.json` records where they came from."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    @property
    def manifest_file(self) -> Path:
        return self.path / MANIFEST

    @property
    def skipped(self) -> Path:
        """JSON lines with the file, the line and the reason of each row that was left out, if any were."""
        return self.path / SKIPPED

    def manifest(self) -> dict[str, Any]:
        """The manifest: sources, counts, hashes, and the shards of each split.

        Raises:
            UserError: this is not a dataset folder.
        """
        if not self.path.is_dir() or not has_file(self.manifest_file):
            raise mismatch_error(self.path, "dataset")
        manifest: dict[str, Any] = parse_json(self.manifest_file.read_bytes())
        return manifest

    def token_manifest(self) -> dict[str, Any]:
        """The manifest of a folder of token shards.

        Raises:
            UserError: this is not a dataset folder, or it holds examples instead of tokens.
        """
        manifest = self.manifest()
        if "splits" not in manifest:
            raise UserError(f"'{self.path}' has no tokens, only examples; pass its files to `lmcraft finetune`")
        return manifest
