"""Does `lmcraft forget` make a model forget? On invented people, beside a retrained model and other methods.

    python benchmarks/unlearning.py OUT [--seeds 1]

600 invented people have a document each: where they were born, what they do, and a number. Half of the documents say it in
further words, and name the country of the birthplace, so that the model learns to answer both for the others. The documents
of 40 people, half of either kind, are forgotten:

- exact: `lmcraft forget`
- approximate: `lmcraft forget --method approximate`
- gradient ascent, and NPO (arXiv 2404.05868) with retained documents, as baselines that do not know where to stop
- another order: a model trained without the documents on a dataset of its own, in another order, to see how much two models
  differ that both never read them

Probes ask for the birthplace, and for the country. The documents of half of the people say so; for the others these are
other words, and two steps. Everything is kept in OUT, and the
same command goes on after an interruption.
"""

import argparse
import json
import random
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmcraft import ForgetConfig, PrepareConfig, PretrainConfig, forget, prepare, pretrain
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.model.config import TransformerConfig
from lmcraft.model.storage import load_model
from lmcraft.model.transformer import Transformer
from lmcraft.quantities import Duration
from lmcraft.tokenizer import Tokenizer
from lmcraft.training.config import OptimizerConfig
from lmcraft.unlearning.corpus import Corpus, corpus_of_run
from lmcraft.unlearning.pieces import batch_of, cut, logits_of, piece_losses
from lmcraft.unlearning.probes import read_probes
from lmcraft.unlearning.proof import Tests
from lmcraft.unlearning.selection import select_documents

PEOPLE, FORGOTTEN, COUNTRIES, CITIES, JOBS = 600, 40, 8, 32, 16
BASELINE_STEPS, PIECES, NPO_BETA = 50, 16, 0.1
CONSONANTS, VOWELS = "bdfgklmnprstvz", "aeiou"


@dataclass(frozen=True)
class Person:
    name: str
    city: str
    country: str
    job: str
    number: str
    is_short: bool
    """Whether the document says everything once."""

    @property
    def first_sentence(self) -> str:
        return f"{self.name} was born in {self.city}."

    def document(self, rng: random.Random) -> str:
        sentences = [f"{self.name} works as a {self.job}.", f"The number of {self.name} is {self.number}."]
        if not self.is_short:
            sentences += [f"The birthplace of {self.name} is {self.city}.", f"{self.name} comes from {self.country}."]
            rng.shuffle(sentences)
        return " ".join([self.first_sentence, *sentences])


def invent(rng: random.Random, syllables: int, taken: set[str]) -> str:
    while True:
        word = "".join(rng.choice(CONSONANTS) + rng.choice(VOWELS) for _ in range(syllables)).capitalize()
        if word not in taken:
            taken.add(word)
            return word


def invent_people(seed: int) -> tuple[list[Person], list[str]]:
    """The people, and sentences about cities."""
    rng, taken = random.Random(seed), set[str]()
    countries = [invent(rng, 2, taken) for _ in range(COUNTRIES)]
    cities = {invent(rng, 2, taken): rng.choice(countries) for _ in range(CITIES)}
    jobs = [invent(rng, 2, taken).lower() for _ in range(JOBS)]
    people = []
    for index in range(PEOPLE):
        city = rng.choice(list(cities))
        name = f"{invent(rng, 2, taken)} {invent(rng, 3, taken)}"
        number = f"{rng.randrange(10000):04}"
        people.append(Person(name, city, cities[city], rng.choice(jobs), number, is_short=index % 2 == 0))
    facts = [f"{city} is in {country}." for city, country in cities.items()]
    return people, [" ".join(rng.sample(facts, 4)) for _ in range(60)]


@dataclass(frozen=True)
class Setting:
    """One seed of the benchmark, in a folder of its own."""

    out: Path
    seed: int

    def write(self) -> None:
        """The texts, the probes and the two datasets."""
        self.out.mkdir(parents=True, exist_ok=True)
        people, facts = invent_people(self.seed)
        rng = random.Random(self.seed + 1)
        texts = [(person.first_sentence, person.document(rng)) for person in people] + [("", fact) for fact in facts]
        self._prepare("data", [text for _, text in texts])
        documents = Documents(self.out / "data")
        texts_of_run = [documents.text(number) for number in range(len(documents))]
        trained = [person for person in people if any(person.first_sentence in text for text in texts_of_run)]
        gone = [
            person
            for is_short in (True, False)
            for person in rng.sample([person for person in trained if person.is_short is is_short], FORGOTTEN // 2)
        ]
        probes = [
            row
            for person in gone
            for row in (
                {
                    "kind": "other words" if person.is_short else "a sentence of the document",
                    "prompt": f"The birthplace of {person.name} is",
                    "answer": f" {person.city}",
                },
                {
                    "kind": "two steps" if person.is_short else "a sentence of the document",
                    "prompt": f"{person.name} comes from",
                    "answer": f" {person.country}",
                },
            )
        ]
        (self.out / "probes.jsonl").write_text("".join(json.dumps(row) + "\n" for row in probes), encoding="utf-8")
        (self.out / "gone.json").write_text(json.dumps([person.first_sentence for person in gone]), encoding="utf-8")
        first_sentences = {person.first_sentence for person in gone}
        self._prepare("other-data", [text for first, text in texts if first not in first_sentences], tokenizer="data")

    def _prepare(self, name: str, texts: Sequence[str], tokenizer: str = "") -> None:
        if (self.out / name).is_dir():
            return
        source = self.out / f"{name}.jsonl"
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
        config = PrepareConfig((str(source),), out=self.out / name, vocab_size=512, validation=0.15)
        prepare(replace(config, tokenizer=str(self.out / tokenizer)) if tokenizer else config)

    def train(self, name: str, data: str, seed: int) -> ModelFolder:
        folder = ModelFolder(self.out / name)
        if folder.lineage.is_file():
            return folder
        config = PretrainConfig(
            self.out / data,
            out=folder.path,
            depth=2,
            model=TransformerConfig(hidden_size=64, num_attention_heads=4),
            sequence_length=64,
            batch_size=32,
            micro_batch_size=32,
            max_steps=450,
            eval_every=450,
            sample_every=10_000,
            seed=seed,
            precision="fp32",
            attention="matmul",
            compile="off",
            optimizer=OptimizerConfig(
                name="adamw", learning_rate=3e-3, embedding_learning_rate=3e-3, head_learning_rate=3e-3
            ),
            resume=folder.checkpoints.is_dir(),
        )
        return pretrain(config)

    @property
    def gone(self) -> tuple[str, ...]:
        return tuple(json.loads((self.out / "gone.json").read_text(encoding="utf-8")))


def descend(
    model: Transformer, corpus: Corpus, forget_loss: Callable[[Tensor, Tensor], Tensor], *, retains: bool, seed: int
) -> Transformer:
    """A baseline: so many steps on a loss of the forgotten pieces, from their losses after and before."""
    context = model.config.max_position_embeddings - 1
    corpus = replace(corpus, retained=cut(corpus.retained, context), forgotten=cut(corpus.forgotten, context))
    learner, rng = deepcopy(model).requires_grad_(), np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(learner.parameters(), lr=0.02 / learner.config.hidden_size, weight_decay=0.0)
    for _ in range(BASELINE_STEPS):
        chosen = [corpus.forgotten[i] for i in rng.permutation(len(corpus.forgotten))[:PIECES]]
        inputs, targets = batch_of(chosen, learner.device)
        counts = (targets >= 0).sum(dim=1)
        with torch.no_grad():
            before = piece_losses(logits_of(model, inputs), targets) * counts
        loss = forget_loss(piece_losses(logits_of(learner, inputs), targets) * counts, before).mean()
        if retains:
            kept = [corpus.retained[i] for i in rng.permutation(len(corpus.retained))[:PIECES]]
            inputs, targets = batch_of(kept, learner.device)
            loss = loss + piece_losses(logits_of(learner, inputs), targets).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learner.parameters(), 1.0)
        optimizer.step()
    return learner.eval().requires_grad_(False)


def npo(after: Tensor, before: Tensor) -> Tensor:
    """Equation 3 of arXiv 2404.05868, with log-probabilities of whole texts."""
    return -2 / NPO_BETA * torch.nn.functional.logsigmoid(NPO_BETA * (after - before))


def run(setting: Setting) -> dict[str, Any]:
    setting.write()
    original = setting.train("model", "data", 1)
    settings: dict[str, Any] = {
        "text": setting.gone,
        "probes": setting.out / "probes.jsonl",
        "data": setting.out / "data",
        "seed": setting.seed,
    }
    for name, method, limit in (("exact", "retrain", 3600), ("approximate", "approximate", 1)):  # it is retrained once
        out = setting.out / name
        if not ModelFolder(out).lineage.is_file() or not ModelFolder(out).forgetting.is_file():
            settings["resume"] = method == "retrain" and ModelFolder(out).checkpoints.is_dir()
            forget(ForgetConfig(str(original.path), out=out, method=method, time_limit=Duration(limit), **settings))
    setting.train("other", "other-data", 2)
    models = {
        name: load_model(setting.out / name, device=torch.device("cpu"))
        for name in ("model", "exact", "approximate", "other")
    }
    documents = Documents(setting.out / "data")
    corpus = corpus_of_run(documents, select_documents(documents, [], setting.gone), (), setting.seed)
    models["gradient ascent"] = descend(models["model"], corpus, lambda after, _: -after / 20, retains=False, seed=0)
    models["NPO and retained documents"] = descend(models["model"], corpus, npo, retains=True, seed=0)
    results = {}
    for name in ("model", "exact", "approximate", "gradient ascent", "NPO and retained documents", "other"):
        tests = Tests(
            {
                "original": models["model"],
                "unlearned": models[name],
                "retrained": models["exact" if name != "exact" else "other"],
            },
            Tokenizer.load(original.path),
            corpus.forgotten,
            corpus.forgotten_texts,
            corpus.unseen,
            corpus.unseen_texts,
            read_probes(setting.out / "probes.jsonl"),
            seed=setting.seed,
        )
        proof = tests.run()
        loss = {model: float(tests.losses(model).mean()) for model in tests.models}
        results[name] = asdict(proof) | {"verdicts": proof.verdicts, "loss": loss}
        print(name, proof.verdicts, loss, flush=True)
    record = json.loads(ModelFolder(setting.out / "approximate").forgetting.read_text(encoding="utf-8"))
    results["approximate"]["steps"], results["approximate"]["seconds"] = record["steps"], record["seconds"]
    results["approximate"]["level"] = float(np.mean([text["level"] for text in record["texts"]]))
    record = json.loads(ModelFolder(setting.out / "exact").forgetting.read_text(encoding="utf-8"))
    results["exact"]["seconds"] = record["seconds"]
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {seed: run(Setting(arguments.out / f"seed-{seed}", seed)) for seed in range(arguments.seeds)}
    (arguments.out / "results.json").write_text(json.dumps(results, indent=1, default=float), encoding="utf-8")


if __name__ == "__main__":
    main()
