"""Training documents by number, and where they begin."""

import gzip
import json
from pathlib import Path

import pytest

from lmcraft import PrepareConfig, prepare
from lmcraft.errors import UserError
from lmcraft.interpretability.influence.documents import Documents
from tests.interpretability.influence.conftest import MakeDocuments
from tests.mixed import two_sources
from tests.tiny import tiny_dataset

TEXTS = ["one fish", "two fish and a good deal more of them", "", "three\nfish", "one fish"]


def test_text_and_tokens_of_a_document(make_documents: MakeDocuments) -> None:
    documents = make_documents([text for text in TEXTS if text])
    assert len(documents) == 4
    assert [documents.text(number) for number in range(4)] == ["one fish", TEXTS[1], "three\nfish", "one fish"]
    assert [len(documents.tokens(number)) for number in range(4)] == documents.lengths.tolist() == [8, 37, 10, 8]


def test_rows_are_named_by_their_line(make_documents: MakeDocuments) -> None:
    documents = make_documents(TEXTS)
    file = documents.folder.path.parent / "texts.jsonl"
    assert documents.find_sources([1, 2]) == {1: f"{file}:2", 2: f"{file}:4"}


def test_pieces_of_a_text_file_are_named_by_their_line(tmp_path: Path) -> None:
    documents = Documents(tiny_dataset(tmp_path))
    sources = documents.find_sources(range(len(documents)))
    lines = (tmp_path / "text.txt").read_text(encoding="utf-8").split("\n")
    for number in range(len(documents)):
        file, line = sources[number].rsplit(":", 1)
        assert file == str(tmp_path / "text.txt")
        assert documents.text(number).split("\n")[0] == lines[int(line) - 1]


def test_a_compressed_file_beside_a_moved_dataset_is_found(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    with gzip.open(tmp_path / "old" / "a.txt.gz", "wt", encoding="utf-8") as file:
        file.write("a first line\n\n" * 40 + "the line that is looked up, far from the start\n\n")
    prepare(
        PrepareConfig(
            (str(tmp_path / "old" / "a.txt.gz"),),
            out=tmp_path / "old" / "data",
            tokenizer_type="characters",
            validation=0.0,
            document_chars=100,
        )
    )
    (tmp_path / "old").rename(tmp_path / "new")
    documents = Documents(tmp_path / "new" / "data")
    last = len(documents) - 1
    origin = documents.find_sources([last])[last]
    assert origin.startswith(str(tmp_path / "old" / "a.txt.gz:"))


def test_documents_without_their_files_are_numbered_within_their_source(
    tmp_path: Path, make_documents: MakeDocuments
) -> None:
    (tmp_path / "mixed").mkdir()
    documents = Documents(two_sources(tmp_path / "mixed"))
    letters = documents.folder.manifest()["parts"][0]["train"]["documents"]
    (documents.folder.path / "files.jsonl.gz").write_bytes(b"damaged")
    assert documents.find_sources([0, letters]) == {0: "letters, document 1", letters: "digits, document 1"}
    plain = make_documents(TEXTS)
    file = plain.folder.path.parent / "texts.jsonl"
    file.unlink()
    assert plain.find_sources([2]) == {2: f"{file}, document 3"}


@pytest.mark.parametrize("encoding", ["nonsense", "zlib", "\ud800", "utf-16"])
def test_a_list_of_files_that_somebody_damaged_is_not_trusted(encoding: str, make_documents: MakeDocuments) -> None:
    documents = make_documents(TEXTS)
    file = documents.folder.path.parent / "texts.jsonl"
    row = {"source": str(file), "file": str(file), "format": "jsonl", "sha256": "", "encoding": encoding}
    with gzip.open(documents.folder.path / "files.jsonl.gz", "wt") as lines:
        lines.write(f"{json.dumps(row)}\n[1]\n" + json.dumps(row | {"file": "\udcff"}) + "\nnot JSON")
    assert documents.find_sources([0]) == {0: "data, document 1"}


def test_a_folder_without_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        Documents(tmp_path)
