"""The objectives of pretraining by name."""

from collections.abc import Mapping

from lmcraft.pretraining.config import PretrainConfig, PretrainObjectiveName
from lmcraft.pretraining.objectives.base import PretrainObjective
from lmcraft.pretraining.objectives.conditional import Conditional
from lmcraft.pretraining.objectives.filtered import Filtered
from lmcraft.pretraining.objectives.unlikelihood import Unlikelihood

OBJECTIVES: Mapping[PretrainObjectiveName, type[PretrainObjective]] = {
    "next-token": PretrainObjective,
    "conditional": Conditional,
    "filtered": Filtered,
    "unlikelihood": Unlikelihood,
}


def build_objective(config: PretrainConfig) -> PretrainObjective:
    """The objective of a run."""
    return OBJECTIVES[config.objective](config)
