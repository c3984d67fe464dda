"""What a model's evidence lacks: what was not measured, and what nobody stated."""

from collections.abc import Iterator

from lmcraft.reports.evidence.record import Evidence, Missing

SAFETY_PARTS = {
    "toxicity": "toxic continuations",
    "attacks": "answers to harmful questions",
    "over_refusal": "refusals of harmless questions",
    "groups": "gaps between groups of people",
    "perplexity": "what safety costs in perplexity",
}


def find_missing(evidence: Evidence) -> list[Missing]:
    """What was not measured or stated, in the order of a card's sections."""
    sections = (
        _origin(evidence),
        _data(evidence),
        _evaluation(evidence),
        _safety(evidence),
        _privacy(evidence),
        _energy(evidence),
    )
    return [Missing(id, sentence) for section in sections for id, sentence in section]


def _origin(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if not evidence.license:
        yield "license", "The license of the weights: nobody has stated one."
    if not evidence.lineage_sha256:
        yield "lineage", "What the model was made from: the folder has no lineage."


def _data(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if not evidence.datasets:
        yield "data", "The training data: the folder does not record what the weights were trained on."
        return
    unlicensed = [
        source.name or dataset.name
        for dataset in evidence.datasets
        for source in dataset.sources
        if not source.license and not dataset.licenses
    ]
    if unlicensed or not any(dataset.sources for dataset in evidence.datasets):
        yield "data.licenses", "The licenses of the training data: not all sources state one."
    if not any(dataset.languages for dataset in evidence.datasets):
        yield "data.languages", "The languages of the training data: the preparation did not tell them apart."
    if not any(dataset.decontaminated for dataset in evidence.datasets):
        yield "data.decontamination", "Test items in the training data: the preparation did not look for them."


def _evaluation(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if not evidence.evaluations:
        yield "evaluation", "Quality on tasks: `lmcraft evaluate` has not measured these weights."
    elif any(result.overlap is None for result in evidence.evaluations):
        yield "evaluation.overlap", "Whether the training data contain the items of the tasks: not checked for all of them."
    if evidence.kind == "text-classification" and not any(
        figure.name == "ece" for result in evidence.evaluations for figure in result.figures
    ):
        yield "evaluation.calibration", "Whether the classifier's probabilities mean what they say: not measured."


def _safety(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if evidence.kind != "text-generation":
        yield "safety", "Safety and fairness: lmcraft audits only models that write text."
        return
    if evidence.safety is None:
        yield "safety", "Safety (toxicity, harmful answers, refusals, groups): `lmcraft audit safety` has not been run."
        return
    for part, title in SAFETY_PARTS.items():
        if part not in evidence.safety.parts:
            yield f"safety.{part}", f"Safety: {title}."


def _privacy(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if evidence.privacy_audit is None:
        yield "privacy", "What the model gives away about its training data: `lmcraft audit privacy` has not been run."


def _energy(evidence: Evidence) -> Iterator[tuple[str, str]]:
    if evidence.energy is None:
        yield "energy", "Energy and emissions of the training: not counted."
    if evidence.parents:
        yield "energy.parents", "Energy and emissions of the models that this one was made from: not in the figures."
