"""Collects the evidence of a model folder."""

from dataclasses import replace
from pathlib import Path

from lmcraft.conversion.model_description import describe_model
from lmcraft.errors import RunError, UserError
from lmcraft.folder import ModelFolder
from lmcraft.folder.recognition import read_object
from lmcraft.reports.evidence.audits import read_safety
from lmcraft.reports.evidence.costs import read_energy, read_later_energy
from lmcraft.reports.evidence.datasets import read_datasets
from lmcraft.reports.evidence.evaluations import identify_weights, read_evaluations
from lmcraft.reports.evidence.figure import Records, text
from lmcraft.reports.evidence.missing import find_missing
from lmcraft.reports.evidence.origins import LINEAGE, read_parents, read_quantization
from lmcraft.reports.evidence.privacy import read_guarantee, read_privacy_audit
from lmcraft.reports.evidence.readme import CARD, read_stated
from lmcraft.reports.evidence.record import Architecture, Evidence, Kind, Training
from lmcraft.reports.evidence.training import read_training, read_tuning

CONFIG, ADAPTER = "config.json", "adapter_config.json"
OURS = "lmcraft"  # the type of models that no class of transformers can express, and of such adapters


def collect(folder: ModelFolder | Path) -> Evidence:
    """Everything that a model folder knows about its model.

    Damaged files are noted and left out. The network is not used.
    """
    folder = ModelFolder(Path(folder))
    records = Records(folder)
    weights = identify_weights(folder)
    lineage = records.json(LINEAGE)
    evaluations, outdated = read_evaluations(records, weights)
    safety, outdated_audit = read_safety(records, weights)
    privacy_audit, outdated_privacy = read_privacy_audit(records, weights)
    training = read_training(records)
    evidence = Evidence(
        name=folder.path.resolve().name,
        kind=_kind(folder, training),
        is_adapter=(folder.path / ADAPTER).is_file(),
        architecture=_describe(records),
        license=_stated_license(folder) or (text(lineage.get("license")) if lineage else ""),
        address=text(lineage.get("source")) if lineage else "",
        made_by=text(lineage.get("kind")) if lineage else "",
        created=text(lineage.get("created")) if lineage else "",
        lmcraft_version=text(lineage.get("lmcraft")) if lineage else "",
        lineage_sha256=lineage.sha256 if lineage else "",
        parents=read_parents(lineage),
        datasets=read_datasets(lineage),
        training=training,
        tuning=read_tuning(records),
        evaluations=evaluations,
        outdated=[*outdated, *outdated_audit, *outdated_privacy],
        safety=safety,
        guarantee=read_guarantee(records),
        privacy_audit=privacy_audit,
        energy=read_energy(records),
        later_energy=read_later_energy(records),
        quantization=read_quantization(records),
        damaged=records.damaged,
    )
    return replace(evidence, missing=find_missing(evidence))


def _stated_license(folder: ModelFolder) -> str:
    """The license that people stated in the metadata of the model card."""
    stated = read_stated(folder.path / CARD)
    name = text(stated.get("license"))
    return text(stated.get("license_name")) or name if name == "other" else name


def _kind(folder: ModelFolder, training: Training | None) -> Kind:
    """What the model does, by its files."""
    config, adapter = (read_object(folder.path / name) for name in (CONFIG, ADAPTER))
    is_tuned = training is not None and training.command == "finetune"
    if is_tuned and training is not None and training.objective == "reward":
        return "reward"
    has_head = "SequenceClassification" in str(config.get("architectures")) or adapter.get("task_type") == "SEQ_CLS"
    if not has_head and not folder.labels.is_file():
        return "text-generation"
    names = config.get("id2label")
    is_reward = not folder.labels.is_file() and (
        config.get("num_labels") == 1 or (isinstance(names, dict) and len(names) == 1)
    )
    return "reward" if is_reward else "text-classification"


def _describe(records: Records) -> Architecture | None:
    """The architecture; None if the model, or the base model of an adapter, cannot be opened here."""
    path = records.folder.path
    file = ADAPTER if (path / ADAPTER).is_file() else CONFIG
    config = records.json(file)
    if config is None:
        return None
    try:
        description = describe_model(path, offline=True)
    except (UserError, RunError):
        return None
    kind = text(config.get("peft_type")).lower() if file == ADAPTER else config.get("model_type")
    return Architecture(
        rows=description["architecture"],
        parameters=config.computed("model.parameters", "parameters", description["parameters"]["total"]),
        has_chat_template=description["tokenizer"]["chat_template"] is not None,
        is_portable=kind != OURS,
    )
