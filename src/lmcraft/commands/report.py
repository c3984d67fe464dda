"""`lmcraft report`: regenerate a run's HTML report."""

from dataclasses import dataclass
from pathlib import Path

from lmcraft.config import Config, command_config, takes_settings
from lmcraft.folder import ModelFolder


@command_config
@dataclass(frozen=True)
class ReportConfig(Config):
    """Regenerate `lmcraft/report.html` of a model folder: curves, samples, settings."""

    model: Path
    """Model folder written by a run."""


@takes_settings(ReportConfig)
def report(config: ReportConfig) -> Path:
    """Write the report and print its path.

    Raises:
        UserError: the folder holds no run.
    """
    from lmcraft.reports.page import write_report

    page = write_report(ModelFolder(config.model))
    print(page)
    return page
