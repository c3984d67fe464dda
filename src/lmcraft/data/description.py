"""Describes a dataset folder: its splits, and the shares of its parts in the mixture."""

from typing import Any

from lmcraft.data.mixture import Mixture
from lmcraft.folder import DatasetFolder


def describe_dataset(folder: DatasetFolder) -> dict[str, Any]:
    """Tokens and documents of each split, and each part with its share in each stage of the schedule.

    The shares are those of a run that is as long as an epoch of all parts, if a source has a number of epochs.

    Raises:
        UserError: it is not a dataset folder of tokens, or its mixture leaves nothing to read.
    """
    manifest = folder.token_manifest()
    description = {
        "dataset": str(folder.path),
        "vocab_size": manifest["vocab_size"],
        "splits": {
            name: {key: split[key] for key in ("documents", "tokens", "bytes")} for name, split in manifest["splits"].items()
        },
        "parts": [],
    }
    if "parts" in manifest:
        mixture = Mixture.read(manifest)
        shares = zip(*(stage.tolist() for stage in mixture.stage_shares(0)), strict=True)
        description["parts"] = [
            {
                "source": part.source,
                "language": part.language,
                "copies": part.copies,
                "tokens": part.tokens,
                "shares": list(part_shares),
            }
            for part, part_shares in zip(mixture.parts, shares, strict=True)
        ]
    return description
