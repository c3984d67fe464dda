"""Names of the files in a folder that tell what the folder holds."""

MANIFEST = "manifest.json"  # of a dataset
RUN = "lmcraft"  # in a model folder: the files that only lmcraft reads
RUN_CONFIG = "run.toml"  # in RUN
CHECKPOINTS = "checkpoints"  # in RUN
SKIPPED = "skipped.jsonl"  # of a dataset, or in RUN: the rows that were left out
MODEL_CONFIGS = ("config.json", "adapter_config.json")
