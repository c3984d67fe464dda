"""`lmcraft inspect`: a model's architecture, size and origin; a dataset's sources."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from lmcraft.config import Config, command_config, takes_settings
from lmcraft.folder import DatasetFolder
from lmcraft.folder.recognition import read_object
from lmcraft.hub.model_argument import ModelArgument
from lmcraft.json_lines import format_json
from lmcraft.setting_values import expand_user
from lmcraft.terminal import column_table, format_bytes, key_value_table, print_result

if TYPE_CHECKING:
    from rich.table import Table


@command_config
@dataclass(frozen=True)
class InspectConfig(Config):
    """Show a model's architecture, parameters, memory, chat template, lineage and license, without loading its weights.

    Of a dataset folder, show its sources and their shares of training.
    """

    model: ModelArgument
    """Model folder, GGUF file or address; or a dataset folder."""
    _: KW_ONLY
    json: bool = False
    """Print JSON instead of tables."""


@takes_settings(InspectConfig)
def inspect(config: InspectConfig) -> dict[str, Any]:
    """Print a model's architecture, size and origin, or a dataset's sources, and return them as a dict.

    Raises:
        UserError: there is no such model, or it is damaged.
    """
    dataset = DatasetFolder(expand_user(config.model))
    if is_dataset := bool(read_object(dataset.manifest_file)):
        from lmcraft.data.description import describe_dataset

        description = describe_dataset(dataset)
    else:
        from lmcraft.conversion.model_description import describe_model

        description = describe_model(config.model)
    if config.json:
        print(format_json(description, indent=2))
    else:
        print_result(*(_dataset_tables(description) if is_dataset else _tables(description)))
    return description


def _dataset_tables(description: dict[str, Any]) -> list["Table"]:
    splits = {
        name: f"{split['tokens']:,} tokens of {split['documents']:,} documents"
        for name, split in description["splits"].items()
    }
    tables = [key_value_table(description["dataset"], splits)]
    if description["parts"]:
        rows = [
            (part["source"], part["language"], str(part["copies"]), f"{part['tokens']:,}", _format_shares(part["shares"]))
            for part in description["parts"]
        ]
        tables.append(column_table("Mixture", ("source", "language", "copies", "tokens", "share of training"), rows))
    return tables


def _format_shares(shares: Sequence[float]) -> str:
    """The shares of a part in each stage of the schedule."""
    return " → ".join(f"{share:.1%}" for share in shares)


def _tables(description: dict[str, Any]) -> list["Table"]:
    from lmcraft.data.mixture import format_epochs  # imports numpy, which --help does without

    parameters = {part: f"{count:,}" for part, count in description["parameters"].items()}
    if description["parameters"]["active"] == description["parameters"]["total"]:
        del parameters["active"]
    memory = {f"weights in {kind}": format_bytes(size) for kind, size in description["bytes"].items()}
    for scope, size in description["cache_bytes"].items():
        memory[scope if scope == "recurrent state" else f"KV cache in bfloat16, {scope}"] = format_bytes(size)
    template = description["tokenizer"]["chat_template"]
    mixture = {
        source: f"{use['share']:.1%} of training, {format_epochs(use['epochs'])} epochs"
        for source, use in description["lineage"].get("mixture", {}).items()
    }
    origin = {
        "license": description["license"] or "unknown",
        "chat template": f"{len(template):,} characters: {template[:60]!r} ..." if template else "none",
        "end tokens": ", ".join(map(str, description["tokenizer"]["eos_token_ids"])) or "none",
        "settings not applied": ", ".join(description["unsupported_settings"]),
    }
    origin = {name: value for name, value in origin.items() if value}
    history = description["history"]
    return [
        key_value_table(description["model"], description["architecture"]),
        key_value_table("Parameters", parameters),
        key_value_table("Memory", memory),
        key_value_table("Generation", {"decode step": description["decode_step"]}),
        *([key_value_table("Mixture", mixture)] if mixture else []),
        key_value_table("Origin", origin),
        *([key_value_table("Lineage", history)] if history else []),
    ]
