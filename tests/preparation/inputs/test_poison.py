"""A file that cannot be read is left out and reported with its reason; it never ends the run."""

import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from pyarrow import parquet

from lmcraft.errors import RunError, UserError
from lmcraft.preparation.contracts import DocumentId, Portion, Tally
from lmcraft.preparation.inputs import archives, contents, poison, unpacking, warc
from lmcraft.preparation.inputs.poison import explain_damage
from lmcraft.preparation.inputs.ranges import END
from lmcraft.preparation.inputs.readers import read_portion
from lmcraft.preparation.inputs.survey import survey
from tests.data.test_encodings import CHINESE
from tests.preparation.inputs.reading import Positions, read_all, read_one, record_of, source_of, texts

PAGE = "<article><p>" + " ".join(f"Sentence {n} of a page that is worth reading." for n in range(20)) + "</p></article>"
ROWS = b"".join(json.dumps({"text": f"row {number} of many words"}).encode() + b"\n" for number in range(500))

GOOD = '{"text": "天地玄黄"}\n'.encode() * 9


def flip(data: bytes, position: int) -> bytes:
    """The data with a few damaged bytes in the middle."""
    return data[:position] + bytes(byte ^ 0xFF for byte in data[position : position + 8]) + data[position + 8 :]


def parquet_of(rows: int) -> bytes:
    out = io.BytesIO()
    table = pa.table({"text": [f"row {number} {number * 7919}" for number in range(rows)]})
    parquet.write_table(table, out, row_group_size=100, compression="zstd", use_dictionary=False)
    return out.getvalue()


def zip_of(**files: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_", "."), data)
    return out.getvalue()


def tar_of(**files: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(name.replace("_", "."))
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def changed_zip(entry_field: int, entry_value: int, file_field: int, file_value: int) -> bytes:
    """An archive with a changed field of two bytes in its directory and before its file."""
    data = bytearray(zip_of(a_txt=b"secret"))
    for signature, field, value in ((b"PK\x01\x02", entry_field, entry_value), (b"PK\x03\x04", file_field, file_value)):
        position = data.index(signature) + field
        data[position : position + 2] = struct.pack("<H", value)
    return bytes(data)


POISONED = {
    "truncated.jsonl.gz": (gzip.compress(ROWS)[:-20], "damaged"),
    "flipped.jsonl.gz": (flip(gzip.compress(ROWS), 300), "damaged"),
    "checksum.jsonl.gz": (gzip.compress(ROWS)[:-8] + bytes(8), "damaged"),
    "plain.jsonl.gz": (ROWS, "not compressed, though its name ends in '.gz'"),
    "truncated.jsonl.zst": (zstandard.compress(ROWS)[:-9], "damaged"),
    "flipped.txt.zst": (flip(zstandard.compress(ROWS), 40), "damaged"),
    "not.zip": (b"PK nothing of the kind" * 20, "damaged"),
    "truncated.zip": (zip_of(a_jsonl=ROWS)[:-40], "damaged"),
    "flipped.zip": (flip(zip_of(a_jsonl=ROWS), 200), "damaged"),
    "deflate64.zip": (changed_zip(10, 9, 8, 9), "damaged (That compression method is not supported)"),
    "encrypted.zip": (changed_zip(8, 1, 6, 1), "encrypted"),
    "nested.zip": (zip_of(inner_zip=zip_of(a_txt=b"x")), "an archive within an archive"),
    "truncated.tar": (tar_of(a_jsonl=ROWS, b_jsonl=ROWS)[:-14000], "damaged"),
    "truncated.tar.gz": (gzip.compress(tar_of(a_jsonl=ROWS, b_jsonl=ROWS))[:-500], "damaged"),
    "not.tar": (b"x" * 5000, "damaged"),
    "nothing.parquet": (b"x" * 100, "damaged"),
    "truncated.parquet": (parquet_of(300)[:-300], "damaged"),
    "column.parquet": (parquet_of(10).replace(b"text", b"next"), "has no column 'text'; set text_field to one of next"),
    "column.csv": (b"words,b\nx,y\n", "has no column 'text'; set text_field to one of words, b"),
    "twice.csv": (b"text,text\nx,y\n", "names the column 'text' 2 times"),
    "garbage.warc": (b"no web archive at all\r\n" * 10, "damaged"),
    "flipped.warc.gz": (flip(gzip.compress(record_of("<p>page</p>")), 60), "damaged"),
    "truncated.warc": (record_of("<p>some words in a page</p>")[:-20], "ends within a record"),
    "latin.txt.gz": (gzip.compress(CHINESE.encode("gb18030") * 200 + b"\xff\xff"), "its byte"),
    "binary.txt.gz": (gzip.compress(b"\x00\x01\x02" * 50), "not text"),
}


@pytest.mark.parametrize("name", POISONED)
@pytest.mark.parametrize("small_bytes", [0, 1 << 20])
def test_a_poisoned_file(name: str, small_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SMALL_BYTES", small_bytes)
    data, reason = POISONED[name]
    (tmp_path / name).write_bytes(data)
    (tmp_path / "a.txt").write_text("before")
    (tmp_path / "z.txt").write_text("after")
    records, tally, _ = read_all([tmp_path / "a.txt", tmp_path / name, tmp_path / "z.txt"], tmp_path / "work")
    reports = [example for _, example in tally.examples["poisoned"]]
    assert len(reports) == 1
    assert reports[0]["file"].startswith(str(tmp_path / name))
    assert reason in reports[0]["reason"]
    assert sum(count for kind, count in tally.counts.items() if kind.startswith("poisoned/")) == 1
    assert texts(records)[0] == "before"
    assert texts(records)[-1] == "after"
    if "tar" not in name:
        assert len(records) == 2


@pytest.mark.parametrize("suffix", ["txt.gz", "jsonl.gz", "txt.zst", "zip", "tar.gz", "warc.zst"])
@pytest.mark.parametrize("small_bytes", [0, 1 << 20])
def test_a_bomb(suffix: str, small_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "SMALL_BYTES", small_bytes)
    monkeypatch.setattr(archives, "MIN_BOMB_BYTES", 1 << 20)
    monkeypatch.setattr(archives, "MAX_EXPANSION", 100)
    bomb = b"boom " * (4 << 20)
    data = {
        "zst": lambda: zstandard.compress(bomb),
        "gz": lambda: gzip.compress(tar_of(a_txt=bomb) if suffix == "tar.gz" else bomb),
        "zip": lambda: zip_of(a_txt=bomb),
    }[suffix.rpartition(".")[2]]()
    (tmp_path / f"bomb.{suffix}").write_bytes(data)
    (tmp_path / "z.txt").write_text("after")
    records, tally, _ = read_all([tmp_path / f"bomb.{suffix}", tmp_path / "z.txt"], tmp_path / "work")
    assert texts(records) == ["after"]
    assert {example["reason"].partition(":")[0] for _, example in tally.examples["poisoned"]} == {"a decompression bomb"}


def test_many_members_can_be_a_bomb_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MIN_BOMB_BYTES", 1 << 20)
    monkeypatch.setattr(archives, "MAX_EXPANSION", 100)
    members = {f"m{number}_txt": b"boom " * 40_000 for number in range(20)}
    (tmp_path / "bomb.zip").write_bytes(zip_of(**members))
    records, tally, _ = read_all([tmp_path / "bomb.zip"], tmp_path / "work")
    assert records == []
    assert "a decompression bomb" in tally.examples["poisoned"][0][1]["reason"]


def test_what_comes_before_the_damage_of_a_web_archive_is_kept(tmp_path: Path) -> None:
    whole = b"".join(gzip.compress(record_of(PAGE)) for _ in range(3))
    (tmp_path / "a.warc.gz").write_bytes(whole[:-30])
    records, tally, _ = read_all([tmp_path / "a.warc.gz"], tmp_path / "work")
    assert len(records) == 2
    assert len(tally.examples["poisoned"]) == 1


def test_damaged_rows_of_a_parquet_file_leave_the_others(tmp_path: Path) -> None:
    data = parquet_of(1000)
    middle = len(data) // 2
    (tmp_path / "a.parquet").write_bytes(data[:middle] + bytes(500) + data[middle + 500 :])
    whole, tally, _ = read_all([tmp_path / "a.parquet"], tmp_path / "work")
    assert len(tally.examples["poisoned"]) == 1
    assert 100 <= len(whole) < 1000


def test_large_pages_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warc, "MAX_PAGE_BYTES", 2000)
    monkeypatch.setattr(warc, "MAX_HEADERS_BYTES", 200)
    long = "<p>" + "far too long " * 200 + "</p>"
    squeezed = record_of(gzip.compress(long.encode()), "Content-Type: text/html\r\nContent-Encoding: gzip")
    (tmp_path / "a.warc").write_bytes(record_of(long) + squeezed + record_of(PAGE))
    records, tally, _ = read_all([tmp_path / "a.warc"], tmp_path / "work")
    assert len(records) == 1
    assert sum(tally.counts.values()) == 2


def test_a_huge_html_file_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_bytes(b"<p>" + b"word " * (poison.MAX_PAGE_BYTES // 5 + 1))
    (tmp_path / "z.txt").write_text("after")
    records, tally, _ = read_all([tmp_path / "a.html", tmp_path / "z.txt"], tmp_path / "work")
    assert texts(records) == ["after"]
    assert "longer than 10 MB" in tally.examples["poisoned"][0][1]["reason"]


def test_an_endless_field_of_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmcraft.data import separated_values

    monkeypatch.setattr(separated_values, "MAX_CELL_CHARS", 1000)
    monkeypatch.setattr(contents, "MAX_LINE_BYTES", 500)
    (tmp_path / "a.csv").write_bytes(b'id,text\n1,one\n2,"never closed ' + b"x" * 5000 + b"\n" + b"3,three\n" * 200)
    records, tally, _ = read_all([tmp_path / "a.csv"], tmp_path / "work")
    assert texts(records)[0] == "one"
    assert any(kind.startswith("malformed/") for kind in tally.counts)


def test_invalid_bytes_are_replaced_and_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("naïve café. ".encode() * 50 + b"\xff end")
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "a \\ud800 lone half"}\n{"text": "\xff"}\n{"text": "good"}\n' + GOOD)
    records, tally, _ = read_all([tmp_path / "a.txt", tmp_path / "b.jsonl"], tmp_path / "work")
    assert texts(records) == ["naïve café. " * 50 + "\ufffd end", "a \ufffd lone half", "good", *["天地玄黄"] * 9]
    assert tally.counts == {"invalid_bytes": 2, "malformed/not valid UTF-8": 1}


def test_the_survey_says_what_it_leaves_out(tmp_path: Path) -> None:
    files = {
        "a.txt": b"text",
        "b.png": b"\x89PNG\r\n\x1a\n\0\0",
        "c.txt": b"",
        "d.txt": CHINESE.encode("gb18030") * 200 + b"\xff\xff",
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    result = survey([source_of([tmp_path])], tmp_path.parent / f"{tmp_path.name}-work")
    assert [Path(file.path).name for file in result.files] == ["a.txt"]
    reasons = {Path(entry["file"]).name: entry["reason"] for entry in result.skipped}
    assert set(reasons) == {"b.png", "c.txt", "d.txt"}
    assert reasons["c.txt"] == "empty"
    with pytest.raises(UserError, match=r"source 'test' has no file that can be read: .*b\.png: not text"):
        survey([source_of([tmp_path / "b.png"])], tmp_path / "work")
    with pytest.raises(UserError, match="does not exist"):
        survey([source_of([tmp_path / "nowhere"])], tmp_path / "work")


def test_a_file_that_changes_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one")
    source = source_of([tmp_path / "a.txt"])
    files = survey([source], tmp_path / "work").files
    (tmp_path / "a.txt").write_text("another")
    with pytest.raises(RunError, match="has changed since it was surveyed"):
        read_one(files, Portion(0, 0, END), source, Tally())


def test_documents_that_ended_a_worker_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "one"}\n{"text": "two"}\n')
    source = source_of([tmp_path / "a.jsonl"])
    files = survey([source], tmp_path / "work").files
    positions = Positions(skipped=frozenset({DocumentId(0, 0, 0)}))
    records = list(read_portion(files[0], Portion(0, 0, END), source, {}, 100, positions, Tally()))
    assert texts(records) == ["two"]
    assert positions.begun == [DocumentId(0, 0, 16)]


def test_errors_of_the_disk_are_no_damage() -> None:
    assert explain_damage(OSError(5, "Input/output error")) is None
    assert explain_damage(OSError(28, "No space left on device")) is None
    assert explain_damage(RunError("full")) is None
    assert explain_damage(KeyboardInterrupt()) is None
    assert explain_damage(AssertionError()) is None
    assert explain_damage(zlib.error("bad")) == "damaged (bad); download it again, or leave it out"


def test_pages_without_text_and_those_that_break_a_library_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.html").write_text("<html><body><script>x = 1</script></body></html>")
    (tmp_path / "b.html").write_text(PAGE)
    (tmp_path / "c.po").write_text('msgid ""\nmsgstr ""\n')
    _, tally, _ = read_all([tmp_path], tmp_path.parent / f"{tmp_path.name}-work")
    assert tally.counts == {"malformed/no text remains without its markup": 2}

    def fail(*arguments: object) -> str:
        raise RecursionError("too deep")

    monkeypatch.setattr(contents, "text_of_page", fail)
    records, tally, _ = read_all([tmp_path / "b.html"], tmp_path.parent / f"{tmp_path.name}-work")
    assert records == []
    assert tally.counts == {"malformed/its markup cannot be read": 1}


def test_a_file_that_takes_long_to_unpack_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "TICK_BYTES", 1 << 20)
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(b"word \n" * (1 << 20)))
    source = source_of([tmp_path / "a.txt.gz"])
    ticks: list[int] = []
    passages = archives.read_unpacked(survey([source], tmp_path / "work").files[0], source, Tally(), ticks.append)
    assert len(list(passages)) == 1
    assert len(ticks) > 6  # its encoding is found first, and then it is read


def test_the_remedy_of_an_encoding_is_the_recipes_own(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes((CHINESE * 20).encode("gb18030"))
    with pytest.raises(UserError, match="name another encoding with the source's setting `encoding`, or convert"):
        survey([source_of([path], encoding="utf-8")], tmp_path / "work")
