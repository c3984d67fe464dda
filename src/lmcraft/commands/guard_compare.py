"""`lmcraft guard compare`: train ways to make a model less harmful, and compare what they cost."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Self

from lmcraft.config import OUTPUT, SEVERAL_VALUES, Config, command_config, takes_settings
from lmcraft.errors import InterruptedRunError, UserError


@command_config
@dataclass(frozen=True)
class GuardCompareConfig(Config):
    """Train strategies against harm on one corpus, and draw harm against perplexity (docs/harm-and-perplexity.md).

    Ended at any moment, the same command goes on; strategies can be added to the file later.
    """

    experiment: Path
    """TOML file: corpus, model, strategies, seeds."""
    _: KW_ONLY
    out: Annotated[Path, OUTPUT]
    """Folder of the corpus, the models, the measurements and the page."""
    seeds: Annotated[tuple[int, ...], SEVERAL_VALUES] = ()
    """Only these of the experiment's seeds, so that several processes or machines share the work. [default: all]"""

    def resolved(self) -> Self:
        if self.out.is_file():
            raise UserError(f"out='{self.out}' is a file, not a folder: choose another --out")
        return self


@takes_settings(GuardCompareConfig)
def compare_strategies(config: GuardCompareConfig) -> Path:
    """Train and measure what is missing, and write `strategies.html`, `strategies.json` and `strategies.svg`.

    Returns:
        The page.

    Raises:
        UserError: the experiment, a policy or a file cannot be used.
        RunError: a training failed, or a text could not be scored.
        InterruptedRunError: a signal stopped it; the same command goes on.
    """
    config = config.resolved()
    from lmcraft.audits.strategies import read_experiment, run_comparison
    from lmcraft.commands.finetune import finetune
    from lmcraft.commands.pretrain import pretrain
    from lmcraft.reports.strategies import strategy_table, write_strategies
    from lmcraft.terminal import column_table, line_printer, print_result, progress_bar

    file = read_experiment(config.experiment)
    print_line = line_printer()

    def show(done: int, total: int, title: str) -> None:
        report(done, total)
        if title:
            print_line(f"{done + 1}/{total}  {title}")

    try:
        with progress_bar(file.settings.name) as report:
            result = run_comparison(
                file,
                config.out,
                {"pretrain": pretrain, "finetune": finetune},
                seeds=config.seeds,
                report=show,
                announce=lambda name: print_line(f"  training: {name}"),
            )
    except InterruptedRunError as error:
        raise InterruptedRunError(
            "stopped by a signal, and saved: the same command goes on", error.exit_status - 128
        ) from error
    head, rows = strategy_table(result)
    print_result(column_table("", head, rows), *result.notes, result.verdict())
    page = write_strategies(config.out, result)
    print_line(f"page: {page}")
    return page
