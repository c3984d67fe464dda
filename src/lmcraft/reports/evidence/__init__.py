"""What a model folder knows about its model, as figures that name the file they come from.

The report and the model card draw the same evidence, and nothing else reads these files for people.

| file | contents |
|---|---|
| `record` | the types: `Evidence` and its parts |
| `figure` | `Figure`, a number with its file, and `Records`, which reads the files |
| `collection` | `collect`: the evidence of a folder |
| `datasets` | the data that the model was trained on, from `lineage.json` |
| `training` | the run: settings, curve, and what fine-tuning changed |
| `evaluations` | results of `lmcraft evaluate`: written beside its items, and read again |
| `audits` | the safety audit |
| `privacy` | the guarantee of differential privacy, and its audit |
| `costs` | energy and emissions |
| `origins` | the models that it was made from, and what quantization cost |
| `readme` | the parts of a README.md: metadata, people's text, the part that lmcraft writes |
| `missing` | what was not measured, and what nobody stated |
"""

from lmcraft.reports.evidence.collection import collect
from lmcraft.reports.evidence.figure import Figure
from lmcraft.reports.evidence.record import (
    Architecture,
    Change,
    Dataset,
    DifferentialPrivacy,
    EnergyUse,
    Evidence,
    Missing,
    Parent,
    PrivacyAudit,
    Quantization,
    Safety,
    SafetyGap,
    Source,
    Stage,
    TaskEvaluation,
    Training,
)

__all__ = [
    "Architecture",
    "Change",
    "Dataset",
    "DifferentialPrivacy",
    "EnergyUse",
    "Evidence",
    "Figure",
    "Missing",
    "Parent",
    "PrivacyAudit",
    "Quantization",
    "Safety",
    "SafetyGap",
    "Source",
    "Stage",
    "TaskEvaluation",
    "Training",
    "collect",
]
