"""`lmcraft report`: regenerate the HTML report of a model and its model card, or the report of a dataset."""

from dataclasses import dataclass
from pathlib import Path

from lmcraft.config import Config, command_config, takes_settings
from lmcraft.folder import DatasetFolder, ModelFolder


@command_config
@dataclass(frozen=True)
class ReportConfig(Config):
    """Regenerate `lmcraft/report.html` of a model folder (curves, evaluations, energy, data, lineage) and its model card,
    README.md; or `report.html` of a dataset."""

    model: Path
    """Model folder (trained, quantized or downloaded; adapter), or dataset folder prepared from a recipe."""


@takes_settings(ReportConfig)
def report(config: ReportConfig) -> Path:
    """Write the report and print its path.

    Raises:
        UserError: the folder holds no model, and no dataset that was prepared from a recipe.
    """
    from lmcraft.reports.card import update_card
    from lmcraft.reports.page import write_report
    from lmcraft.reports.preparation import write_preparation

    dataset = DatasetFolder(config.model)
    if dataset.manifest_file.is_file():
        page = write_preparation(dataset)
    else:
        page = write_report(ModelFolder(config.model))
        update_card(config.model)
    print(page)
    return page
