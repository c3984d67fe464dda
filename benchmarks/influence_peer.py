"""EK-FAC beside kronfluence, by the authors of arXiv 2308.03296, on the run of `influence.py`.

    pip install kronfluence
    python benchmarks/influence.py shakespeare.txt OUT
    python benchmarks/influence_peer.py OUT

Both get the same model, rows, texts and linear layers, and draw their own labels. Printed are the CPU time of each on one
thread, the rank correlation of their scores, and that of ours with ours from another seed.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from influence import Benchmark, scores_of_series
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments, ScoreArguments
from kronfluence.task import Task
from kronfluence.utils.dataset import DataLoaderKwargs
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn

from lmcraft.data.loader import IGNORE_INDEX
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.ekfac import ekfac_scores_of_texts
from lmcraft.interpretability.influence.gradients import DocumentRows, document_batches, text_rows, wide_copy
from lmcraft.model.linear import Linear
from lmcraft.model.storage import load_model
from lmcraft.model.transformer import Transformer
from lmcraft.processor import cpu_name

BATCH_ROWS = 64
Row = dict[str, Tensor]


class NextTokenTask(Task):  # type: ignore[misc]  # kronfluence has no types
    """The losses of a language model, summed over a row."""

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        self._layers = list(layers)

    def compute_train_loss(self, batch: Row, model: nn.Module, sample: bool = False) -> Tensor:
        logits = model(batch["input_ids"]).flatten(0, 1)
        targets = batch["targets"].flatten()
        if sample:
            drawn = torch.multinomial(logits.detach().softmax(-1), 1).flatten()
            targets = torch.where(targets == IGNORE_INDEX, IGNORE_INDEX, drawn)
        return F.cross_entropy(logits, targets, ignore_index=IGNORE_INDEX, reduction="sum")

    def compute_measurement(self, batch: Row, model: nn.Module) -> Tensor:
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self) -> list[str]:
        return self._layers

    def get_attention_mask(self, batch: Row) -> Tensor:
        return batch["targets"] != IGNORE_INDEX


def plain_copy(model: Transformer) -> tuple[nn.Module, list[str]]:
    """A copy whose linear layers are torch's, and the names of those of its blocks."""
    copy = wide_copy(model).requires_grad_()
    names = []
    for name, module in copy.named_modules():
        if isinstance(module, Linear):
            module.__class__ = nn.Linear  # kronfluence knows no subclasses
            names += [name] if name.startswith("layers.") else []
    return copy, names


def padded(rows: DocumentRows, row: int, length: int) -> Row:
    """One row, padded to a length."""
    size = length - rows.input_ids.shape[1]
    return {
        "input_ids": F.pad(rows.input_ids[row], (0, size)),
        "targets": F.pad(rows.targets[row], (0, size), value=IGNORE_INDEX),
    }


def kronfluence_scores(
    model: Transformer, documents: Documents, texts: Sequence[Sequence[int]], *, sequence_length: int
) -> NDArray[np.float64]:
    """The scores of all documents for each text, (Q, N), with kronfluence's defaults for EK-FAC."""
    owners, rows = [], []
    for batch in document_batches(documents, range(len(documents)), sequence_length):
        owners += batch.owners
        rows += [padded(batch, number, sequence_length) for number in range(len(batch.owners))]
    queries = [padded(part, 0, sequence_length) for ids in texts for part in text_rows(ids, sequence_length)]
    assert len(queries) == len(texts), "a text is longer than a row"
    copy, layers = plain_copy(model)
    task = NextTokenTask(layers)
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer(
            "peer", prepare_model(copy, task), task, cpu=True, output_dir=folder, disable_tqdm=True, disable_model_save=True
        )
        analyzer.set_dataloader_kwargs(DataLoaderKwargs(num_workers=0))
        data: Any = rows
        analyzer.fit_all_factors("ekfac", data, per_device_batch_size=BATCH_ROWS, factor_args=FactorArguments("ekfac"))
        analyzer.compute_pairwise_scores(
            "scores",
            factors_name="ekfac",
            query_dataset=queries,
            train_dataset=data,
            per_device_query_batch_size=len(queries),
            per_device_train_batch_size=BATCH_ROWS,
            score_args=ScoreArguments(damping_factor=None),  # a tenth of the mean eigenvalue
        )
        products = analyzer.load_pairwise_scores("scores")["all_modules"].double().numpy()
    scores = np.zeros((len(texts), len(documents)))
    for row, products_of_text in zip(scores, products, strict=True):
        np.add.at(row, owners, products_of_text)
    return scores


def timed(compute: Callable[[], NDArray[np.float64]]) -> tuple[NDArray[np.float64], float]:
    """What a function returns, and the CPU time that it takes, in seconds."""
    begin = time.process_time()
    return compute(), time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder of benchmarks/influence.py")
    parser.add_argument("--shares", type=float, nargs="*", default=[0.05])
    options = parser.parse_args()
    torch.set_num_threads(1)
    benchmark = Benchmark(options.out)
    model = load_model(benchmark.run.folder.path, device=torch.device("cpu"))
    documents, texts, length = benchmark.documents, benchmark.texts, benchmark.run.config.sequence_length
    ours, seconds = timed(lambda: ekfac_scores_of_texts(model, documents, texts, sequence_length=length))
    again = ekfac_scores_of_texts(model, documents, texts, sequence_length=length, seed=1)
    theirs, peer_seconds = timed(lambda: kronfluence_scores(model, documents, texts, sequence_length=length))
    print(f"{len(documents):,} documents, {len(texts)} texts, one thread of {cpu_name()}")
    print(f"CPU time: lmcraft {seconds:.1f} s, kronfluence {peer_seconds:.1f} s")
    for name, other in (("kronfluence", theirs), ("another seed", again)):
        values = [spearmanr(a, b).statistic for a, b in zip(ours, other, strict=True)]
        print(f"rank correlation of ours with {name}: mean {np.mean(values):.4f}, lowest {min(values):.4f}")
    for share in options.shares:
        file = options.out / f"lds-{share:g}.npz"
        if file.is_file():
            series = np.load(file)
            for name, scores in (("lmcraft", ours), ("kronfluence", theirs)):
                values = scores_of_series(scores, series["masks"], series["losses"])
                print(f"{share:.0%} left out, {len(series['masks'])} runs: {name} {np.mean(values):.3f}")


if __name__ == "__main__":
    main()
