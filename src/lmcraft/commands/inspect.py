"""`lmcraft inspect`: a model's architecture, size and origin."""

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any

from lmcraft.config import Config, command_config, takes_settings
from lmcraft.json_lines import format_json
from lmcraft.terminal import format_bytes, key_value_table, print_result

if TYPE_CHECKING:
    from rich.table import Table


@command_config
@dataclass(frozen=True)
class InspectConfig(Config):
    """Show a model's architecture, parameters, memory, chat template, lineage and license, without loading its weights."""

    model: str
    """Model folder, GGUF file or address."""
    _: KW_ONLY
    json: bool = False
    """Print JSON instead of tables."""


@takes_settings(InspectConfig)
def inspect(config: InspectConfig) -> dict[str, Any]:
    """Print a model's architecture, size and origin, and return them as a dict.

    Raises:
        UserError: there is no such model, or it is damaged.
    """
    from lmcraft.conversion.model_description import describe_model

    description = describe_model(config.model)
    if config.json:
        print(format_json(description, indent=2))
    else:
        print_result(*_tables(description))
    return description


def _tables(description: dict[str, Any]) -> list["Table"]:
    parameters = {part: f"{count:,}" for part, count in description["parameters"].items()}
    if description["parameters"]["active"] == description["parameters"]["total"]:
        del parameters["active"]
    memory = {f"weights in {kind}": format_bytes(size) for kind, size in description["bytes"].items()}
    memory |= {f"KV cache in bfloat16, {scope}": format_bytes(size) for scope, size in description["cache_bytes"].items()}
    template = description["tokenizer"]["chat_template"]
    origin = {
        "license": description["license"] or "unknown",
        "chat template": f"{len(template):,} characters: {template[:60]!r} ..." if template else "none",
        "end tokens": ", ".join(map(str, description["tokenizer"]["eos_token_ids"])) or "none",
        "settings not applied": ", ".join(description["unsupported_settings"]),
        **{name: str(value) for name, value in description["lineage"].items() if value},
    }
    origin = {name: value for name, value in origin.items() if value}
    return [
        key_value_table(description["model"], description["architecture"]),
        key_value_table("Parameters", parameters),
        key_value_table("Memory", memory),
        key_value_table("Origin", origin),
    ]
