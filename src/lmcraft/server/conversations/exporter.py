"""Exports user feedback on answers as training data for `lmcraft finetune`.

| file | fields | source |
|---|---|---|
| sft.jsonl | `messages` | the branch up to an answer that was rated up or written by a user |
| preferences.jsonl | `prompt`, `chosen`, `rejected` | preferences between two answers; a user's edit over the original |
| judgments.jsonl | `messages`, `label` | answers rated up (true) or down (false) |
| labels.csv | `text`, `label` | answers, labeled with the reason given for the rating |

Fine-tuning learns every answer in a conversation. So sft.jsonl has only the longest of several good branches along one path,
and none that passes through an answer that was rated down or edited.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder import atomic_write
from lmcraft.folder.examples import MAX_CSV_FIELD_CHARS, ExampleFolder
from lmcraft.server.conversations.store import Store

Json = dict[str, Any]
FILE_KINDS = {
    "sft.jsonl": "conversations",
    "preferences.jsonl": "preferences",
    "judgments.jsonl": "judgments",
    "labels.csv": "labels",
}


def export_examples(store: Store, out: Path, owners: Sequence[str] | None = None) -> dict[str, int]:
    """Write the feedback of owners as a folder of examples; the folder appears only when it is complete.

    Args:
        store: read one conversation at a time.
        out: the folder; an existing one is replaced.
        owners: whose feedback; None: everyone's.

    Returns:
        The number of rows of each file; files without rows are not written.

    Raises:
        UserError: the store has no feedback.
    """
    rows_read: Counter[str] = Counter()
    with atomic_write(out) as path:
        path.mkdir()
        with ExampleFolder(path, FILE_KINDS) as folder:
            for owner in store.owners() if owners is None else owners:
                rows_read["owners"] += 1
                for conversation, preferences in store.export(owner):
                    rows_read["conversations"] += 1
                    rows_read["messages"] += len(conversation["messages"])
                    for name, row in _ConversationTree(conversation, preferences, folder.left_out).rows():
                        folder.add(name, row)
            if not folder.counts:
                raise UserError(
                    f"store '{store.name}' has no examples (no answer of its {rows_read['conversations']:,} conversations "
                    "is rated, edited or preferred); rate some on the chat page of `lmcraft serve` first"
                )
            folder.finish({"store": store.name, "read": dict(rows_read)})
    return folder.counts


class _ConversationTree:
    """A conversation's message tree and preferences, and the training rows made from them."""

    def __init__(self, conversation: Json, preferences: list[Json], rows_dropped: Counter[str]) -> None:
        self._system = [{"role": "system", "content": conversation["system"]}] if conversation["system"].strip() else []
        self._messages: dict[str, Json] = {message["id"]: message for message in conversation["messages"]}
        self._preferences, self._rows_dropped = preferences, rows_dropped
        candidates = [m for m in self._messages.values() if m["role"] == "assistant" and m["content"].strip()]
        self._answers = [a for a in candidates if any(message["role"] == "user" for message in self._branch(a))]
        self._edits = [a for a in self._answers if a["edited_from"] in self._messages and a["rating"] >= 0]
        self._edited_ids = {edit["edited_from"] for edit in self._edits}

    def rows(self) -> Iterator[tuple[str, Json]]:
        """Each row, and the file it belongs to."""
        for answer in self._sft_answers():
            yield "sft.jsonl", {"messages": self._chat(answer)}
        for chosen, rejected in self._pairs():
            *prompt, chosen_message = self._chat(chosen)
            rejected_message = {"role": "assistant", "content": rejected["content"]}
            yield "preferences.jsonl", {"prompt": prompt, "chosen": [chosen_message], "rejected": [rejected_message]}
        for answer in self._answers:
            if answer["rating"]:
                yield "judgments.jsonl", {"messages": self._chat(answer), "label": answer["rating"] > 0}
                yield from self._label_rows(answer)

    def _label_rows(self, answer: Json) -> Iterator[tuple[str, Json]]:
        reason = " ".join(answer["reason"].split())
        if reason and len(answer["content"]) > MAX_CSV_FIELD_CHARS:
            self._rows_dropped["labels: too long for a CSV field"] += 1
        elif reason:
            yield "labels.csv", {"text": answer["content"], "label": reason}

    def _sft_answers(self) -> list[Json]:
        """The last answer of each conversation in sft.jsonl."""
        good_answers: dict[str, Json] = {}
        ids_on_branches: set[str] = set()
        for answer in self._answers:
            is_good = answer["rating"] > 0 or (answer["rating"] == 0 and answer["edited_from"] is not None)
            if not is_good or answer["id"] in self._edited_ids:
                continue
            *earlier, _ = self._branch(answer)
            if any(message["rating"] < 0 or message["id"] in self._edited_ids for message in earlier):
                self._rows_dropped["sft: after an answer that was rated down or edited"] += 1
                continue
            good_answers[answer["id"]] = answer
            ids_on_branches.update(message["id"] for message in earlier)
        return [answer for id_, answer in good_answers.items() if id_ not in ids_on_branches]

    def _pairs(self) -> Iterator[tuple[Json, Json]]:
        """The better and the worse answer of each pair; an explicit preference overrides what an edit implies."""
        answers = {answer["id"]: answer for answer in self._answers}
        explicit_pairs = [(preference["chosen"], preference["rejected"]) for preference in self._preferences]
        decided = {frozenset(pair) for pair in explicit_pairs}
        edit_pairs = [(edit["id"], edit["edited_from"]) for edit in self._edits]
        for chosen_id, rejected_id in explicit_pairs + [pair for pair in edit_pairs if frozenset(pair) not in decided]:
            chosen, rejected = answers.get(chosen_id), answers.get(rejected_id)
            if chosen and rejected and chosen["content"] != rejected["content"]:
                yield chosen, rejected

    def _branch(self, message: Json) -> list[Json]:
        """The messages from the root to this one."""
        branch = [message]
        while (parent := branch[-1]["parent"]) is not None:
            branch.append(self._messages[parent])
        return branch[::-1]

    def _chat(self, answer: Json) -> list[Json]:
        """The branch up to an answer as chat messages, with the system prompt in front."""
        return [*self._system, *({"role": m["role"], "content": m["content"]} for m in self._branch(answer))]
