"""Fits the Jacobian lens of a model folder, with a bar, and keeps it there."""

import os
from collections.abc import Sequence
from time import monotonic

from rich.progress import BarColumn, TaskProgressColumn, TextColumn

from lmcraft.errors import UserError, explain_os_error
from lmcraft.folder import ModelFolder, to_path
from lmcraft.folder.lock import lock_folder
from lmcraft.interpretability.lenses.file import hash_weights, save_jacobian_lens
from lmcraft.interpretability.lenses.fit import fit_jacobian_lens
from lmcraft.interpretability.lenses.jacobian import JacobianLens
from lmcraft.interpretability.lenses.plan import FitSettings
from lmcraft.interpretability.lenses.prompts import find_prompts, load_prompts, read_prompts, save_prompts
from lmcraft.language_model import LanguageModel
from lmcraft.terminal import BarDisplay, format_duration

LOCK = ".jacobian_lens.lock"
STATE, PROMPTS = "jacobian_lens.part.safetensors", "jacobian_lens.part.json"  # of a fit that is not complete


def fit_folder(
    model: LanguageModel,
    folder: str | os.PathLike[str],
    *,
    files: Sequence[str] = (),
    settings: FitSettings | None = None,
    quiet: bool = False,
) -> JacobianLens:
    """Fit the lens of a model folder, and keep it in `lmcraft/jacobian_lens.safetensors`.

    A fit that was stopped goes on where it was, if model, texts and settings are the same.

    Args:
        model: the model in the folder.
        folder: a model folder.
        files: files or folders of texts; none: the validation data of the model's own run, or else texts that it writes.
        settings: None: the defaults.
        quiet: show no progress.

    Raises:
        UserError: the folder is none, cannot be written, or another process fits its lens; a file does not exist; the texts
            are too short; the model has one layer.
        RunError: the disk is full, or the model's outputs are not numbers.
        InterruptedRunError: a signal stopped it.
    """
    home, settings = ModelFolder(to_path(folder, "folder")), settings or FitSettings()
    if not home.path.is_dir():
        raise UserError(
            f"'{folder}' is not a folder, and a Jacobian lens is kept in its model's folder: save the model as one"
        )
    settings.check()
    try:
        home.run.mkdir(exist_ok=True)
        with lock_folder(home.run, wait=False, name=LOCK), _Bar(quiet=quiet) as bar:
            return _fit(model, home, files, settings, bar)
    except OSError as error:
        raise explain_os_error(error) from error


def _fit(model: LanguageModel, home: ModelFolder, files: Sequence[str], settings: FitSettings, bar: "_Bar") -> JacobianLens:
    weights = hash_weights(home.path)
    written = home.run / PROMPTS
    prompts = None if files else load_prompts(written, weights, settings)
    if prompts is None:
        bar.begin("texts")
        prompts = read_prompts(model, files, settings) if files else find_prompts(model, home, settings, bar.show)
        if not files:
            save_prompts(prompts, written, weights, settings)
    bar.print_line(f"fitting the Jacobian lens on {len(prompts.ids)} prompts: {prompts.source}")
    bar.begin("directions")
    lens = fit_jacobian_lens(model, prompts, settings, weights_sha256=weights, state=home.run / STATE, report=bar.show)
    save_jacobian_lens(lens, home.path)
    written.unlink(missing_ok=True)
    return lens


class _Bar(BarDisplay):
    """What is done, the rate, and the time left."""

    def __init__(self, *, quiet: bool) -> None:
        columns = (TextColumn("Jacobian lens: {task.fields[status]}", markup=False), BarColumn(), TaskProgressColumn())
        super().__init__(*columns, total=1, quiet=quiet)
        self.begin("")

    def begin(self, noun: str) -> None:
        """A part of the work begins; `noun` is what it counts."""
        self._noun = noun
        self._start: tuple[float, int] | None = None  # when it began, and what was done before
        self._bar.update(self._task, completed=0, total=1, status=noun)

    def show(self, done: int, total: int) -> None:
        """So much of the part is done."""
        now = monotonic()
        self._start = self._start or (now, done)
        begin, before = self._start
        status = f"{done:,} of {total:,} {self._noun}"
        if done > before:
            rate = (done - before) / max(now - begin, 1e-9)
            status += f"  {rate:.1f}/s  {format_duration((total - done) / rate)} left"
        self._bar.update(self._task, completed=done, total=total, status=status)
