"""Feedback on answers as files that `lmcraft finetune` reads."""

import json
from pathlib import Path
from typing import Any

import pytest

from lmcraft.errors import UserError
from lmcraft.finetuning.example_files import read_examples
from lmcraft.finetuning.examples import Conversation, Judgment, Labeled, Preference
from lmcraft.folder.examples import MAX_CSV_FIELD_CHARS
from lmcraft.server.conversations.exporter import export_examples
from lmcraft.server.conversations.store import Store


class Chat:
    """Writes a conversation into a store."""

    def __init__(self, store: Store, owner: str = "ann", system: str = "") -> None:
        self.store, self.owner = store, owner
        self.id = store.create(owner, system=system)["id"]

    def user(self, content: str, parent: str | None = None) -> str:
        return str(self.store.add(self.owner, self.id, role="user", content=content, parent=parent)["id"])

    def answer(self, content: str, parent: str, rating: int = 0, reason: str = "", **fields: Any) -> str:
        message_id = self.store.add(self.owner, self.id, role="assistant", content=content, parent=parent, **fields)["id"]
        if rating:
            self.store.rate(self.owner, message_id, rating, reason)
        return str(message_id)


def texts(path: Path) -> list[str]:
    """Each conversation of a file, its contents joined into one line."""
    return [" ".join(m["content"] for m in example.messages) for example in read_examples([path])]  # type: ignore[union-attr]


def test_finetune_detects_the_kind_of_every_file(store: Store, tmp_path: Path) -> None:
    chat = Chat(store, system="Be brief.")
    question = chat.user("Why is the sky blue?")
    good = chat.answer('Rayleigh\r\nscattering,\r "chosen" 天.', question, 1, " clear\nand short ")
    bad = chat.answer("Magic.", question, -1, "untrue")
    store.prefer("ann", good, bad)
    counts = export_examples(store, tmp_path / "out")
    assert counts == {"sft.jsonl": 1, "preferences.jsonl": 1, "judgments.jsonl": 2, "labels.csv": 2}
    prompt = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why is the sky blue?"})
    chosen, rejected = ({"role": "assistant", "content": m["content"]} for m in store.get("ann", chat.id)["messages"][1:])
    read = {name: read_examples([tmp_path / "out" / name]) for name in counts}
    assert read["sft.jsonl"] == [Conversation((*prompt, chosen))]
    assert read["preferences.jsonl"] == [Preference(prompt, chosen, rejected)]
    assert read["judgments.jsonl"] == [Judgment((*prompt, chosen), True), Judgment((*prompt, rejected), False)]
    assert read["labels.csv"] == [
        Labeled(chosen["content"], ("clear and short",)),
        Labeled("Magic.", ("untrue",)),
    ]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert {name: file["rows"] for name, file in manifest["files"].items()} == counts
    assert manifest["read"] == {"owners": 1, "conversations": 1, "messages": 3} and manifest["store"] == store.name


def test_an_edit_is_preferred_to_the_original(store: Store, tmp_path: Path) -> None:
    chat = Chat(store)
    question = chat.user("why?")
    first = chat.answer("draft", question, 1)
    second = chat.answer("better", question, edited_from=first)
    chat.answer("best", question, edited_from=second)
    chat.answer("spoiled", question, -1, edited_from=first)
    orphan = chat.answer("deleted", question)
    chat.answer("edit of a deleted answer", question, edited_from=orphan)
    store.delete_message("ann", orphan)
    export_examples(store, tmp_path / "out")
    assert texts(tmp_path / "out/sft.jsonl") == ["why? best", "why? edit of a deleted answer"]
    pairs = read_examples([tmp_path / "out/preferences.jsonl"])
    assert [(p.chosen["content"], p.rejected["content"]) for p in pairs if isinstance(p, Preference)] == [
        ("better", "draft"),
        ("best", "better"),
    ]


def test_an_explicit_preference_overrides_an_edit(store: Store, tmp_path: Path) -> None:
    chat = Chat(store)
    question = chat.user("why?")
    first = chat.answer("plain", question)
    edit = chat.answer("rejected", question, edited_from=first)
    store.prefer("ann", first, edit)
    export_examples(store, tmp_path / "out")
    [pair] = read_examples([tmp_path / "out/preferences.jsonl"])
    assert isinstance(pair, Preference) and pair.chosen["content"] == "plain"


def test_sft_takes_the_longest_branches_and_none_through_a_bad_answer(store: Store, tmp_path: Path) -> None:
    chat = Chat(store)
    good = chat.answer("1", chat.user("a"), 1)
    chat.answer("2", chat.user("b", good), 1)
    left = chat.answer("3", chat.user("c", good), 1)
    chat.answer("not rated", chat.user("d", left))
    bad = chat.answer("4", chat.user("e"), -1)
    chat.answer("5", chat.user("f", bad), 1)
    export_examples(store, tmp_path / "out")
    assert texts(tmp_path / "out/sft.jsonl") == ["a 1 b 2", "a 1 c 3"]
    assert len(texts(tmp_path / "out/judgments.jsonl")) == 5
    [(why, rows)] = json.loads((tmp_path / "out/manifest.json").read_text())["left_out"].items()
    assert "rated down" in why and rows == 1


def test_rows_are_distinct_across_owners(store: Store, tmp_path: Path) -> None:
    for owner in ("ann", "ann", "bob"):
        chat = Chat(store, owner)
        question = chat.user("why?")
        chat.answer("because", question, 1, "clear")
        chat.answer("because", question, 1, "clear")
    counts = export_examples(store, tmp_path / "out")
    assert counts == {"sft.jsonl": 1, "judgments.jsonl": 1, "labels.csv": 1}
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted([*counts, "manifest.json"])


def test_blank_answers_and_answers_without_a_question_are_dropped(store: Store, tmp_path: Path) -> None:
    chat = Chat(store)
    question = chat.user("why?")
    chat.answer(" \n", question, 1)
    message_id = store.add("ann", chat.id, role="assistant", content="Hello", parent=None)["id"]
    store.rate("ann", message_id, 1)
    with pytest.raises(UserError, match="has no examples"):
        export_examples(store, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".out*"))


def test_texts_longer_than_a_csv_field_get_no_label_row(store: Store, tmp_path: Path) -> None:
    chat = Chat(store)
    question = chat.user("why?")
    chat.answer("x" * MAX_CSV_FIELD_CHARS, question, 1, "long")
    chat.answer("x" * (MAX_CSV_FIELD_CHARS + 1), question, 1, "long")
    assert export_examples(store, tmp_path / "out")["labels.csv"] == 1
    assert len(read_examples([tmp_path / "out/labels.csv"])) == 1
    assert sum(json.loads((tmp_path / "out/manifest.json").read_text())["left_out"].values()) == 1
