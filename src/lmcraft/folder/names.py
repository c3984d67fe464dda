"""Names of the files in a folder that tell what the folder holds."""

MANIFEST = "manifest.json"  # of a dataset
RUN = "lmcraft"  # in a model folder: the files that only lmcraft reads
RUN_CONFIG = "run.toml"  # in RUN
FAMILY_CONFIG, FAMILY_RUNS = "scaling.toml", "runs"  # in the folder of a scaling family
CHECKPOINTS = "checkpoints"  # in RUN
SNAPSHOTS = "snapshots"  # in RUN: copies of the model along the run
SKIPPED = "skipped.jsonl"  # of a dataset, or in RUN: the rows that were left out
MODEL_CONFIGS = ("config.json", "adapter_config.json")
SOURCE_FILES = "files.jsonl.gz"  # of a dataset: the files that it was prepared from, and their hashes
LINEAGE = "lineage.json"  # of a dataset, or in RUN: what it was made from
ENERGY = "energy.json"  # of a dataset, in RUN, and beside results: what the work has drawn
SET_ASIDE = "set_aside.jsonl"  # of a dataset: the documents that wait for a person to review them
# What the name of a folder must not end in: it would be taken for a file of that format, by people and by commands.
FILE_SUFFIXES = (
    *(".gguf", ".ggml", ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".onnx", ".h5", ".npy", ".npz", ".zip", ".tar"),
    *(".gz", ".zst", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".txt", ".md", ".pdf", ".html", ".toml"),
)


def is_gguf_name(name: str) -> bool:
    """Whether a name is that of a GGUF file."""
    return name.lower().endswith(".gguf")
