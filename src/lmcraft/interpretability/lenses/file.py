"""The Jacobian lens of a model folder, in `lmcraft/jacobian_lens.safetensors`: half precision where that loses little.

The header keeps how it was fitted, with a hash of the weights; a lens of other weights is refused.
"""

import hashlib
import json
import os
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lmcraft.errors import UserError, explain_os_error
from lmcraft.folder import ModelFolder, to_path
from lmcraft.interpretability.lenses.jacobian import FitRecord, JacobianLens
from lmcraft.json_lines import parse_json
from lmcraft.lineage.hashing import hash_file
from lmcraft.model.tensor_file import save_tensors

MATRICES, RECORD = "jacobians", "lmcraft.fit"
MAX_HALF_LOSS = 1e-3  # of a matrix, relative to its norm, when it is kept in float16
KINDS: dict[str, type] = {
    **dict.fromkeys(("prompts", "tokens", "directions", "seed"), int),
    **{"is_exact": bool, "texts": str, "weights_sha256": str, "errors": list},
}
"""Of the values of a `FitRecord` as JSON."""
REMEDY = "fit it again with `lmcraft explain MODEL --fit-lens`"


def hash_weights(folder: Path) -> str:
    """SHA-256 of the names and the contents of a folder's weights: a second per GB, once for each process."""
    lines = [f"{hash_file(file)}  {file.name}\n" for file in sorted(folder.glob("*.safetensors"))]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def save_jacobian_lens(lens: JacobianLens, folder: str | os.PathLike[str]) -> Path:
    """Write the lens of a model folder, and return its file.

    Raises:
        UserError: the folder cannot be written.
        RunError: the disk is full.
    """
    path = ModelFolder(to_path(folder, "folder")).jacobian_lens
    record = json.dumps(asdict(lens.record))
    try:
        save_tensors({MATRICES: _compact(lens.matrices)}, path, {RECORD: record})
    except OSError as error:
        raise explain_os_error(error) from error
    return path


def _compact(matrices: Tensor) -> Tensor:
    half = matrices.half()
    loss = (half.float() - matrices).flatten(1).norm(dim=1) / matrices.flatten(1).norm(dim=1).clamp(min=1e-30)
    return half if bool((loss <= MAX_HALF_LOSS).all()) else matrices.float()  # an infinite number loses everything


def load_jacobian_lens(folder: str | os.PathLike[str]) -> JacobianLens | None:
    """The lens of a model folder; None if it has none.

    Raises:
        UserError: the file is damaged, or the lens was fitted on other weights.
    """
    home = ModelFolder(to_path(folder, "folder"))
    path = home.jacobian_lens
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            matrices = file.get_tensor(MATRICES)
            record = _read_record((file.metadata() or {})[RECORD])
    except (SafetensorError, OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f"'{path}' is damaged ({error}): {REMEDY}") from error
    if not _is_whole(matrices, record):
        raise UserError(f"'{path}' is damaged (its matrices are not those of a lens): {REMEDY}")
    if record.weights_sha256 != hash_weights(home.path):
        raise UserError(f"'{path}' was fitted on other weights than the folder now has: {REMEDY}")
    return JacobianLens(matrices, record)


def _read_record(text: str) -> FitRecord:
    values = parse_json(text.encode())
    if not isinstance(values, dict) or {name: type(value) for name, value in values.items()} != KINDS:
        raise ValueError("it does not say how it was fitted")
    return FitRecord(**values | {"errors": [float(error) for error in values["errors"]]})


def _is_whole(matrices: Tensor, record: FitRecord) -> bool:
    is_square = matrices.ndim == 3 and matrices.shape[1] == matrices.shape[2] and matrices.is_floating_point()
    return is_square and len(record.errors) == len(matrices) and bool(torch.isfinite(matrices).all())
