"""Ranks of later answers by layer in the logit lens and the Jacobian lens, and what swapping them does.

python benchmarks/lenses.py MODEL RESULTS.json

MODEL is a folder with a Jacobian lens (`lmcraft explain MODEL --fit-lens`). Prints the tables of lenses.md. The rules were
fixed before any lens was read:

- A prompt counts if the answer is one token, the model's most likely next token is the answer, and neither the answer nor
  the bridge (the country that the prompt means but does not name) is in the prompt. All others are left out.
- "At the answer": the lenses read the prompt's last token, after which the model writes the answer.
- "Before it": they read the question mark of a question; the answer comes some tokens later.
- The swap, of every second statement, exchanges the answer with that of the next prompt of its template that has another
  one, or their bridges, in the middle layers (`middle_layers`), at all tokens. It succeeds if the other answer is then the
  most likely token.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lmcraft import LanguageModel
from lmcraft.interpretability.explanation import Check
from lmcraft.interpretability.lenses import JacobianLens, load_jacobian_lens
from lmcraft.interpretability.lenses.estimator import output_points
from lmcraft.interpretability.lenses.readout import lens_logits
from lmcraft.interpretability.lenses.swap import Swap, middle_layers
from lmcraft.model.transformer import Transformer
from lmcraft.statistics.bootstrap import bootstrap
from lmcraft.statistics.intervals import Metric
from lmcraft.statistics.proportions import clustered_proportion

FACTS = """France,Paris,French,Europe|Italy,Rome,Italian,Europe|Spain,Madrid,Spanish,Europe|Germany,Berlin,German,Europe
Japan,Tokyo,Japanese,Asia|China,Beijing,Chinese,Asia|Russia,Moscow,Russian,Europe|Greece,Athens,Greek,Europe
Egypt,Cairo,Arabic,Africa|Portugal,Lisbon,Portuguese,Europe|Poland,Warsaw,Polish,Europe|Turkey,Ankara,Turkish,Asia
Thailand,Bangkok,Thai,Asia|Sweden,Stockholm,Swedish,Europe|Norway,Oslo,Norwegian,Europe|Finland,Helsinki,Finnish,Europe
Hungary,Budapest,Hungarian,Europe|Netherlands,Amsterdam,Dutch,Europe|Austria,Vienna,German,Europe
Vietnam,Hanoi,Vietnamese,Asia|Denmark,Copenhagen,Danish,Europe|Iran,Tehran,Persian,Asia|India,Delhi,Hindi,Asia
Korea,Seoul,Korean,Asia|Brazil,Brasilia,Portuguese,America|Cuba,Havana,Spanish,America|Kenya,Nairobi,Swahili,Africa
Mexico,Mexico City,Spanish,America|Iraq,Baghdad,Arabic,Asia|Ukraine,Kiev,Ukrainian,Europe|Israel,Jerusalem,Hebrew,Asia
Ireland,Dublin,English,Europe|England,London,English,Europe|Peru,Lima,Spanish,America|Morocco,Rabat,Arabic,Africa"""
LANDMARKS = {
    "France": ("Eiffel Tower", "Louvre", "Palace of Versailles"),
    "Italy": ("Colosseum", "Leaning Tower of Pisa", "Vesuvius volcano"),
    "Spain": ("Alhambra", "Sagrada Familia", "Prado Museum"),
    "Germany": ("Brandenburg Gate", "Neuschwanstein Castle", "Reichstag"),
    "Japan": ("Mount Fuji volcano", "Golden Pavilion", "Great Buddha of Kamakura"),
    "China": ("Great Wall", "Forbidden City", "Terracotta Army"),
    "Russia": ("Kremlin", "Hermitage Museum", "Winter Palace"),
    "Greece": ("Acropolis", "Parthenon", "temple of Delphi"),
    "Egypt": ("Great Sphinx", "Valley of the Kings", "Aswan Dam"),
    "India": ("Taj Mahal", "Red Fort", "Golden Temple"),
    "England": ("Tower Bridge", "Stonehenge circle", "Buckingham Palace"),
    "Turkey": ("Hagia Sophia", "Topkapi Palace", "Blue Mosque"),
}
COUNTRY, CAPITAL, LANGUAGE, CONTINENT = "country", "capital", "language", "continent"
BY_CAPITAL = {  # each asks for a property of the country that a capital or a landmark means
    "The official language of the country whose capital is {clue} is": LANGUAGE,
    "People in the country whose capital is {clue} speak": LANGUAGE,
    "The country whose capital is {clue} lies on the continent of": CONTINENT,
}
BY_LANDMARK = {
    "The capital of the country where you can see the {clue} is": CAPITAL,
    "The official language of the country where you can see the {clue} is": LANGUAGE,
    "The country where you can see the {clue} lies on the continent of": CONTINENT,
}
QUESTIONS = {
    "Question: What language do people in the country whose capital is {clue} speak?\nAnswer: They speak": LANGUAGE,
    "Question: On which continent is the country whose capital is {clue}?\nAnswer: It is on the continent of": CONTINENT,
    "Question: {clue} is the capital of which country?\nAnswer: It is the capital of": COUNTRY,
}
LANDMARK_QUESTIONS = {
    "Question: What is the capital of the country where you can see the {clue}?\nAnswer: The capital is": CAPITAL,
    "Question: What language do people in the country with the {clue} speak?\nAnswer: They speak": LANGUAGE,
}
SHOWN_LAYERS = (0, 4, 8, 11, 14, 17, 20, 23, 26, 28, 29)
RANDOM_CHANGES = 19
Lenses = dict[str, JacobianLens | None]


@dataclass(frozen=True)
class Prompt:
    """A prompt that the model answers."""

    template: str
    text: str
    ids: Sequence[int]
    answer: int
    bridge: int | None
    """The country; None if it is not one token."""
    country: str
    """For intervals: prompts of one country are not independent."""


def candidates() -> Iterator[tuple[str, str, str, str]]:
    """Template, text, answer and bridge of all prompts."""
    for row in FACTS.replace("\n", "|").split("|"):
        country, *values = row.split(",")
        properties = dict(zip((COUNTRY, CAPITAL, LANGUAGE, CONTINENT), (country, *values), strict=True))
        for templates, clues in (
            (BY_CAPITAL | QUESTIONS, [properties[CAPITAL]]),
            (BY_LANDMARK | LANDMARK_QUESTIONS, LANDMARKS.get(country, ())),
        ):
            for template, name in templates.items():
                for clue in clues:
                    yield template, template.format(clue=clue), properties[name], country


def select(model: LanguageModel) -> tuple[list[Prompt], int]:
    """The prompts that count, and how many were tried."""
    kept, tried = [], 0
    for template, text, answer, country in candidates():
        tried += 1
        ids, answer_ids, bridge_ids = (model.tokenizer.encode(part) for part in (text, f" {answer}", f" {country}"))
        if len(answer_ids) != 1 or answer in text or country in text:
            continue
        if int(model.compute_logits(ids)[-1].argmax()) == answer_ids[0]:
            bridge = bridge_ids[0] if len(bridge_ids) == 1 else None
            kept.append(Prompt(template, text, ids, answer_ids[0], bridge, country))
    return kept, tried


Asked = tuple[Prompt, int, int]
"""A prompt, the position that the lenses read, and the token whose rank is measured."""


def ranks(model: LanguageModel, lenses: Lenses, asked: Sequence[Asked]) -> list[dict[str, list[int]]]:
    """For each prompt and lens, the token's rank after each layer."""
    network = model.transformer
    with torch.inference_mode():
        streams = []
        for prompt, position, _ in asked:
            _, cache = network.run_with_cache(torch.tensor([prompt.ids]), output_points(network))
            streams.append(torch.stack([stream[0, position] for stream in cache.values()]))
        targets = torch.tensor([token for *_, token in asked])[:, None]
        by_lens = {
            name: [_ranks(network, lens, n, torch.stack(streams)[:, n], targets) for n in range(len(streams[0]))]
            for name, lens in lenses.items()
        }
    return [{name: [layer[row] for layer in layers] for name, layers in by_lens.items()} for row in range(len(asked))]


def _ranks(
    network: Transformer, lens: JacobianLens | None, layer: int, stream: torch.Tensor, targets: torch.Tensor
) -> list[int]:
    logits = lens_logits(network, lens, layer, stream)
    return (1 + (logits > logits.gather(1, targets)).sum(1)).tolist()


def swaps(model: LanguageModel, lenses: Lenses, prompt: Prompt, other: Prompt) -> dict[str, Any]:
    """What exchanging the answers, or the bridges, does."""
    network, results = model.transformer, {}
    layers = middle_layers(network.config.num_hidden_layers)
    pairs = {"answer": (prompt.answer, other.answer)}
    if prompt.bridge is not None and other.bridge is not None:
        pairs["bridge"] = prompt.bridge, other.bridge
    with torch.inference_mode():
        for lens, jacobian in lenses.items():
            for exchanged, tokens in pairs.items():
                swap = Swap(network, jacobian, prompt.ids, tokens, layers)
                logits, changed = swap.swapped_logits(), swap.randomly_changed_logits(RANDOM_CHANGES, seed=0)
                before = swap.logits()

                def difference(row: torch.Tensor) -> float:
                    return float(row[other.answer] - row[prompt.answer])

                values = [difference(row) for row in changed]
                check = Check("", "swapped", "", difference(before), difference(logits), values, "rises")
                results[f"{exchanged}, {lens}"] = {
                    "country": prompt.country,
                    "top": int(logits.argmax()),
                    "succeeds": int(logits.argmax()) == other.answer,
                    "rise": check.effect,
                    "random_rise": float(np.mean(values)) - check.before,
                    "random_succeeds": float((changed.argmax(-1) == other.answer).float().mean()),
                    "passes": check.is_passed,
                }
    return results


def median(values: Sequence[float], clusters: Sequence[str]) -> Metric:
    return bootstrap(values, lambda samples: np.median(samples, axis=1), clusters)


def show(metric: Metric, digits: int = 0) -> str:
    if metric.low is None or metric.high is None:
        return f"{metric.value:,.{digits}f}"
    return f"{metric.value:,.{digits}f} ({metric.low:,.{digits}f} to {metric.high:,.{digits}f})"


def rank_table(title: str, rows: Sequence[dict[str, list[int]]], countries: Sequence[str]) -> None:
    """Medians by layer, and the shares of prompts for which the Jacobian lens ranks the token higher."""
    print(f"\n### {title}: {len(rows)} prompts\n")
    print(
        "| after layer | logit lens, median rank | Jacobian lens, median rank | Jacobian ranks it higher, share of prompts |"
    )
    print("|---|---|---|---|")
    num_layers = len(rows[0]["logit"])
    for layer in (layer for layer in SHOWN_LAYERS if layer < num_layers):
        pairs = [(row["logit"][layer], row["Jacobian"][layer]) for row in rows]
        higher = clustered_proportion([jacobian < logit for logit, jacobian in pairs], countries)
        cells = [show(median([float(pair[lens]) for pair in pairs], countries)) for lens in (0, 1)]
        print(f"| {layer} | {cells[0]} | {cells[1]} | {show(higher, 2)} |")
    middle = middle_layers(num_layers)
    gains = [sum(log10(row["logit"][layer] / row["Jacobian"][layer]) for layer in middle) / len(middle) for row in rows]
    gain = bootstrap(gains, lambda samples: samples.mean(1), countries)
    print(
        f"\nMean of log10(rank in the logit lens / rank in the Jacobian lens) in layers {middle[0]} to {middle[-1]}: ",
        end="",
    )
    print(f"{show(gain, 2)}.")


def preference_table(
    answers: Sequence[dict[str, list[int]]], others: Sequence[dict[str, list[int]]], countries: Sequence[str]
) -> None:
    """How often a lens ranks a prompt's answer above another prompt's."""
    print("\n| after layer | logit lens | Jacobian lens |\n|---|---|---|")
    for layer in (layer for layer in SHOWN_LAYERS if layer < len(answers[0]["logit"])):
        shares = [
            clustered_proportion([a[lens][layer] < o[lens][layer] for a, o in zip(answers, others, strict=True)], countries)
            for lens in ("logit", "Jacobian")
        ]
        print(f"| {layer} | {show(shares[0], 2)} | {show(shares[1], 2)} |")


def swap_table(results: Sequence[dict[str, Any]]) -> None:
    print("\n### Swaps\n")
    print(
        "| exchanged, lens | prompts | the other answer is then written | random changes | rise of the difference of logits",
        end="",
    )
    print(" | random | check passes |\n|---|---|---|---|---|---|---|")
    by_kind: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        for kind, values in result.items():
            by_kind[kind].append(values)
    for kind, rows in by_kind.items():
        means = {key: float(np.mean([row[key] for row in rows])) for key in ("random_succeeds", "random_rise")}
        countries = [row["country"] for row in rows]
        counts = [clustered_proportion([row[key] for row in rows], countries) for key in ("succeeds", "passes")]
        rise = bootstrap([row["rise"] for row in rows], lambda samples: samples.mean(1), countries)
        print(
            f"| {kind} | {len(rows)} | {show(counts[0], 2)} | {means['random_succeeds']:.3f} | {show(rise, 2)} | "
            f"{means['random_rise']:.2f} | {show(counts[1], 2)} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("results", type=Path)
    arguments = parser.parse_args()
    model = LanguageModel.load(arguments.model, dtype=torch.float32, tier="eager")
    jacobian = load_jacobian_lens(arguments.model)
    assert jacobian is not None, "fit its lens first"
    lenses: Lenses = {"logit": None, "Jacobian": jacobian}
    prompts, tried = select(model)
    questions = [prompt for prompt in prompts if prompt.text.startswith("Question")]
    statements = [prompt for prompt in prompts if not prompt.text.startswith("Question")]
    print(f"{len(statements)} statements and {len(questions)} questions of {tried} candidates; {jacobian.record}")
    pairs = [(prompt, other) for prompt in statements if (other := partner(prompt, statements)) is not None]
    kept: dict[str, Any] = {"prompts": [vars(prompt) for prompt in prompts]}
    for name, title, asked in (
        ("at", "The answer, at the answer", [(prompt, -1, prompt.answer) for prompt in statements]),
        ("control", "Control: the next prompt's answer, at the answer", [(p, -1, o.answer) for p, o in pairs]),
        ("bridge", "The bridge, at the answer", [(p, -1, p.bridge) for p in statements if p.bridge is not None]),
        ("before", "The answer, before it", [(p, question_mark(model, p), p.answer) for p in questions]),
    ):
        kept[name] = ranks(model, lenses, asked)
        rank_table(title, kept[name], [prompt.country for prompt, _, _ in asked])
    with_partner = [partner(prompt, statements) is not None for prompt in statements]
    paired = [row for row, has_one in zip(kept["at"], with_partner, strict=True) if has_one]
    preference_table(paired, kept["control"], [prompt.country for prompt, _ in pairs])
    kept["swaps"] = []
    for prompt in statements[::2]:  # every second one, since each takes 84 forward passes
        if (other := partner(prompt, statements)) is not None:
            kept["swaps"].append(swaps(model, lenses, prompt, other))
            arguments.results.write_text(json.dumps(kept))
    swap_table(kept["swaps"])


def partner(prompt: Prompt, prompts: Sequence[Prompt]) -> Prompt | None:
    """The next prompt of the same template with another answer."""
    number = prompts.index(prompt)
    later = [*prompts[number + 1 :], *prompts[:number]]
    same = (other for other in later if other.template == prompt.template and other.answer != prompt.answer)
    return next(same, None)


def question_mark(model: LanguageModel, prompt: Prompt) -> int:
    """The position of the question mark."""
    return next(n for n, token in enumerate(prompt.ids) if "?" in model.tokenizer.decode([token]))


if __name__ == "__main__":
    main()
