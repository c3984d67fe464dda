"""The steps from the records that all stages have left to shards."""

from collections.abc import Mapping, Sequence

from lmcraft.errors import UserError
from lmcraft.preparation.contracts import Step, Unit, UnitResult
from lmcraft.preparation.output.assemble import ASSEMBLE, PLAN, assemble_units, plan_unit
from lmcraft.preparation.output.encode import ENCODE, encode_units
from lmcraft.preparation.output.tokenizer_sample import SAMPLE, TOKENIZER, check_tokenizer, sample_units, tokenizer_unit
from lmcraft.preparation.recipe import Recipe

# Time of each step, relative to a pass of stages over the same text.
SAMPLE_WEIGHT, TRAIN_WEIGHT, BRING_WEIGHT, ENCODE_WEIGHT, PLAN_WEIGHT, ASSEMBLE_WEIGHT = 0.05, 0.3, 0.01, 0.3, 0.01, 0.05
Results = Mapping[str, Sequence[UnitResult]]


class NoDocumentsError(UserError):
    """The stages have left no document; `results`, of the steps so far, say why."""

    def __init__(self, results: Results) -> None:
        super().__init__("no document is left to make a dataset of")
        self.results = results


def output_steps(recipe: Recipe, records_step: str) -> list[Step]:
    """The steps from finished records to shards.

    Args:
        recipe: the recipe.
        records_step: whose units wrote the records; their results have the values "documents" and "bytes".

    Raises:
        UserError: the recipe has no usable tokenizer, or cannot train one.
    """
    check_tokenizer(recipe)
    share = recipe.validation
    trains = recipe.tokenizer is None
    return [
        Step(
            SAMPLE, lambda results: sample_units(recipe, results[records_step]), reads=[records_step], weight=SAMPLE_WEIGHT
        ),
        Step(
            TOKENIZER,
            lambda results: _tokenizer_units(recipe, records_step, results),
            reads=[records_step, SAMPLE],
            weight=TRAIN_WEIGHT if trains else BRING_WEIGHT,
        ),
        Step(
            ENCODE,
            lambda results: encode_units(recipe.mixture.copies, results[records_step], results[TOKENIZER][0]),
            reads=[records_step, TOKENIZER],
            weight=ENCODE_WEIGHT,
        ),
        Step(
            PLAN,
            lambda results: [plan_unit(share, results[ENCODE], results[TOKENIZER][0])],
            reads=[ENCODE, TOKENIZER],
            weight=PLAN_WEIGHT,
        ),
        Step(
            ASSEMBLE,
            lambda results: assemble_units(results[PLAN][0], results[ENCODE], share),
            reads=[PLAN, ENCODE],
            weight=ASSEMBLE_WEIGHT,
        ),
    ]


def _tokenizer_units(recipe: Recipe, records_step: str, results: Results) -> list[Unit]:
    if not any(result.values["documents"] for result in results[records_step]):
        raise NoDocumentsError(results)
    return [tokenizer_unit(recipe, results[records_step], results[SAMPLE])]
