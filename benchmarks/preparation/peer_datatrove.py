"""The default pipeline in datatrove: text to clean token files. It runs in a Python that has datatrove, spacy and jieba.

The steps are those of FineWeb's and FineWeb-2's pipelines in datatrove's examples and in the settings of cmn_Hani; the
language model is the one that lmcraft uses, since datatrove would download its own. Steps that need not compress do not.

PYTHON peer_datatrove.py INPUT TOKENIZER.json LID.ftz OUT --workers 1
"""

import argparse
import json
import multiprocessing
import sys
from pathlib import Path

from datatrove.data import Document
from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.dedup import (
    ExactDedupConfig,
    ExactDedupFilter,
    ExactDedupSignature,
    ExactFindDedups,
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import FTFYFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.tokens import DocumentTokenizer
from datatrove.pipeline.writers import JsonlWriter
from datatrove.utils.typeshelper import Languages

CHINESE_STOP_WORDS = list("的年在月是和日了於·為有被人中为他與後也而由")
CODES = {"en": Languages.english, "zh": Languages.mandarin_chinese}


def text_of(document: Document) -> str:
    """What exact duplicates have in common."""
    return document.text


def quality(language: str) -> list[PipelineStep]:
    """FineWeb's rules for English, FineWeb-2's for Chinese."""
    code = CODES[language]
    if language == "en":
        return [
            GopherRepetitionFilter(),
            GopherQualityFilter(),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
        ]
    repetition = {"dup_line_frac": 0.287, "dup_para_frac": 0, "dup_line_char_frac": 0, "dup_para_char_frac": 0}
    runs = ((5, 0.198), (6, 0.182), (7, 0.167), (8, 0.154), (9, 0.14), (10, 0.127))
    tops = ((2, 0.256), (3, 0.201), (4, 0.171))
    words = {"min_avg_word_length": 1, "max_avg_word_length": 5, "max_non_alpha_words_ratio": 0.735}
    lines = {"short_line_thr": 999, "char_duplicates_ratio": 0.1, "line_punct_thr": 0.106, "new_line_ratio": 0.178}
    return [
        GopherRepetitionFilter(**repetition, dup_n_grams=runs, top_n_grams=tops, language=code),
        GopherQualityFilter(**words, stop_words=CHINESE_STOP_WORDS, language=code),
        FineWebQualityFilter(**lines, language=code),
    ]


def prepare(language: str, arguments: argparse.Namespace) -> None:
    """All steps of one language: its rules and words need their own."""
    work, tasks = arguments.out / language, len(list((arguments.input / language).glob("*.jsonl")))
    exact, near = ExactDedupConfig(content_getter=text_of), MinhashConfig()
    identify = LanguageFilter(languages=[language])
    identify.model.MODEL_URL = str(arguments.language_model)

    def run(name: str, steps: list[PipelineStep], tasks: int = tasks) -> None:
        folder = str(work / "logs" / name)
        executor = LocalPipelineExecutor(steps, tasks=tasks, workers=min(arguments.workers, tasks), logging_dir=folder)
        # In a process of its own: the tokenizers that datatrove keeps from one step cannot be copied for the next.
        process = multiprocessing.get_context("fork").Process(target=executor.run)
        process.start()
        process.join()
        if process.exitcode:
            sys.exit(f"{language}: {name} failed")

    def path(name: str) -> str:
        return str(work / name)

    def writer(name: str) -> JsonlWriter:
        return JsonlWriter(path(name), compression=None)

    read = JsonlReader(str(arguments.input / language))
    repair = FTFYFormatter(normalization="NFC")
    run("clean", [read, repair, identify, *quality(language), writer("clean"), ExactDedupSignature(path("exact"), exact)])
    run("exact", [ExactFindDedups(path("exact"), path("exact-copies"), exact)], tasks=1)
    sign = MinhashDedupSignature(path("near"), near, language=CODES[language])
    run("unique", [JsonlReader(path("clean")), ExactDedupFilter(path("exact-copies"), exact), writer("unique"), sign])
    run("buckets", [MinhashDedupBuckets(path("near"), path("pairs"), config=near)], tasks=near.num_buckets)
    run("clusters", [MinhashDedupCluster(path("pairs"), path("near-copies"), config=near)], tasks=1)
    encode = DocumentTokenizer(path("tokens"), str(arguments.tokenizer), eos_token=arguments.end, shuffle_documents=False)
    run("tokens", [JsonlReader(path("unique")), MinhashDedupFilter(path("near-copies")), encode])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=Path, help="folders en and zh of jsonl files")
    parser.add_argument("tokenizer", type=Path, help="a tokenizer.json")
    parser.add_argument("language_model", type=Path, help="lid.176.ftz")
    parser.add_argument("out", type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--end", default="<|endoftext|>", help="the token at the end of a document")
    arguments = parser.parse_args()
    for language in CODES:
        if (arguments.input / language).exists():
            prepare(language, arguments)
    stats = [json.loads(file.read_text()) for file in arguments.out.glob("*/logs/tokens/stats.json")]
    counts = [step["stats"] for steps in stats for step in steps if "tokens" in step["stats"]]
    kept = [step["stats"] for steps in stats for step in steps if "dropped" in step["stats"] or "forwarded" in step["stats"]]
    documents = sum(row["forwarded"]["total"] if isinstance(row["forwarded"], dict) else row["forwarded"] for row in kept)
    tokens = sum(row["tokens"]["total"] if isinstance(row["tokens"], dict) else row["tokens"] for row in counts)
    print("ROW " + json.dumps({"documents": documents, "tokens": tokens}), file=sys.stdout, flush=True)


if __name__ == "__main__":
    main()
