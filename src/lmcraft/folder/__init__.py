"""The folders that every command reads and writes.

names       names of files that tell what a folder holds
layout      the files of model and dataset folders
paths       paths as callers in Python have them
reading     JSON files that may come from strangers; hashes
writing     atomic writes of files and folders, durable on the disk
lock        a lock that the system releases when its process ends
recognition what a folder holds, by its files
mismatch    errors for a path that holds something else than a command needs
examples    folders of examples for fine-tuning: files of distinct rows, and their manifest
output      the one check of every `--out`: what a command may write to, and what it may replace
"""

from lmcraft.folder.layout import MODEL_FILES, DatasetFolder, ModelFolder, is_model_file
from lmcraft.folder.mismatch import has_file, is_model_folder, mismatch_error, missing_path_error
from lmcraft.folder.output import check_saved_model, replace_output
from lmcraft.folder.paths import to_path
from lmcraft.folder.reading import read_json, sha256_of
from lmcraft.folder.writing import (
    atomic_write,
    name_file,
    naming_file,
    remove_path,
    sync,
    working_folder,
    write_json,
    write_json_lines,
    write_text,
)

__all__ = [
    "MODEL_FILES",
    "DatasetFolder",
    "ModelFolder",
    "atomic_write",
    "check_saved_model",
    "has_file",
    "is_model_file",
    "is_model_folder",
    "mismatch_error",
    "missing_path_error",
    "name_file",
    "naming_file",
    "read_json",
    "remove_path",
    "replace_output",
    "sha256_of",
    "sync",
    "to_path",
    "working_folder",
    "write_json",
    "write_json_lines",
    "write_text",
]
