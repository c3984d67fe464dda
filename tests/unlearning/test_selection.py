"""Documents by number and text, and those that share text with them."""

from pathlib import Path

import pytest

from lmcraft import PrepareConfig, prepare
from lmcraft.errors import UserError
from lmcraft.folder import ModelFolder
from lmcraft.interpretability.influence.documents import Documents
from lmcraft.interpretability.influence.training_run import TrainingRun
from lmcraft.unlearning.selection import find_similar, first_steps, select_documents


def test_texts_name_documents(documents: Documents) -> None:
    text = documents.text(5)
    inside = " ".join(text.split()[3:12])
    assert 5 in select_documents(documents, [], [inside]).numbers
    assert 5 in select_documents(documents, [], [f"before\n{text}\nafter"]).numbers
    selection = select_documents(documents, [9, 2], ["no such words"])
    assert (selection.numbers, selection.unknown) == ((2, 9), ("no such words",))


def test_a_text_in_too_many_documents(documents: Documents) -> None:
    with pytest.raises(UserError, match="text='fox' is in 50 of the 50 training documents: give a longer one"):
        select_documents(documents, [], ["fox"])


def test_first_steps_are_those_that_read_a_document(run_folder: ModelFolder) -> None:
    run = TrainingRun.open(run_folder, allow_dropout=True)
    steps = first_steps(run, range(5))
    for number, first in steps.items():
        reads = [step for step in range(run.steps) if (run.batch(step).documents == number).any()]
        assert first == reads[0]


@pytest.mark.parametrize("copies", [1, 2])
def test_documents_that_share_text_are_similar(tmp_path: Path, copies: int) -> None:
    words = [f"word{number}" for number in range(40)]
    shared = " ".join(words)
    texts = [shared, "something else entirely, without a word of it", *[f"{shared} and a little more"] * copies, "short"]
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(f'{{"text": "{text}"}}\n' for text in texts), encoding="utf-8")
    config = PrepareConfig((str(source),), out=tmp_path / "data", tokenizer_type="characters", validation=0.0)
    similar = find_similar(documents := Documents(prepare(config)), [0])
    assert [number for number, _ in similar] == list(range(2, 2 + copies))
    assert all(share > 0.9 for _, share in similar)
    assert find_similar(documents, [len(documents) - 1]) == []  # shorter than a run
