"""`lmcraft audit privacy`: what a model gives away about its training data."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

from lmcraft.audits.privacy.results import PrivacyAudit
from lmcraft.config import ADVANCED, MACHINE, OFF, OUTPUT, Config, automatic, command_config, quantity, takes_settings
from lmcraft.errors import RunError, UserError
from lmcraft.quantities import Duration

if TYPE_CHECKING:
    import torch

    from lmcraft.audits.privacy.audit import Findings
    from lmcraft.audits.privacy.runs import AuditedRun

RECORD = "audit.json"
KIND = "audit privacy"  # in energy.json
DEFAULT_CANARIES = 200
DEFAULT_SECONDS = 60.0
SETTINGS = ("documents", "extraction_tokens", "retrain", "canaries", "shadow_models", "seed")  # in the record


@command_config
@dataclass(frozen=True)
class AuditPrivacyConfig(Config):
    """Measure what a model gives away about its training data, and compare that with the epsilon that it claims.

    Attacks on the weights: membership inference, extraction, and canaries if the run has some (--canaries of pretrain). Of a
    model with differential privacy also the private step itself. The exit status is 1 if the audit contradicts the claim.
    docs/privacy-audit.md says what each figure means.
    """

    model: Path
    """Model folder that lmcraft trained."""
    _: KW_ONLY
    data: Path | None = None
    """The dataset that the model was trained on, if it was moved."""
    documents: int = 500
    """Documents that training read, and as many others, to tell apart."""
    extraction_tokens: int = 24
    """Length of a part that counts as extracted, in tokens; at least as many come before it."""
    retrain: bool = False
    """Train a copy with --canaries, as the model was trained, and audit its canaries."""
    canaries: Annotated[int, automatic(f"{DEFAULT_CANARIES} with --retrain")] = 0
    """Canaries of the copy."""
    shadow_models: Annotated[int, OFF] = 0
    """Train so many copies with other coins, and attack with what they know (LiRA, arXiv 2112.03570): for small models."""
    time_limit: Annotated[Duration, quantity("1m")] = Duration(0)
    """Longest that steps of differential privacy are watched; twice."""
    seed: Annotated[int, ADVANCED] = 1
    """Random seed of the documents and of the audit's own draws."""
    device: Annotated[str, MACHINE] = "auto"
    """cpu, cuda, mps (Apple), or one GPU such as cuda:1; auto: a GPU if there is one."""
    out: Annotated[Path | None, OUTPUT] = None
    """Folder of the results, the page and the copies. [default: lmcraft/privacy_audit in the model's folder]"""

    def resolved(self) -> Self:
        for name in ("documents", "extraction_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be 1 or more")
        for name in ("canaries", "shadow_models"):
            if getattr(self, name) < 0:
                raise UserError(f"{name}={getattr(self, name)} must not be negative")
        if self.canaries and not self.retrain:
            raise UserError(f"canaries={self.canaries} are those of a copy: add --retrain, or leave it out")
        return replace(
            self,
            canaries=self.canaries or (DEFAULT_CANARIES if self.retrain else 0),
            time_limit=self.time_limit or Duration(DEFAULT_SECONDS),
        )


@takes_settings(AuditPrivacyConfig)
def audit_privacy(config: AuditPrivacyConfig) -> PrivacyAudit:
    """Attack the model, print the figures, and write the page.

    Raises:
        UserError: no run of lmcraft made the folder, its data are not here or have changed, or `out` holds something else.
        RunError: the audit contradicts the claimed epsilon, or the disk is full.
        InterruptedRunError: a signal stopped the training of a copy; the same command continues it.
    """
    from lmcraft.training.environment import set_up_environment

    set_up_environment()
    from lmcraft.audits.privacy.runs import open_audited_run
    from lmcraft.energy.record import ENERGY_FILE, EnergyRecord
    from lmcraft.energy.recording import describe_row, recording_energy
    from lmcraft.folder import ModelFolder, write_json
    from lmcraft.folder.lock import lock_folder
    from lmcraft.reports.card import update_card
    from lmcraft.reports.privacy_audit import TITLE, privacy_audit_tables, write_privacy_audit
    from lmcraft.reports.template import check_page
    from lmcraft.terminal import line_printer, print_result

    config = config.resolved()
    run = open_audited_run(ModelFolder(config.model), config.data)
    out = config.out or run.folder.privacy_audit
    check_page(out, TITLE, "audit")
    out.mkdir(parents=True, exist_ok=True)
    with lock_folder(out, wait=False), recording_energy(out / ENERGY_FILE, KIND) as energy:
        audit = _audit(config, run, out)
        energy.count(config.documents)
    write_json(out / RECORD, audit.to_json())
    page = write_privacy_audit(out, audit)
    total = EnergyRecord.read(out / ENERGY_FILE).total
    print_result(*privacy_audit_tables(audit), *filter(None, [describe_row(total, "documents")]))
    line_printer()(f"results: {out / RECORD}; report: {page}")
    if out == run.folder.privacy_audit:
        update_card(run.folder, line_printer())
    if failure := audit.describe_failure():
        raise RunError(failure)
    return audit


def _audit(config: AuditPrivacyConfig, run: AuditedRun, out: Path) -> PrivacyAudit:
    from lmcraft.audits.privacy.audit import NO_TEXT, Findings, audit_step
    from lmcraft.audits.privacy.one_run import CONFIDENCE
    from lmcraft.machine import choose_machine
    from lmcraft.reports.evidence.evaluations import identify_weights

    machine = choose_machine(config.device, "fp32")
    findings = _attack_weights(config, run, out, machine.device) if run.writes_text else Findings(notes=[NO_TEXT])
    step = audit_step(
        run, choose_machine(config.device, run.config.precision), seconds=float(config.time_limit), seed=config.seed
    )
    return PrivacyAudit(
        model=str(config.model),
        weights=identify_weights(run.folder),
        claim=run.claim,
        confidence=CONFIDENCE,
        figures=findings.figures,
        bounds=[*findings.bounds, *(step.bounds if step else ())],
        checks=step.checks if step else (),
        notes=findings.notes,
        settings={name: getattr(config, name) for name in SETTINGS},
    )


def _attack_weights(config: AuditPrivacyConfig, run: AuditedRun, out: Path, device: torch.device) -> Findings:
    import torch

    from lmcraft.audits.privacy.audit import attack_canaries, attack_documents, attack_with_shadows, train_with_canaries
    from lmcraft.model.storage import build_model, load_model
    from lmcraft.model_source import open_model
    from lmcraft.terminal import line_printer

    options = {"documents": config.documents, "seed": config.seed}
    with open_model(str(run.folder.path)) as source:
        model = build_model(source.checkpoint, dtype=torch.float32, device=device)
        findings = attack_documents(run, model, source.tokenizer, extraction_tokens=config.extraction_tokens, **options)
    if config.retrain:
        run = train_with_canaries(run, config.canaries, out, line_printer())
        model = load_model(run.folder.path, dtype=torch.float32, device=device)
    findings.add(attack_canaries(run, model))
    if config.shadow_models:
        findings.add(attack_with_shadows(run, model, config.shadow_models, out, line_printer(), **options))
    return findings
