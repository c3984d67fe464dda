"""The guarantee of differential privacy that a model has, and what an audit of it found."""

from lmcraft.folder.names import RUN
from lmcraft.reports.evidence.figure import Figure, Record, Records, number, text
from lmcraft.reports.evidence.record import DifferentialPrivacy, PrivacyAudit

GUARANTEE, AUDIT = f"{RUN}/privacy.json", f"{RUN}/privacy_audit/audit.json"
UNITS = ("document", "example")
MECHANISM = {
    "sampling_rate": "probability that a unit is in a step's batch",
    "noise_multiplier": "noise multiplier",
    "max_grad_norm": "largest norm of a unit's gradient",
    "steps": "steps with noise",
    "truncation_delta": "part of delta that pays for batches of limited size",
}


def read_guarantee(records: Records) -> DifferentialPrivacy | None:
    """The guarantee; None if the model was trained without one."""
    record = records.json(GUARANTEE)
    if record is None:
        return None
    epsilon = record.figure("privacy.epsilon", "epsilon", "epsilon", higher_is_better=False)
    delta = record.figure("privacy.delta", "delta", "delta", higher_is_better=False)
    unit = text(record.get("unit"))
    if epsilon is None or delta is None or unit not in UNITS:
        records.note(GUARANTEE, "it has no unit, epsilon and delta")
        return None
    details = (record.figure(f"privacy.{name}", title, name) for name, title in MECHANISM.items())
    return DifferentialPrivacy(
        unit=unit,
        epsilon=epsilon,
        delta=delta,
        target_epsilon=record.figure("privacy.target_epsilon", "budget of epsilon", "target_epsilon"),
        units=record.figure("privacy.units", "units in the training data", "units"),
        figures=[figure for figure in details if figure is not None],
        accountant=text(record.get("accountant")),
        file=GUARANTEE,
    )


def read_privacy_audit(records: Records, weights: str) -> tuple[PrivacyAudit | None, list[str]]:
    """The audit of these weights; and its file if it is that of other weights."""
    record = records.json(AUDIT)
    if record is None:
        return None, []
    if record.get("weights") not in (None, weights):
        return None, [AUDIT]
    passed = record.get("passed")
    figures = ((text(record.get("figures", n, "title")), _figure(record, n)) for n in range(len(record.array("figures"))))
    return PrivacyAudit(
        figures=[(title, figure) for title, figure in figures if figure is not None],
        claimed=record.figure("privacy_audit.claimed", "claimed epsilon", "claimed_epsilon"),
        audited=record.figure("privacy_audit.audited", "lower bound on epsilon", "audited_epsilon"),
        confidence=number(record.get("confidence")),
        threat_model=text(record.get("threat_model")),
        passed=passed if isinstance(passed, bool) else None,
        file=AUDIT,
    ), []


def _figure(record: Record, index: int) -> Figure | None:
    name, count = text(record.get("figures", index, "name")), record.get("figures", index, "count")
    details = {"count": count if isinstance(count, int) else None}
    return record.metric(f"privacy_audit.{index}.{name}", name, "figures", index, **details)
