"""Continued pretraining: cross-entropy of every token of a dataset folder."""

from pathlib import Path

import torch

from lmcraft import PrepareConfig, prepare
from lmcraft.finetuning.run import FinetuneRun
from lmcraft.model.transformer import Transformer
from tests.finetuning.objectives.conformance import ObjectiveConformance
from tests.tiny import TEXT


class TestContinued(ObjectiveConformance):
    name = "continued"
    rows = []  # noqa: RUF012

    def data(self, folder: Path) -> Path:
        (folder / "text.txt").write_text(TEXT[:3000])
        settings = {"tokenizer": str(folder / "base"), "validation": 0.2, "document_chars": 100}
        prepare(PrepareConfig((str(folder / "text.txt"),), out=folder / "dataset", **settings))  # type: ignore[arg-type]
        return folder / "dataset"

    def expected_loss(self, model: Transformer, run: FinetuneRun, start: Transformer) -> float:
        total = 0.0
        for row in run.data.training.ordered():  # type: ignore[attr-defined]
            for document in range(row.document_ids[-1] + 1):
                mask = row.document_ids == document
                ids, targets = (torch.from_numpy(array[mask]) for array in (row.input_ids, row.targets))
                if (targets >= 0).all():
                    total -= float(model(ids[None])[0].log_softmax(-1).gather(1, targets[:, None]).sum())
        return total
