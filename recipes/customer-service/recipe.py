"""Answer customers' questions from a company's documents, with citations, or say that the documents have no answer.

The documents become passages; a server of lmcraft retrieves the best ones for a question, and quotes them word for word. The
threshold of relevance is chosen on some questions, and everything is measured on others, through the server.
"""

import argparse
import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tomli_w
from manuals import copy_manuals, encoder_folder
from questions import REFUSAL, Question, choose_threshold, keyword_ranking, read_questions
from served import ask_all, server

from lmcraft.retrieval.documents import read_documents
from lmcraft.retrieval.embeddings import TextEncoder
from lmcraft.retrieval.index import Index
from lmcraft.retrieval.quotes import best_quote
from lmcraft.server.http.document_answers import Citation, DocumentAnswers
from lmcraft.statistics.proportions import proportion
from recipes.work import Figure, Work

SHORT_QUESTIONS = 2
ANSWER_TOKENS = 800
BASELINE_TOKENS = 96
SERVED_SHARE = 8
"""One question of so many is asked through a server."""
Message = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--documents", type=Path, help="a folder of Markdown, HTML or text files; default: two Debian manuals"
    )
    parser.add_argument("--questions", type=Path, help="a table as questions.tsv, about these documents")
    parser.add_argument("--model", default="smollm2-135m-instruct", help="a folder, or another address of a model")
    parser.add_argument(
        "--encoder", help="a model whose embeddings rank passages, too; default: all-MiniLM-L6-v2; none: words"
    )


def run(work: Work, options: argparse.Namespace) -> list[Figure]:
    questions = read_questions(options.questions or work.recipe / "questions.tsv")
    dev, test = ([q for q in questions if q.part == part] for part in ("dev", "test"))
    if work.short:
        dev, test = _some(dev), _some(test)
    folder = options.documents or _manuals(work)
    words_alone = options.encoder == "none" or (work.short and options.encoder is None)
    encoder = "" if words_alone else options.encoder or str(encoder_folder())
    documents = read_documents(folder)
    index = Index(documents, TextEncoder(encoder) if encoder else None)
    print(f"{len(index.passages):,} passages; {len(dev)} questions to choose the threshold, {len(test)} to measure")
    settings = _write_settings(work, folder, options.model, encoder, choose_threshold(index, dev))
    asked, tokens = test[::SERVED_SHARE], BASELINE_TOKENS
    messages = {name: _answers(work, "served", asked, 8, settings) for name in ("served", "alone", "written") if work.short}
    messages = messages or {
        "served": _answers(work, "served", asked, ANSWER_TOKENS, settings),
        "alone": _answers(work, "alone", asked, tokens, options.model, "--store", "none", "--reviews", "none"),
        "written": _answers(work, "written", asked, tokens, settings, "--answers", "write", "--min-relevance", 0),
    }
    quoting = DocumentAnswers(index, tomllib.loads(settings.read_text(encoding="utf-8"))["min_relevance"])
    messages["answers"] = [_message(*quoting.quote(q.text)) for q in test]
    _print_examples(test, messages["answers"])
    rows = [{"question": q.text, **message} for q, message in zip(test, messages["answers"], strict=True)]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (work.folder / "answers.jsonl").write_text(lines, encoding="utf-8")
    texts = {document.name: document.text for document in documents}
    return [*_retrieval(index, test), *_support(index, texts, test, messages), *_refusals(test, messages)]


def _message(text: str, citations: Sequence[Citation]) -> Message:
    return {"content": text, "citations": [citation.as_json() for citation in citations]}


def _some(questions: Sequence[Question]) -> list[Question]:
    kinds = ([q for q in questions if q.is_answerable is kind] for kind in (True, False))
    return [q for kind in kinds for q in kind[:: max(1, len(kind) // SHORT_QUESTIONS)][:SHORT_QUESTIONS]]


def _manuals(work: Work) -> Path:
    documents = work.folder / "documents"
    if not documents.exists():
        copy_manuals(work.folder / "documents.part")
        (work.folder / "documents.part").rename(documents)
    return documents


def _write_settings(work: Work, documents: Path, model: str, encoder: str, threshold: float) -> Path:
    """The settings of the server, with the threshold; the policy beside them."""
    settings = tomllib.loads((work.recipe / "serve.toml").read_text(encoding="utf-8"))
    settings |= {"model": [model], "documents": str(documents.resolve()), "min_relevance": threshold}
    if encoder:
        settings["encoder"] = str(Path(encoder).resolve()) if Path(encoder).exists() else encoder
    file = work.folder / "serve.toml"
    file.write_text(tomli_w.dumps(settings), encoding="utf-8")
    if not (work.folder / "policy.toml").exists():
        work.lmcraft("guard", "init", "policy.toml")
    print(f"passages below a relevance of {threshold} answer nothing")
    return file


def _answers(work: Work, name: str, questions: Sequence[Question], max_tokens: int, *flags: object) -> list[Message]:
    """What a server answers to the questions; kept in a file, by the server's settings."""
    file = work.folder / f"{name}.json"
    key = [str(flag) for flag in flags] + [q.text for q in questions] + [(work.folder / "serve.toml").read_text()]
    if file.exists() and (kept := json.loads(file.read_text(encoding="utf-8")))["key"] == key:
        return list(kept["messages"])
    with server(work.folder, *flags) as url:
        messages = ask_all(url, [q.text for q in questions], max_tokens)
    file.write_text(json.dumps({"key": key, "messages": messages}, ensure_ascii=False, indent=1), encoding="utf-8")
    return messages


def _retrieval(index: Index, test: Sequence[Question]) -> list[Figure]:
    answerable = [q for q in test if q.is_answerable]
    found = [any(q.is_gold(match.passage) for match in index.search(q.text)) for q in answerable]
    baseline = [any(map(q.is_gold, keyword_ranking(index, q.text))) for q in answerable]
    return [_figure("right passage in the top 3", "keyword count", baseline, found)]


def _support(
    index: Index, texts: dict[str, str], test: Sequence[Question], messages: dict[str, list[Message]]
) -> list[Figure]:
    """What the answers to answerable questions say, and whether it is in the documents."""

    def says(name: str) -> list[bool]:
        pairs = zip(_asked(name, test), messages[name], strict=True)
        return [q.is_supported(message["content"]) for q, message in pairs if q.is_answerable]

    cited = [c for message in messages["answers"] for c in message.get("citations") or ()]
    verbatim = [texts[c["document"]][c["start"] : c["end"]] == c["text"] for c in cited]
    written = [_is_verbatim(message["content"], texts) for message in messages["written"]]
    answered = [(q, m) for q, m in zip(test, messages["answers"], strict=True) if q.is_answerable and m.get("citations")]
    supports = [q.is_supported(message["content"]) for q, message in answered]
    keyword = [q.is_supported(_keyword_quotations(index, q)) for q, _ in answered]
    expected = [message["content"] for message in messages["answers"][::SERVED_SHARE]]
    same = {
        name: [m["content"] == text for m, text in zip(messages[name], expected, strict=True)]
        for name in ("served", "alone")
    }
    return [
        _figure("quotations that the server answers with", "the model alone", same["alone"], same["served"]),
        _figure("answers that say what was asked", "the model alone", says("alone"), says("answers")),
        _figure("answers that say what was asked", "the model writes from the passages", says("written"), says("answers")),
        _figure("answers with citations that say what was asked", "quotations by keyword count", keyword, supports),
        _figure("citations that are in the documents word for word", "the model's own words", written, verbatim),
    ]


def _asked(name: str, test: Sequence[Question]) -> Sequence[Question]:
    """The questions that a server of this name is asked."""
    return test if name == "answers" else test[::SERVED_SHARE]


def _keyword_quotations(index: Index, question: Question) -> str:
    """The quotations from the two passages that have the words of a question most often."""
    passages = keyword_ranking(index, question.text, 2)
    spans = [best_quote(index, question.text, passage) for passage in passages]
    return "\n".join(passage.text[start:end] for passage, (start, end) in zip(passages, spans, strict=True))


def _is_verbatim(answer: str, texts: dict[str, str]) -> bool:
    """Whether all lines of an answer are in the documents."""
    lines = [line.strip("> ") for line in answer.splitlines() if line.strip("> ")]
    return all(any(line in text for text in texts.values()) for line in lines)


def _refusals(test: Sequence[Question], messages: dict[str, list[Message]]) -> list[Figure]:
    """Answers that nothing was found, where that is right and where it is not."""

    def refused(name: str, *, answerable: bool) -> list[bool]:
        pairs = zip(_asked(name, test), messages[name], strict=True)
        return [bool(REFUSAL.search(m["content"])) for q, m in pairs if q.is_answerable is answerable]

    def accepted(name: str) -> list[bool]:
        return [not value for value in refused(name, answerable=True)]

    yes, no = refused("answers", answerable=False), accepted("answers")
    return [
        _figure("questions without an answer that are refused", "the model alone", refused("alone", answerable=False), yes),
        _figure(
            "questions without an answer that are refused",
            "passages, no threshold",
            refused("written", answerable=False),
            yes,
        ),
        _figure("questions with an answer that are not refused", "the model alone", accepted("alone"), no),
    ]


def _figure(measure: str, baseline_name: str, baseline: Sequence[bool], result: Sequence[bool]) -> Figure:
    metric = proportion(sum(result), len(result))
    interval = None if metric.low is None or metric.high is None else (metric.low, metric.high)
    share = proportion(sum(baseline), len(baseline)).value
    return Figure(f"{measure} ({len(result)})", baseline_name, share, metric.value, interval)


def _print_examples(test: Sequence[Question], messages: Sequence[Message]) -> None:
    for question, message in list(zip(test, messages, strict=True))[:: max(1, len(test) // 6)]:
        print(f"\n{question.text}\n{message['content']}")
