"""The guarantee of a model that was trained with differential privacy, kept in its folder as `lmcraft/privacy.json`."""

from dataclasses import asdict, dataclass
from typing import Literal

from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder, read_json, write_json

VERSION = 1
Unit = Literal["document", "example"]
Accountant = Literal["prv", "rdp"]


@dataclass(frozen=True, kw_only=True)
class Guarantee:
    """(epsilon, delta)-differential privacy of the weights, for data sets that differ by one unit."""

    unit: Unit
    epsilon: float
    """Spent by the steps so far."""
    delta: float
    """In all; `truncation_delta` is part of it."""
    target_epsilon: float
    """The budget: training stops before it spends more."""
    units: int
    """Number of units in the training data."""
    sampling_rate: float
    """Probability that a unit is in the batch of a step."""
    noise_multiplier: float
    """Standard deviation of the noise / `max_grad_norm`."""
    max_grad_norm: float
    """Norm to which the gradient of each unit is clipped."""
    steps: int
    """Steps so far."""
    max_rows: int
    """Rows of a batch; units that Poisson sampling draws beyond them are left out."""
    truncation_delta: float
    """Part of `delta` that pays for batches that would have had more than `max_rows`."""
    accountant: Accountant

    def write(self, folder: ModelFolder) -> None:
        """Write the guarantee to the folder."""
        write_json(folder.guarantee, {"version": VERSION, **asdict(self)})

    @classmethod
    def read(cls, folder: ModelFolder) -> "Guarantee | None":
        """The guarantee of a folder; None if the model was not trained with differential privacy.

        Raises:
            UserError: the file is damaged or of a newer version.
        """
        if not folder.guarantee.is_file():
            return None
        values = read_json(folder.guarantee)
        if not isinstance(values, dict) or values.pop("version", None) != VERSION:
            raise UserError(f"'{folder.guarantee}' is not a guarantee that this version of lmcraft reads: train again")
        try:
            return cls(**values)
        except TypeError as error:
            raise UserError(f"'{folder.guarantee}' is damaged: train again") from error
