"""From what people said of answers to data for `lmcraft finetune`.

| file | has | out of |
|---|---|---|
| sft.jsonl | `messages` | the way from the root to an answer that was rated up or is a person's wording |
| preferences.jsonl | `prompt`, `chosen`, `rejected` | picks of two answers, and a person's wording over what it was before |
| judgments.jsonl | `messages`, `label` | answers that were rated up (true) or down (false) |
| labels.csv | `text`, `label` | answers, by the reason that was given with the rating |

Fine-tuning learns every answer of a conversation. So sft.jsonl has the longest of several wanted ways along one branch, and
none that leads through an answer that was rated down or reworded.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lmcraft.errors import UserError
from lmcraft.folder import atomic_write, sha256_of, write_json
from lmcraft.server.conversations.store import Store

Json = dict[str, Any]
KINDS = {
    "sft.jsonl": "conversations",
    "preferences.jsonl": "preferences",
    "judgments.jsonl": "judgments",
    "labels.csv": "labels",
}
LONGEST_FIELD = 131_072  # characters of a field that Python's csv reads


def export_examples(store: Store, out: Path) -> dict[str, int]:
    """Write what all owners of a store said of its answers as a folder of examples, whole or not at all.

    Args:
        store: is read one conversation at a time.
        out: the folder; an older one is replaced.

    Returns:
        The rows of each file; one without rows is left out.

    Raises:
        UserError: nobody has said anything of an answer.
    """
    read: Counter[str] = Counter()
    left_out: Counter[str] = Counter()
    with atomic_write(out) as folder:
        folder.mkdir()
        with ExitStack() as stack:
            files = {name: stack.enter_context(_Rows(folder / name)) for name in KINDS}
            for owner in store.owners():
                read["owners"] += 1
                for conversation, picks in store.export(owner):
                    read["conversations"] += 1
                    read["messages"] += len(conversation["messages"])
                    for name, row in _Tree(conversation, picks, left_out).rows():
                        files[name].add(row)
        counts = {name: rows.count for name, rows in files.items() if rows.count}
        if not counts:
            raise UserError(
                f"store '{store.name}' has no examples (no answer of its {read['conversations']:,} conversations is rated, "
                "edited or picked): rate some on the page of `lmcraft serve` first"
            )
        said = {name: {"kind": KINDS[name], "rows": n, "sha256": sha256_of(folder / name)} for name, n in counts.items()}
        manifest = {"kind": "examples", "lmcraft": version("lmcraft"), "store": store.name, "read": dict(read)}
        write_json(folder / "manifest.json", manifest | {"files": said, "left_out": dict(left_out)})
    return counts


class _Rows:
    """A file of rows, none of them twice; there is none before the first row."""

    def __init__(self, path: Path) -> None:
        self._path, self._stack, self._seen = path, ExitStack(), set[bytes]()
        self._file: Any = None

    def __enter__(self) -> "_Rows":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def count(self) -> int:
        return len(self._seen)

    def add(self, row: Json) -> None:
        line = json.dumps(row, ensure_ascii=False)
        digest = sha256(line.encode()).digest()
        if digest in self._seen:
            return
        table = self._path.suffix == ".csv"
        if self._file is None:
            self._file = self._stack.enter_context(self._path.open("w", encoding="utf-8", newline=""))
            if table:
                csv.writer(self._file).writerow(row)
        if table:
            csv.writer(self._file).writerow(row.values())
        else:
            self._file.write(line + "\n")
        self._seen.add(digest)


class _Tree:
    """A conversation, its picks, and what they come to."""

    def __init__(self, conversation: Json, picks: list[Json], left_out: Counter[str]) -> None:
        self._system = [{"role": "system", "content": conversation["system"]}] if conversation["system"].strip() else []
        self._messages: dict[str, Json] = {message["id"]: message for message in conversation["messages"]}
        self._picks, self._left_out = picks, left_out
        said = [m for m in self._messages.values() if m["role"] == "assistant" and m["content"].strip()]
        self._answers = [answer for answer in said if any(m["role"] == "user" for m in self._way(answer))]
        self._edits = [a for a in self._answers if a["edited_from"] in self._messages and a["rating"] >= 0]
        self._reworded = {edit["edited_from"] for edit in self._edits}

    def rows(self) -> Iterator[tuple[str, Json]]:
        """Each row, and the file it belongs to."""
        for answer in self._wanted():
            yield "sft.jsonl", {"messages": self._told(answer)}
        for chosen, rejected in self._pairs():
            *prompt, better = self._told(chosen)
            worse = {"role": "assistant", "content": rejected["content"]}
            yield "preferences.jsonl", {"prompt": prompt, "chosen": [better], "rejected": [worse]}
        for answer in self._answers:
            if answer["rating"]:
                yield "judgments.jsonl", {"messages": self._told(answer), "label": answer["rating"] > 0}
                yield from self._label(answer)

    def _label(self, answer: Json) -> Iterator[tuple[str, Json]]:
        reason = " ".join(answer["reason"].split())
        if reason and len(answer["content"]) > LONGEST_FIELD:
            self._left_out["labels: longer than a field of a table can be"] += 1
        elif reason:
            yield "labels.csv", {"text": answer["content"], "label": reason}

    def _wanted(self) -> list[Json]:
        """The answers that a conversation to learn from ends with."""
        found: dict[str, Json] = {}
        within: set[str] = set()
        for answer in self._answers:
            good = answer["rating"] > 0 or (answer["rating"] == 0 and answer["edited_from"] is not None)
            if not good or answer["id"] in self._reworded:
                continue
            *before, _ = self._way(answer)
            if any(message["rating"] < 0 or message["id"] in self._reworded for message in before):
                self._left_out["sft: after an answer that was rated down or reworded"] += 1
                continue
            found[answer["id"]] = answer
            within.update(message["id"] for message in before)
        return [answer for name, answer in found.items() if name not in within]

    def _pairs(self) -> Iterator[tuple[Json, Json]]:
        """The better and the worse answer of each pick; what was picked wins over what an edit implies."""
        known = {answer["id"]: answer for answer in self._answers}
        picked = [(pick["chosen"], pick["rejected"]) for pick in self._picks]
        settled = {frozenset(pair) for pair in picked}
        edits = [(edit["id"], edit["edited_from"]) for edit in self._edits]
        for better, worse in picked + [pair for pair in edits if frozenset(pair) not in settled]:
            pair = known.get(better), known.get(worse)
            if pair[0] and pair[1] and pair[0]["content"] != pair[1]["content"]:
                yield pair[0], pair[1]

    def _way(self, message: Json) -> list[Json]:
        """The messages from the root to this one."""
        way = [message]
        while (parent := way[-1]["parent"]) is not None:
            way.append(self._messages[parent])
        return way[::-1]

    def _told(self, answer: Json) -> list[Json]:
        spoken = [{"role": message["role"], "content": message["content"]} for message in self._way(answer)]
        return [*self._system, *spoken]
