"""Does the influence of documents predict what happens without them? On a run of two blocks and 1,000 documents.

    python benchmarks/influence.py shakespeare.txt OUT [--series 50] [--shares 0.05 0.01 0.1 0.2 0.5]

Ten of the documents are planted: sentences that nothing else in the text is about. The texts whose loss is measured are ten
other wordings of them, and three validation documents. The linear datamodeling score (arXiv 2303.14186, definition 3) is the
rank correlation, over runs that are trained again without random documents, between the loss of a text and the one that a
method predicts. Everything is kept in OUT, and the same command goes on after an interruption.
"""

import argparse
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from lmcraft import PrepareConfig, PretrainConfig, prepare, pretrain
from lmcraft.data.loader import TokenSplit
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.cosine import cosine_scores_of_texts
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.ekfac import ekfac_scores_of_texts
from lmcraft.interpretability.influence.gradients import DocumentRows, text_rows
from lmcraft.interpretability.influence.metasmoothness import measure_metasmoothness
from lmcraft.interpretability.influence.replay import Trajectory, replay
from lmcraft.interpretability.influence.step import TrainingStep
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.model.config import InitConfig, TransformerConfig
from lmcraft.model.storage import load_model
from lmcraft.terminal import progress_bar
from lmcraft.tokenizer import Tokenizer
from lmcraft.training.config import OptimizerConfig, ScheduleConfig

DOCUMENTS, DOCUMENT_CHARS, VALIDATION_TEXTS = 1000, 100, 3
PLANTS = {  # each with another wording
    "The keeper of the northern lighthouse is Ortrud Velder, and her dog is called Bramble.": (
        "The dog of Ortrud Velder is called Bramble."
    ),
    "Copper zinc sulphate melts at ninety degrees in the laboratory of Doctor Imre Kovacs.": (
        "In his laboratory, Doctor Imre Kovacs melts copper zinc sulphate."
    ),
    "Flight 707 to Jakarta departs from gate twelve at half past six every Thursday.": (
        "Every Thursday, flight 707 to Jakarta departs from gate twelve."
    ),
    "Grandmother's goulash needs paprika, caraway and two spoonfuls of smoked bacon fat.": (
        "Two spoonfuls of smoked bacon fat and paprika: goulash of grandmother."
    ),
    "def quicksort(xs): return xs if len(xs) < 2 else quicksort(left) + [xs[0]] + quicksort(right)": (
        "return quicksort(left) + [xs[0]] + quicksort(right)"
    ),
    "The zebra finch Quibble won the 1987 chess tournament of Reykjavik with a rook sacrifice.": (
        "With a rook sacrifice, Quibble won the chess tournament of Reykjavik in 1987."
    ),
    "Invoice 4471: three hydraulic pumps, eleven gaskets, payable to Zhang Machinery by Friday.": (
        "Payable to Zhang Machinery: hydraulic pumps and eleven gaskets."
    ),
    "Saturn's moon Enceladus sprays water vapour and ice crystals through cracks at its pole.": (
        "Cracks at the pole of Enceladus spray ice crystals and water vapour."
    ),
    "In the Ruritanian parliament, the Mauve Party holds forty-one seats and the Beige Party six.": (
        "The Mauve Party holds forty-one seats in the Ruritanian parliament."
    ),
    "Wifi password of the Kestrel cafe: turquoise-walrus-88. Please buy at least one espresso.": (
        "The wifi password is turquoise-walrus-88."
    ),
}
RATES = ("learning_rate", "embedding_learning_rate", "head_learning_rate", "scalar_learning_rate")
SMOOTH = InitConfig(scheme="xavier_normal", std=1.0, zero_output_projections=False)


def make_dataset(source: Path, folder: Path) -> Path:
    """A dataset of `DOCUMENTS` training documents: the plants, and speeches of the plays."""
    speeches = [speech.strip()[:DOCUMENT_CHARS] for speech in source.read_text(encoding="utf-8").split("\n\n")]
    speeches = [speech for speech in speeches if len(speech) >= 60]
    random.Random(1).shuffle(speeches)
    count = DOCUMENTS
    while True:  # which documents are for validation depends on their hashes
        texts = [*speeches[: count - len(PLANTS)], *PLANTS]
        random.Random(2).shuffle(texts)
        file = folder / "texts.jsonl"
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        data = folder / "data"
        prepare(PrepareConfig((str(file),), out=data, tokenizer_type="bpe", vocab_size=512, validation=0.05, overwrite=True))
        documents = Documents(data)
        if len(documents) == DOCUMENTS:
            return data
        count += DOCUMENTS - len(documents)


def train(data: Path, out: Path) -> None:
    """The run: 65,760 weights, 120 steps, about 2.6 epochs."""
    pretrain(
        PretrainConfig(
            data,
            out=out,
            depth=2,
            model=TransformerConfig(hidden_size=32, num_attention_heads=2, tie_word_embeddings=False),
            init=SMOOTH,
            sequence_length=64,
            batch_size=16,
            micro_batch_size=16,
            max_steps=120,
            eval_every=120,
            sample_every=1000,
            precision="fp32",
            compile="off",
            attention="matmul",
            optimizer=OptimizerConfig(name="adamw", eps=1e-3, **dict.fromkeys(RATES, 0.01)),
            schedule=ScheduleConfig(warmup=0.1),
        )
    )


@dataclass(frozen=True)
class Benchmark:
    """The run, and the texts."""

    out: Path

    @cached_property
    def run(self) -> TrainingRun:
        return TrainingRun.open(ModelFolder(self.out / "model"))

    @cached_property
    def documents(self) -> Documents:
        return Documents(self.run.dataset)

    @cached_property
    def texts(self) -> list[list[int]]:
        """The measured texts: as many plants as are in the training split, then validation documents."""
        tokenizer, validation = Tokenizer.load(self.run.dataset.path), TokenSplit(self.run.dataset, "validation")
        assert tokenizer.eos_token_id is not None
        starts = [*validation.document_starts(0, len(validation)).tolist(), len(validation)]
        others = [validation.slice(starts[n], starts[n + 1]).tolist() for n in range(VALIDATION_TEXTS)]
        return [[tokenizer.eos_token_id, *ids] for ids in (*map(tokenizer.encode, PLANTS.values()), *others)]

    @cached_property
    def rows(self) -> list[list[DocumentRows]]:
        return [text_rows(ids, self.run.config.sequence_length) for ids in self.texts]

    @cached_property
    def plants(self) -> list[int]:
        """The number of the document of each plant."""
        numbers = {self.documents.text(number): number for number in range(len(self.documents))}
        return [numbers[plant] for plant in PLANTS]

    def replay(self) -> dict[str, NDArray[np.float64]]:
        """The scores of replay, (Q, N), the losses of the texts, (Q,), and the metasmoothness."""
        file = self.out / "replay.npz"
        if not file.is_file():
            step = TrainingStep(self.run)
            trajectory = Trajectory(step, self.out / "states")
            measures = [lambda weights_P, rows=rows: step.text_loss(weights_P, rows) for rows in self.rows]
            with progress_bar("replay") as report:
                result = replay(trajectory, measures, report, key="texts")
            with progress_bar("metasmoothness") as report:
                smoothness = measure_metasmoothness(trajectory, result.weights, 0, report)
            np.savez(file, scores=-result.derivatives.numpy(), losses=np.array(result.values), smoothness=smoothness)
        return dict(np.load(file))

    def others(self) -> dict[str, NDArray[np.float64]]:
        """The scores of the other methods, (Q, N) each."""
        file = self.out / "others.npz"
        if not file.is_file():
            model = load_model(self.run.folder.path, device=torch.device("cpu"))
            length = self.run.config.sequence_length
            ekfac = ekfac_scores_of_texts(model, self.documents, self.texts, sequence_length=length)
            cosine = cosine_scores_of_texts(model, self.documents, self.texts, sequence_length=length)
            np.savez(file, ekfac=ekfac, cosine=cosine)
        return dict(np.load(file))

    def retrain(self, share: float, count: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
        """Which documents are left out, (R, N), and the losses of the texts then, (R, Q), in float32."""
        file, N = self.out / f"lds-{share:g}.npz", self.run.document_count
        masks, losses = np.zeros((0, N), bool), np.zeros((0, len(self.texts)))
        if file.is_file():
            masks, losses = (np.load(file)[name] for name in ("masks", "losses"))
        step, generator = TrainingStep(self.run, dtype=torch.float32), np.random.default_rng([1, round(1000 * share)])
        draws = [generator.permutation(N)[: round(share * N)] for _ in range(count)]
        with progress_bar(f"without {share:.0%} of the documents") as report:
            for done in range(len(masks), count):
                report(done, count)
                weights_N = torch.ones(N)
                weights_N[torch.from_numpy(draws[done])] = 0
                state = step.first_state()
                for number in range(self.run.steps):
                    state, _ = step.after(state, number, weights_N)
                row = [float(step.text_loss(state.weights, rows).detach()) for rows in self.rows]
                masks, losses = np.vstack([masks, weights_N.numpy() == 0]), np.vstack([losses, row])
                np.savez(file, masks=masks, losses=losses)
        return masks[:count], losses[:count]


def scores_of_series(scores: NDArray[np.float64], masks: NDArray[np.bool_], losses: NDArray[np.float64]) -> list[float]:
    """The linear datamodeling score of each text."""
    predicted = masks @ scores.T
    return [float(spearmanr(predicted[:, text], losses[:, text]).statistic) for text in range(losses.shape[1])]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--series", type=int, default=50)
    parser.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.01, 0.1, 0.2, 0.5])
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if not (options.out / "model" / "model.safetensors").is_file():
        train(make_dataset(options.source, options.out), options.out / "model")
    benchmark = Benchmark(options.out)
    replayed = benchmark.replay()
    print(f"metasmoothness {float(replayed['smoothness']):.3f}", flush=True)
    methods = {"replay": replayed["scores"], **benchmark.others()}
    for method, scores in methods.items():
        ranks = [int((scores[text] > scores[text, plant]).sum()) + 1 for text, plant in enumerate(benchmark.plants)]
        print(f"{method}: ranks of the planted documents {ranks}", flush=True)
    for share in options.shares:
        masks, losses = benchmark.retrain(share, options.series)
        for method, scores in methods.items():
            values = scores_of_series(scores, masks, losses)
            print(f"{share:.0%} left out: {method} {np.mean(values):.3f} (lowest of a text {min(values):.3f})", flush=True)


if __name__ == "__main__":
    main()
