"""How a run reads its text for fill-in-the-middle: the tokens of its vocabulary, and the checks of its settings."""

from lmcraft.data.fill_in_middle import FillInMiddleReading
from lmcraft.errors import UserError
from lmcraft.folder import DatasetFolder
from lmcraft.tokenizer.fill_in_middle import require_fill_in_middle
from lmcraft.tokenizer.tokenizer import Tokenizer


def open_fill_in_middle(rate: float, spm_rate: float, tokenizer: Tokenizer) -> FillInMiddleReading | None:
    """How rows of text are read; None: as they are.

    Args:
        rate: share of the documents that become fill-in-the-middle.
        spm_rate: share of those whose suffix comes first.
        tokenizer: of the dataset.

    Raises:
        UserError: the tokenizer has no tokens for it, no end token, or text that is not the concatenation of its tokens.
    """
    if not rate:
        return None
    tokens = require_fill_in_middle(tokenizer, f"fim_rate={rate:g}")
    if (end := tokenizer.eos_token_id) is None:
        raise UserError(f"fim_rate={rate:g} needs a token that ends a middle, and the tokenizer has none: train another one")
    if not tokenizer.concatenates:
        raise UserError(
            f"fim_rate={rate:g} needs a tokenizer that encodes the parts of a text as they are, and this one puts a space "
            "before each: use a byte-level one (`lmcraft tokenizer train`)"
        )
    special = tokenizer.special_tokens.values()
    return FillInMiddleReading(tokenizer, tokens.prefix, tokens.suffix, tokens.middle, end, rate, spm_rate, special)


def check_fill_in_middle(rate: float, spm_rate: float, dataset: DatasetFolder, *, private: bool) -> None:
    """Check the settings of a run before its data are open.

    Args:
        rate: as in `open_fill_in_middle`.
        spm_rate: as in `open_fill_in_middle`.
        dataset: of the run.
        private: it has a budget of differential privacy.

    Raises:
        UserError: a setting is out of range, has no effect, or does not fit the dataset.
    """
    for name, value in (("fim_rate", rate), ("fim_spm_rate", spm_rate)):
        if not 0 <= value <= 1:
            raise UserError(f"{name}={value:g} is not a share of the documents: use 0 to 1")
    if not rate:
        raise UserError(f"fim_spm_rate={spm_rate:g} has no effect without --fim-rate: set it, such as 0.5")
    if private:
        raise UserError(f"fim_rate={rate:g} does not work with differential privacy: leave it out")
    if "marks" in dataset.token_manifest():
        raise UserError(
            f"fim_rate={rate:g} does not work with dataset '{dataset.path}', whose text has marks: prepare it without the "
            "stage mark"
        )
