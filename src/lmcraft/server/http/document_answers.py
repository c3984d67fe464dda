"""Answers from documents: a chat gets the passages that answer it, and its answer cites them."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lmcraft.retrieval.index import Index, Match
from lmcraft.retrieval.passages import Passage
from lmcraft.retrieval.quotes import best_quote
from lmcraft.retrieval.terms import is_chinese
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.chat import ChatRequest, Message
from lmcraft.server.http.protocol.sampling import StructuredOutputs, escape_regex

AnswerForm = Literal["quote", "choose", "write"]
PASSAGES = 3
QUOTED_PASSAGES = 2
NOT_FOUND = {False: "I found nothing about this in the documents.", True: "文档中没有找到与此相关的内容。"}
"""The answer where no passage is relevant, in English and in Chinese."""
_MARKER = re.compile(r"\[(\d)\]")
_PROMPTS = {
    False: "Answer the question from these passages alone, and cite each that you use by its number, such as [1].\n\n"
    "{passages}\n\nQuestion: {question}",
    True: "只根据下列段落回答问题，并注明所用段落的编号，例如 [1]。\n\n{passages}\n\n问题：{question}",
}


@dataclass(frozen=True)
class Citation:
    """A passage that an answer may cite by its number."""

    number: int
    passage: Passage
    start: int
    end: int
    """Of the part that is quoted, in the passage's text."""

    @property
    def quote(self) -> str:
        return self.passage.text[self.start : self.end]

    @property
    def title(self) -> str:
        """The innermost heading, or the document's name."""
        return self.passage.heading.rpartition(" › ")[2] or self.passage.document

    def as_json(self) -> dict[str, Any]:
        start = self.passage.start + self.start
        return {
            "number": self.number,
            "document": self.passage.document,
            "heading": self.passage.heading,
            "start": start,
            "end": start + len(self.quote),
            "text": self.quote,
        }

    def annotation(self, start: int, end: int) -> dict[str, Any]:
        """OpenAI's annotation of the part of an answer that cites the passage; the address is that of RFC 5147."""
        first = self.passage.start + self.start
        url = f"{self.passage.document}#char={first},{first + len(self.quote)}"
        citation = {"start_index": start, "end_index": end, "title": self.title, "url": url}
        return {"type": "url_citation", "url_citation": citation}


@dataclass(frozen=True)
class DocumentAnswers:
    """How a server answers from documents.

    Args:
        index: of the documents.
        min_relevance: of a passage; if none has it, the answer says that nothing was found.
        form: "quote": the answer quotes the two best passages, word for word; "choose": it quotes one, which the model
            chooses among the three best; "write": the model writes it from them.
    """

    index: Index
    min_relevance: float
    form: AnswerForm = "quote"

    def ground(self, chat: ChatRequest) -> tuple[ChatRequest, tuple[Citation, ...]]:
        """The chat with the passages that answer its last question, and what the answer may cite.

        Raises:
            ApiError: the request asks for another form of answer.
        """
        _check(chat)
        question = next((message.text() for message in reversed(chat.messages) if message.role == "user"), "")
        chinese, citations = is_chinese(question), self._citations(question)
        if self.form == "quote" or not citations:
            answer, quoted = self.quote(question)
            return _answer_with(chat, chat.messages, [answer]), quoted
        texts = [citation.quote if self.form == "choose" else citation.passage.text for citation in citations]
        passages = "\n\n".join(f"[{c.number}] {c.title}\n{text}" for c, text in zip(citations, texts, strict=True))
        content = _PROMPTS[chinese].format(passages=passages, question=question)
        messages = [Message(role="user", content=content)]
        if self.form == "choose":
            return _answer_with(chat, messages, [_quotation(citation, chinese=chinese) for citation in citations]), citations
        system = [message for message in chat.messages if message.role in ("system", "developer")]
        return chat.model_copy(update={"messages": [*system, *messages]}), citations

    def quote(self, question: str) -> tuple[str, tuple[Citation, ...]]:
        """The quotations from the best passages, or that nothing was found; no model is asked."""
        chinese, quoted = is_chinese(question), self._citations(question)[:QUOTED_PASSAGES]
        return "\n\n".join(_quotation(c, chinese=chinese) for c in quoted) or NOT_FOUND[chinese], quoted

    def search(self, question: str) -> list[Match]:
        """The passages to answer from, the best first; none if the best ones are not relevant."""
        matches = self.index.search(question, PASSAGES)
        return matches if max((match.relevance for match in matches), default=0.0) >= self.min_relevance else []

    def _citations(self, question: str) -> tuple[Citation, ...]:
        return tuple(
            Citation(number, match.passage, *best_quote(self.index, question, match.passage))
            for number, match in enumerate(self.search(question), 1)
        )


def citation_fields(text: str, citations: Sequence[Citation]) -> dict[str, Any]:
    """The fields `annotations` and `citations` of a message that answers from documents."""
    if not citations:
        return {}
    by_number = {str(citation.number): citation for citation in citations}
    cited = [(match, by_number[match[1]]) for match in _markers(text) if match[1] in by_number]
    used = {citation.number for _, citation in cited}
    return {
        "annotations": [citation.annotation(match.start(), match.end()) for match, citation in cited],
        "citations": [citation.as_json() for citation in citations if citation.number in used],
    }


def _markers(text: str) -> Iterator[re.Match[str]]:
    """The numbers by which an answer cites, outside of quotations, which may have such numbers of their own."""
    for match in _MARKER.finditer(text):
        if not text[text.rfind("\n", 0, match.start()) + 1 :].startswith(">"):
            yield match


def _check(chat: ChatRequest) -> None:
    others = {"tools": chat.offered_tools, "response_format": chat.has_structure, "echo": chat.echo}
    others["continue_final_message"] = chat.continue_final_message
    if name := next((name for name, value in others.items() if value), None):
        raise ApiError(400, f"{name} does not go with answers from documents (--documents); leave it out", param=name)


def _answer_with(chat: ChatRequest, messages: Sequence[Message], answers: Sequence[str]) -> ChatRequest:
    """The chat whose answer is one of these texts."""
    regex = "|".join(map(escape_regex, answers))
    update = {"messages": list(messages), "temperature": 0.0, "structured_outputs": StructuredOutputs(regex=regex)}
    return chat.model_copy(update=update)


def _quotation(citation: Citation, *, chinese: bool) -> str:
    """A quotation in Markdown, after what it is from."""
    lines = "\n".join(f"> {line}".rstrip() for line in citation.quote.splitlines())
    lead = f"据“{citation.title}” [{citation.number}]：" if chinese else f"From “{citation.title}” [{citation.number}]:"
    return f"{lead}\n\n{lines}"
