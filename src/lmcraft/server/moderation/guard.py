"""Judges what clients send by the server's policy, begins the judgment of answers, and records the decisions."""

import logging
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from starlette.concurrency import run_in_threadpool

from lmcraft.errors import UserError
from lmcraft.moderation.decision import Action, Decision, Stage, merge_passages
from lmcraft.moderation.judge_process import JudgeProcess
from lmcraft.moderation.streaming import LOOK_BACK_CHARS, MAX_PROMPT_CHARS, HeldText
from lmcraft.server.errors import ApiError
from lmcraft.server.limits import Limits
from lmcraft.server.metrics import Metrics
from lmcraft.server.moderation.message_texts import MessageText, Parts, join_passages, redact_parts
from lmcraft.server.moderation.reviews import Chat, FlaggedText, ReviewQueue

log = logging.getLogger("lmcraft.server")
MAX_QUESTION_CHARS = 4000  # of the prompt, that a judge of its answer reads
_ESCAPE = re.compile(r'\\(?:u([0-9a-fA-F]{4})|(["\\/bfnrt]))')
_ESCAPED = {'"': '"', "\\": "\\", "/": "/", "b": " ", "f": " ", "n": "\n", "r": "\n", "t": "\t"}
_HAN, _KANA = re.compile("[\u3400-\u9fff]"), re.compile("[\u3040-\u30ff]")


class Guard:
    """The policy of a server, and its judge.

    Args:
        judge: decides about texts.
        metrics: records how long it takes, and what it decides.
        reviews: keeps the texts that a person is to look at; None: they are only counted.
    """

    def __init__(self, judge: JudgeProcess, metrics: Metrics, reviews: ReviewQueue | None = None) -> None:
        self._judge, self._metrics, self._reviews = judge, metrics, reviews
        self.policy = judge.policy

    def start(self) -> None:
        """Start the judge, unless it runs, and wait until it is ready.

        Raises:
            UserError: it cannot start.
        """
        self._judge.start()

    async def start_in_thread(self) -> None:
        """Start the judge in a thread.

        Raises:
            ApiError: it cannot start.
        """
        try:
            await run_in_threadpool(self.start)
        except UserError as error:
            raise ApiError(503, str(error), code="no_judge") from error

    def flush(self, seconds: float) -> None:
        """Wait until the texts that need review are kept, but not longer than this."""
        if self._reviews is not None:
            self._reviews.flush(seconds)

    def close(self) -> None:
        """End the judge; what follows is refused. What waits for review is saved."""
        self._judge.close()
        if self._reviews is not None:
            self._reviews.close()

    async def judge_text(self, text: str, stage: Stage) -> Decision:
        """Decide about a whole text by all tiers."""
        return await self._judge(text, stage, complete=True)

    async def judge(self, text: str, stage: Stage, question: str = "") -> Decision:
        """Decide about a text, and about what it says when the escapes of JSON in it are undone: calls are JSON."""
        start = time.monotonic()
        decision = await self._judge(text, stage, question)
        if decision.passes and (plain := unescape(text)) != text:
            other = await self._judge(plain, stage, question)
            if other.failed or other.action > decision.action:
                decision = other if other.failed else self._without_passages(other)
        self._metrics.record_judgment(stage, time.monotonic() - start)
        return decision

    def _without_passages(self, decision: Decision) -> Decision:
        findings = [replace(finding, start=0, end=0) for finding in decision.findings]
        return self.policy.decide(decision.stage, findings, decision.tiers)

    async def judge_prompts(
        self,
        prompts: Sequence[Sequence[MessageText]],
        chats: Sequence[Chat] = (),
        *,
        sender: str,
        sends_to_review: bool = True,
    ) -> "JudgedPrompt":
        """Decide about the prompts of a request; a refusal of one of its texts refuses a prompt.

        Args:
            prompts: the texts of each, in their order: what clients send, and what tools returned.
            chats: the messages of each, for the people who review; empty: they see the flagged text alone.
            sender: the name of the API key.
            sends_to_review: whether texts wait for a person as the policy says; not those that are only read again.
        """
        chats = chats or [()] * len(prompts)
        released: list[Parts] = []
        judgments: list[HeldText] = []
        refused: set[int] = set()
        flagged: list[FlaggedText] = []
        for number, texts in enumerate(prompts):
            context = ""
            for position, text in enumerate(texts):
                parts, readings = await self._judge_readings(text, context)
                judgments.append(max(readings, key=lambda held: (held.refusal is not None, len(held.decisions))))
                if review := review_decision(judgments[-1]):
                    is_old = position + 1 < len(texts)
                    flagged.append(FlaggedText("prompt", judgments[-1].text, chats[number], review, sender, is_old=is_old))
                if any(held.refusal is not None or (text.is_fixed and held.passages) for held in readings):
                    refused.add(number)
                released.append(parts)
                context = f"{context}{''.join(parts)}\n"[-2 * LOOK_BACK_CHARS :]
        self.record(judgments, "prompt", flagged if sends_to_review else [])
        all_texts = tuple(text for texts in prompts for text in texts)
        question = "".join(all_texts[-1].parts) if all_texts else ""
        refusal = self.policy.refusal_text(language_of(question))
        question = question[-MAX_QUESTION_CHARS:]
        return JudgedPrompt(
            self, sender, tuple(chats), all_texts, tuple(released), frozenset(refused), refusal=refusal, question=question
        )

    async def _judge_readings(self, text: MessageText, context: str) -> tuple[Parts, list[HeldText]]:
        """The parts of a text as they may be read, and the judgment of each way to read them as one text."""
        readings: list[HeldText] = []
        passages: list[tuple[int, int]] = []
        for separator in text.separators:
            held = HeldText(
                self.judge, self.policy, "prompt", context=context, max_held_chars=MAX_PROMPT_CHARS, by_sentence=False
            )
            await held.put(separator.join(text.parts), flush=True)
            readings.append(held)
            passages += join_passages(text.parts, held.passages, separator)
        return redact_parts(text.parts, merge_passages(passages)), readings

    def record(self, texts: Sequence[HeldText], stage: Stage, flagged: Sequence[FlaggedText]) -> None:
        """Count the decision about a prompt or an answer that is complete, and keep what the policy sends to review."""
        action = max((decision.action for text in texts for decision, _ in text.decisions), default=Action.ALLOW)
        self._metrics.record_decision(stage, str(action))
        if self._reviews is None:
            return
        for text in flagged:
            try:
                self._reviews.add(text)
            except OSError as error:
                log.error("a text that needs review could not be kept (%s)", error)


def review_decision(text: HeldText) -> Decision | None:
    """Of the decisions that send a text to review, the one with the highest score; None if there is none."""
    reviews = [decision for decision, _ in text.decisions if decision.action is Action.REVIEW]
    return max(reviews, key=lambda decision: max(decision.scores.values(), default=0.0), default=None)


def open_guard(policy: str, limits: Limits, metrics: Metrics, reviews: ReviewQueue | None = None) -> Guard:
    """The guard of a policy, whose judge has not started; the arguments are those of `Guard`.

    Raises:
        UserError: the policy cannot be read.
    """
    restarted = metrics.record_judge_restart
    return Guard(JudgeProcess(policy, timeout_seconds=limits.judge_timeout, on_restart=restarted), metrics, reviews)


@dataclass(frozen=True)
class JudgedPrompt:
    """A prompt that has been judged, and how to judge its answers."""

    guard: Guard
    sender: str
    """The name of the API key."""
    chats: tuple[Chat, ...]
    """The messages of each prompt."""
    texts: tuple[MessageText, ...]
    """Those of all prompts, as the client sent them."""
    released: tuple[Parts, ...]
    """As the model may read them."""
    refused: frozenset[int]
    """The numbers of the prompts that are refused."""
    refusal: str
    """What the client reads in place of a refused prompt's answer, or of the rest of a refused answer."""
    question: str
    contexts: tuple[str, ...] = ()
    """For each prompt of the request, the text that its answers continue; empty: they continue none."""

    @property
    def is_refused(self) -> bool:
        """Whether all prompts are refused."""
        return len(self.refused) == len(self.chats)

    @property
    def replacements(self) -> dict[Parts, Parts]:
        """The texts of which passages are redacted, and what takes their place."""
        pairs = zip(self.texts, self.released, strict=True)
        return {text.parts: parts for text, parts in pairs if text.parts != parts and not text.is_fixed}

    def hold_answer(self, context: str = "") -> HeldText:
        """An answer of which nothing has been generated.

        Args:
            context: the text that the answer continues.
        """
        return HeldText(self.guard.judge, self.guard.policy, "answer", question=self.question, context=context)

    def record(self, number: int, *texts: HeldText) -> None:
        """Record the decisions about the texts of an answer to a prompt of this number, which is complete, or refused."""
        chat = self.chats[number] if number < len(self.chats) else ()  # another engine may answer more than it was asked
        reviews = [(text, decision) for text in texts if (decision := review_decision(text)) is not None]
        flagged = [FlaggedText("answer", text.text, chat, decision, self.sender) for text, decision in reviews]
        self.guard.record(texts, "answer", flagged)


def unescape(text: str) -> str:
    """A text with the escapes of JSON undone."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else _ESCAPED[match[2]], text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def language_of(text: str) -> str:
    """The language of a text, as far as its script tells: "zh", "ja", "ko", or "en" for all others."""
    if _KANA.search(text):
        return "ja"
    if any("\uac00" <= character <= "\ud7a3" for character in text):
        return "ko"
    return "zh" if len(_HAN.findall(text)) * 5 > _num_letters(text) else "en"


def _num_letters(text: Iterable[str]) -> int:
    return sum(character.isalpha() for character in text)
