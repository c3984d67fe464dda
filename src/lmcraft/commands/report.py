"""`lmcraft report`: write a run's page again."""

from dataclasses import dataclass
from pathlib import Path

from lmcraft.config import Config, command_config
from lmcraft.folder import ModelFolder


@command_config
@dataclass(frozen=True)
class ReportConfig(Config):
    """Write `lmcraft/report.html` of a model folder: curves, samples, configuration."""

    model: Path
    """Model folder that a run wrote."""


def report(config: ReportConfig) -> Path:
    """Write the page and print where it is.

    Raises:
        UserError: the folder holds no run.
    """
    from lmcraft.reports.page import write_report

    page = write_report(ModelFolder(config.model))
    print(page)
    return page
