"""The settings that the commands which evaluate models share."""

from dataclasses import dataclass, field, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from cyclopts import Parameter

from lmcraft.config import ADVANCED, MACHINE, SEVERAL_VALUES, Config, as_dict, automatic
from lmcraft.errors import UserError
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.generation_settings import SETTINGS

# The generation settings that shape how an answer is written: numbers, of which None leaves the answer to greedy decoding.
SAMPLING_SETTINGS = [s for s in SETTINGS.values() if s.group in ("sampling", "penalties") and s.type in (int, float)]

if TYPE_CHECKING:

    class SamplingConfig:
        def __init__(self, **settings: float | None) -> None: ...
else:
    SamplingConfig = make_dataclass(
        "SamplingConfig",
        [(s.name, Annotated[s.type | None, Parameter(help=s.help)], None) for s in SAMPLING_SETTINGS],
        namespace={"__module__": __name__, "__doc__": "How answers are written; without a setting, greedily."},
        frozen=True,
        kw_only=True,
    )


@dataclass(frozen=True, kw_only=True)
class TaskSettings(Config):
    """What a command measures models on, and how."""

    tasks: Annotated[tuple[str, ...], SEVERAL_VALUES] = ("english",)
    """Names of tasks and scorecards, and TOML files of your own tasks (docs/add-a-task.md)."""
    limit: Annotated[int, automatic("all; 100 in scorecards")] = 0
    """Number of items per task, drawn at random, always the same ones."""
    chat: bool = False
    """Ask through the model's chat template, whatever the tasks say."""
    weights: Annotated[Literal["auto", "float32", "bfloat16", "int8", "int4"], MACHINE] = "auto"
    """Data type of the weights while answers are generated."""
    device: Annotated[str, MACHINE] = "auto"
    """cpu, cuda, mps (Apple), or one GPU such as cuda:1; auto: a GPU if there is one."""
    precision: Annotated[Literal["auto", "bf16", "fp32"], MACHINE] = "auto"
    """Data type of weights and activations."""
    sampling: Annotated[SamplingConfig, ADVANCED] = field(default_factory=SamplingConfig)
    seed: Annotated[int, ADVANCED] = 1
    """Random seed of the answers, with --sampling.temperature and the like."""

    def generation_settings(self) -> dict[str, Any]:
        """The settings with which answers are written; none: greedily."""
        settings = as_dict(self.sampling)
        draws = any(SETTINGS[name].shapes_draw for name in settings)
        return settings | ({"do_sample": True, "seed": self.seed} if draws else {})

    def resolved(self) -> Self:
        GenerationConfig().updated(self.generation_settings())
        if self.limit < 0:
            raise UserError(f"limit={self.limit} must not be negative; 0 scores all items")
        if not self.tasks:
            raise UserError("tasks is empty: name at least one task or scorecard")
        return self
