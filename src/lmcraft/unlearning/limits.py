"""What the tests of a forgetting do not prove, in sentences."""

from collections.abc import Iterator

from lmcraft.audits.privacy.results import Statement
from lmcraft.unlearning.corpus import MAX_TESTED, TESTED_TOKENS
from lmcraft.unlearning.results import Forgetting

MIN_TEXTS = 20  # with fewer, the interval of an attack is wide
MAX_NAMED = 10  # numbers in a sentence


def list_limits(
    result: Forgetting, *, has_probes: bool, has_canaries: bool, is_tested_in_part: bool, retained: str
) -> list[Statement]:
    """The sentences that hold for a result.

    Args:
        result: of the tests.
        has_probes: whether questions were asked.
        has_canaries: whether the run had canaries, whose beginnings are passages of training documents.
        is_tested_in_part: whether the tests read only the beginnings of texts, or only some.
        retained: where the texts are from that the approximate method keeps.
    """
    limits = list(_limits(result, has_probes, has_canaries, retained))
    if is_tested_in_part:
        values = {"texts": MAX_TESTED, "tokens": TESTED_TOKENS}
        limits.append(Statement("The tests read the first {tokens} tokens of each text, and at most {texts} texts.", values))
    return limits


def _limits(result: Forgetting, has_probes: bool, has_canaries: bool, retained: str) -> Iterator[Statement]:
    if result.method == "approximate":
        yield Statement(
            "The weights are those of the original model, changed by {steps} steps. No test can show that nothing is left "
            "in them: only training without the texts does that.",
            {"steps": result.steps},
        )
        yield Statement(
            "What the model says was kept on {source}; elsewhere it may have changed more.", {"source": retained}
        )
        if "retrained" not in result.texts[0].losses:
            yield Statement(
                "There is no retrained model to compare with, so the tests only compare with unread texts, which may be "
                "easier or harder."
            )
        elif len(result.texts) < MIN_TEXTS:
            yield Statement(
                "{count} texts are few: the intervals are wide, and an attack could be somewhat better than they show.",
                {"count": len(result.texts)},
            )
    if any(text.number is None for text in result.texts):
        yield Statement(
            "A text that is in no training document may be known from others: what the model learned it from stays."
        )
    if result.similar:
        named = ", ".join(f"{number}" for number, _ in result.similar[:MAX_NAMED])
        yield Statement(
            "{count} other training documents share text with a forgotten one, and the model still knows them: {numbers}.",
            {"count": len(result.similar), "numbers": named},
        )
    if not has_probes and result.method == "approximate":
        yield Statement(
            "No questions in other words or over several steps were asked: give some with --probes (docs/unlearning.md)."
        )
    if result.method == "retrain" and (result.proof.same_losses or 0) < (result.proof.first_read or 0):
        yield Statement(
            "The losses of both runs differ from step {step} on, before a forgotten text was read: another version or kind "
            "of device computed the original run.",
            {"step": (result.proof.same_losses or 0) + 1},
        )
    if has_canaries:
        yield Statement("The run had canaries, which begin with passages of training documents, maybe of forgotten ones.")
    yield Statement(
        "The tokenizer, and every setting that was chosen with the texts in the data, are kept; so is the space of each "
        "document, where end tokens stand."
        if result.method == "retrain"
        else "The tokenizer and the settings are kept."
    )
    yield Statement(
        "The original model, its checkpoints and copies, models made from it and the dataset folder still have the texts: "
        "delete them. Whoever has both models can find out what was forgotten."
    )
