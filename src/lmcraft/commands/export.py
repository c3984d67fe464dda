"""`lmcraft export`: convert a model to another data type or format, and check that it computes the same."""

from pathlib import Path

from lmcraft.config import takes_settings
from lmcraft.conversion.config import ExportConfig


@takes_settings(ExportConfig)
def export(config: ExportConfig) -> Path:
    """Write `out` if the result passes the check, and print the differences.

    Raises:
        UserError: there is no such model, the format cannot express it, or `out` exists.
        RunError: the result differs from the original by more than the tolerance.
    """
    from lmcraft.conversion.model_export import export_model
    from lmcraft.reports.card import update_card

    config = config.resolved()
    print(export_model(config))
    if config.out.is_dir():
        update_card(config.out)
    print(config.out)
    return config.out
