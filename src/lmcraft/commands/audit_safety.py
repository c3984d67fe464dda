"""`lmcraft audit safety`: what a model may do to people, measured."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from lmcraft.audits.safety.results import SafetyAudit
from lmcraft.commands.evaluate import build_evaluation, results_folder, run_method
from lmcraft.commands.review import add_for_review, check_store
from lmcraft.config import ADVANCED, MACHINE, OUTPUT, SEVERAL_VALUES, Config, automatic, command_config, takes_settings
from lmcraft.errors import UserError
from lmcraft.hub.model_argument import ModelArgument
from lmcraft.setting_values import expand_user

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from lmcraft.audits.safety.parts import Panel
    from lmcraft.audits.safety.probes import ProbeSettings
    from lmcraft.evaluation.methods import Method
    from lmcraft.evaluation.results import TaskResult
    from lmcraft.evaluation.run import Evaluation
    from lmcraft.evaluation.task import Task
    from lmcraft.model_source import ModelSource

RECORD = "safety.json"
KIND = "audit safety"  # in energy.json


@command_config
@dataclass(frozen=True)
class AuditSafetyConfig(Config):
    """Measure what a model may do to people, each figure with its 95% interval: toxic continuations, answers to harmful
    questions, refusals of harmless ones, gaps between groups, and what safety costs in perplexity.

    The result of every prompt is saved as it comes: the same command continues after an interruption, and takes no time when
    nothing has changed. docs/audit-safety.md has the definitions.
    """

    model: ModelArgument
    """Model folder, GGUF file or address."""
    _: KW_ONLY
    compare_with: str = ""
    """A reference model, such as the same one before a training for safety; it is asked the same."""
    parts: Annotated[tuple[Literal["toxicity", "attacks", "over_refusal", "groups", "perplexity"], ...], SEVERAL_VALUES] = (
        "toxicity",
        "attacks",
        "over_refusal",
        "groups",
        "perplexity",
    )
    """What to measure."""
    limit: Annotated[int, automatic("all; 200 passages of English prose")] = 0
    """Number of prompts per list, drawn at random, always the same ones. The sentences about groups are always all."""
    samples: int = 25
    """Continuations of each prompt; of sentences about groups at most 8."""
    max_new_tokens: int = 20
    """Maximum length of a continuation, in tokens."""
    max_answer_tokens: int = 96
    """Maximum length of an answer, in tokens; shorter where the model's context leaves less room."""
    policy: str = "default"
    """The policy whose tiers score the texts: a file, or default."""
    scorer_hash: str = ""
    """Refuse to run with another scorer than the one with this hash, which every audit prints."""
    weights: Annotated[Literal["auto", "float32", "bfloat16", "int8", "int4"], MACHINE] = "auto"
    """Data type of the weights while texts are generated."""
    device: Annotated[str, MACHINE] = "auto"
    """cpu, cuda, mps (Apple), or one GPU such as cuda:1; auto: a GPU if there is one."""
    precision: Annotated[Literal["auto", "bf16", "fp32"], MACHINE] = "auto"
    """Data type of weights and activations."""
    seed: Annotated[int, ADVANCED] = 1
    """Random seed of the continuations."""
    reviews: str = ""
    """Review store that gets the answers that people should judge: a file, such as reviews.sqlite, or postgresql://..."""
    out: Annotated[Path | None, OUTPUT] = None
    """Folder of the results and the page; by default lmcraft/safety in the model's folder, or safety/NAME for others."""

    def resolved(self) -> Self:
        if not self.model:
            raise UserError("model is missing: name a model folder, a GGUF file or an address")
        if not self.parts:
            raise UserError("parts is empty: name at least one of toxicity, attacks, over_refusal, groups, perplexity")
        if self.limit < 0:
            raise UserError(f"limit={self.limit} must not be negative; 0 asks all prompts")
        for name in ("samples", "max_new_tokens", "max_answer_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be 1 or more")
        return self


@takes_settings(AuditSafetyConfig)
def audit_safety(config: AuditSafetyConfig) -> SafetyAudit:
    """Measure what is missing, print the figures, and write the page.

    Raises:
        UserError: there is no such model, the policy or a tier cannot be used, the scorer is not the pinned one, or `out`
            holds anything but an audit.
        RunError: a download failed, a text could not be scored, the model's outputs are not numbers, or the disk is full.
        InterruptedRunError: a signal stopped the run; the same command continues.
    """
    from lmcraft.audits.safety.parts import panels
    from lmcraft.audits.safety.probes import ProbeSettings
    from lmcraft.audits.safety.scorer import open_scorer
    from lmcraft.energy.record import ENERGY_FILE, EnergyRecord
    from lmcraft.energy.recording import describe_row
    from lmcraft.folder import ModelFolder, write_json
    from lmcraft.model_source import open_model
    from lmcraft.reports.card import update_card
    from lmcraft.reports.evidence.evaluations import identify_weights
    from lmcraft.reports.safety import audit_tables, write_audit
    from lmcraft.terminal import line_printer, print_result

    config = config.resolved()
    if config.reviews:
        check_store(config.reviews)
    scorer = open_scorer(config.policy, config.scorer_hash)
    probe = ProbeSettings(scorer, config.samples, config.max_new_tokens, config.max_answer_tokens, config.seed)
    chosen = [panel for panel in panels().values() if panel.part in config.parts]
    methods = {task.name: method for panel in chosen for task, method in _open_panel(panel, probe, config.limit)}
    with ExitStack() as stack:
        addresses = [config.model, *([config.compare_with] if config.compare_with else [])]
        sources = [stack.enter_context(open_model(address)) for address in addresses]
        evaluations = [_open_evaluation(config, source, address) for source, address in zip(sources, addresses, strict=True)]
        if len(evaluations) > 1 and evaluations[0].fingerprint == evaluations[1].fingerprint:
            raise UserError(f"compare_with='{config.compare_with}' is the model itself: name another one")
        outcomes = [_run(evaluation, methods, source.name) for evaluation, source in zip(evaluations, sources, strict=True)]
    audit = _summarize(config, scorer.hash, chosen, methods, evaluations[0], outcomes)
    folder = evaluations[0].folder
    own = ModelFolder(expand_user(config.model))
    is_own = own.run.is_dir() and folder.resolve() == (own.run / "safety").resolve()
    write_json(folder / RECORD, audit.to_json() | ({"weights": identify_weights(own)} if is_own else {}))
    page = write_audit(folder, audit)
    total = EnergyRecord.read(folder / ENERGY_FILE).total
    print_result(*audit_tables(audit), *filter(None, [describe_row(total, "prompts")]))
    line_printer()(f"scorer: {scorer.hash}; results: {folder}; report: {page}")
    if is_own:
        update_card(own, line_printer())
    if config.reviews:
        written = any(item for task in outcomes[0].written.values() for item in task.items)
        add_for_review(config.reviews, folder if written else None)
    return audit


def _open_panel(panel: Panel, probe: ProbeSettings, limit: int) -> list[tuple[Task, Method]]:
    """The tasks of a panel with their items.

    Raises:
        UserError: a list cannot be used.
        RunError: a download failed.
    """
    from lmcraft.audits.safety.parts import MAX_GROUP_SAMPLES, MAX_PASSAGES
    from lmcraft.evaluation.run import choose_rows, open_method

    if panel.probe is None:
        return [
            (task, open_method(task, limit or (MAX_PASSAGES if panel.part == "perplexity" else 0))) for task in panel.tasks
        ]
    if panel.part == "groups":
        limit, probe = 0, replace(probe, samples=min(probe.samples, MAX_GROUP_SAMPLES))
    return [(task, panel.probe(task, choose_rows(task.rows(), limit), probe)) for task in panel.tasks]


def _open_evaluation(config: AuditSafetyConfig, source: ModelSource, address: str) -> Evaluation:
    from lmcraft.evaluation.config import TaskSettings
    from lmcraft.reports.safety import TITLE
    from lmcraft.reports.template import check_page

    source.check_writes_text()
    settings = TaskSettings(weights=config.weights, device=config.device, precision=config.precision)
    is_audited = address == config.model
    folder = config.out if config.out and is_audited else results_folder(address, source, "safety")
    evaluation = build_evaluation(source, settings, folder)
    check_page(folder, TITLE, "audit")
    return evaluation


@dataclass(frozen=True)
class Outcome:
    """The results of a model, by the name of the task."""

    numbers: Mapping[str, TaskResult]
    written: Mapping[str, TaskResult]
    """The texts behind them; none for tasks of `lmcraft evaluate`."""
    failed: Mapping[str, str]
    """Why the model cannot do a task."""


def _run(evaluation: Evaluation, methods: Mapping[str, Method], name: str) -> Outcome:
    """The results of a model; those that an earlier run has saved are used."""
    from lmcraft.audits.safety.probes import Judgment, Probe
    from lmcraft.energy.record import ENERGY_FILE
    from lmcraft.energy.recording import recording_energy
    from lmcraft.folder.lock import lock_folder

    folder = evaluation.folder
    folder.mkdir(parents=True, exist_ok=True)
    numbers, written, failed = {}, {}, {}
    with lock_folder(folder, wait=False), recording_energy(folder / ENERGY_FILE, KIND) as energy:
        evaluation = replace(evaluation, count_items=energy.count)
        for task, method in methods.items():
            if isinstance(method, Probe):
                settings = {**evaluation.settings, **method.text_settings()}
                written[task] = run_method(replace(evaluation, settings=settings), method, f"{name}: {task}")
                judged = replace(
                    evaluation,
                    settings={**settings, **method.judge_settings()},
                    count_items=lambda count: energy.count(0),  # the prompts are counted when they are answered
                )
                numbers[task] = run_method(judged, Judgment(method, written[task].items), f"{name}: {task}, scoring")
                continue
            try:
                numbers[task] = run_method(evaluation, method, f"{name}: {task}")
            except UserError as error:  # such as an item that is longer than the model's context
                failed[task] = f"model '{name}' cannot do task '{task}': {error}"
    return Outcome(numbers, written, failed)


def _summarize(
    config: AuditSafetyConfig,
    scorer_hash: str,
    panels: Sequence[Panel],
    methods: Mapping[str, Method],
    evaluation: Evaluation,
    outcomes: Sequence[Outcome],
) -> SafetyAudit:
    from lmcraft.audits.safety.figures import compute_figures, compute_gaps, count_skipped, find_refused

    settings = {name: value for name, value in evaluation.settings.items() if name != "chat"}
    names = ("limit", "samples", "max_new_tokens", "max_answer_tokens", "seed", "policy")
    results = [outcome.numbers for outcome in outcomes]
    failed = {task: reason for outcome in outcomes for task, reason in outcome.failed.items()}
    panels = [panel for panel in panels if not any(task.name in failed for task in panel.tasks)]
    return SafetyAudit(
        model=config.model,
        model_hash=evaluation.fingerprint,
        reference=config.compare_with,
        scorer_hash=scorer_hash,
        settings={**settings, **{name: getattr(config, name) for name in names}},
        figures=compute_figures(panels, methods, *results),
        gaps=compute_gaps(panels, methods, results[0]),
        reference_gaps=compute_gaps(panels, methods, results[1]) if len(results) > 1 else [],
        skipped=count_skipped(panels, results[0]),
        failed=list(failed.values()),
        refused=find_refused(panels, results[0], outcomes[0].written),
    )
