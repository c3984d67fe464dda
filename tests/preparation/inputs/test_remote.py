"""Files on S3 and HTTP servers are read as those on the disk are, in ranges where the server sends them."""

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from lmcraft.errors import RunError, UserError
from lmcraft.preparation.contracts import Portion, Tally
from lmcraft.preparation.inputs import borders, ranges, remote, unpacking
from lmcraft.preparation.inputs.ranges import END
from lmcraft.preparation.inputs.survey import survey
from tests.preparation.inputs.reading import read_all, read_one, record_of, source_of, texts
from tests.preparation.inputs.servers import WebFiles, serve

ROWS = [f"row {number}: 天地玄黄" + " and more words" * (number % 7) for number in range(300)]
PAGE = "<article><p>" + " ".join(f"Sentence {n} of a page that is worth reading." for n in range(20)) + "</p></article>"


def table() -> bytes:
    out = io.BytesIO()
    parquet.write_table(pa.table({"text": ROWS}), out, row_group_size=50)
    return out.getvalue()


FILES = {
    "a.jsonl": "".join(json.dumps({"text": row}) + "\n" for row in ROWS).encode(),
    "b.csv": ("id,text\n" + "".join(f'{number},"{row}\n"\n' for number, row in enumerate(ROWS))).encode(),
    "c.parquet": table(),
    "d.txt": ("\n\n".join(ROWS)).encode(),
    "e.jsonl.gz": gzip.compress("".join(json.dumps({"text": row}) + "\n" for row in ROWS).encode()),
    "f.warc.gz": b"".join(gzip.compress(record_of(PAGE.replace("page", f"page {n}"))) for n in range(10)),
    "g.html": PAGE.encode(),
    "h.txt": ("天地玄黄，宇宙洪荒。" * 50 + "\n").encode("gb18030") * 3,
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(remote, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(ranges, "TEXT_BLOCK_BYTES", 4096)
    monkeypatch.setattr(ranges, "BORDER_BYTES", 512)
    monkeypatch.setattr(borders, "SPACING_BYTES", 1024)
    monkeypatch.setattr(unpacking, "MIN_INDEX_BYTES", 1000)
    monkeypatch.setattr(unpacking, "SMALL_BYTES", 100)
    monkeypatch.setattr(unpacking, "BLOCK_BYTES", 2000)
    remote._system.cache_clear()
    yield
    remote._system.cache_clear()


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    """A client of an S3 server with the bucket "corpus"."""
    pytest.importorskip("s3fs")
    boto3 = pytest.importorskip("boto3")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        environment.setenv("AWS_ACCESS_KEY_ID", "key")
        environment.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3")
        client.create_bucket(Bucket="corpus")
        for name, data in FILES.items():
            client.put_object(Bucket="corpus", Key=f"all/{name}", Body=data)
        yield client
    server.stop()


def read_local(folder: Path, unit_bytes: int) -> list[str]:
    for name, data in FILES.items():
        (folder / name).write_bytes(data)
    return texts(read_all([folder / name for name in FILES], folder / "work", unit_bytes=unit_bytes)[0])


@pytest.mark.parametrize("unit_bytes", [5000, 1 << 24])
def test_files_on_s3(s3: Any, unit_bytes: int, tmp_path: Path) -> None:
    expected = read_local(tmp_path, unit_bytes)
    several = [["s3://corpus/all"], ["s3://corpus/all/*"], [f"s3://corpus/all/{name}" for name in FILES]]
    for paths in (["s3://corpus/all/"], *(several if unit_bytes > 5000 else [])):
        records, tally, units = read_all(paths, tmp_path / "work", unit_bytes=unit_bytes)
        assert texts(records) == expected
        assert tally.counts == {}
        assert len(units) == 1 or unit_bytes == 5000
    assert records[0].name == "s3://corpus/all/a.jsonl"


def test_folders_on_s3_are_filtered(s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="corpus", Key="mixed/.hidden.txt", Body=b"x")
    s3.put_object(Bucket="corpus", Key="mixed/sub/a.txt", Body=b"text")
    s3.put_object(Bucket="corpus", Key="mixed/sub/b.py", Body=b"code")
    s3.put_object(Bucket="corpus", Key="mixed/sub/empty.txt", Body=b"")
    s3.put_object(Bucket="corpus", Key="mixed/sub/image.txt", Body=b"\x89PNG\r\n\x1a\n\0")
    result = survey([source_of(["s3://corpus/mixed/"], exclude=("*.py",))], tmp_path)
    assert [file.path for file in result.files] == ["s3://corpus/mixed/sub/a.txt"]
    reasons = {entry["file"].rpartition("/")[2]: entry["reason"].partition(";")[0] for entry in result.skipped}
    assert reasons == {".hidden.txt": "hidden", "empty.txt": "empty", "image.txt": "not text"}


def test_what_is_missing_on_s3_is_named(s3: Any, tmp_path: Path) -> None:
    for path in ("s3://corpus/nothing.txt", "s3://nowhere/a.txt", "s3://corpus/all/*.xyz"):
        with pytest.raises(UserError, match="does not exist; check the address") as caught:
            survey([source_of([path])], tmp_path)
        assert path in str(caught.value)


def test_missing_credentials_are_named(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(UserError, match=r"may not be read .*set the credentials"):
        survey([source_of(["s3://corpus/all/a.jsonl"])], tmp_path)


def test_a_file_on_s3_that_changes_during_the_run(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "FETCH_BYTES", 500)
    s3.put_object(Bucket="corpus", Key="change.jsonl", Body=FILES["a.jsonl"])
    source = source_of(["s3://corpus/change.jsonl"])
    files = survey([source], tmp_path).files
    s3.put_object(Bucket="corpus", Key="change.jsonl", Body=FILES["a.jsonl"].replace(b"more", b"less"))
    with pytest.raises(RunError, match=r"'s3://corpus/change.jsonl' has changed since it was surveyed"):
        read_one(files, Portion(0, 0, END), source, Tally())
    source = source_of(["s3://corpus/change.jsonl"])
    files = survey([source], tmp_path).files
    records = iter_portion(files, source)
    next(records)
    s3.put_object(Bucket="corpus", Key="change.jsonl", Body=FILES["a.jsonl"])
    with pytest.raises(RunError, match="has changed since it was surveyed"):
        list(records)


def iter_portion(files: Any, source: Any) -> Iterator[Any]:
    from lmcraft.preparation.inputs.readers import read_portion
    from tests.preparation.inputs.reading import Positions

    return read_portion(files[0], Portion(0, 0, END), source, {}, 1000, Positions(), Tally())


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("says_size", [True, False])
@pytest.mark.parametrize("unit_bytes", [5000, 1 << 24])
def test_files_on_a_web_server(ranges: bool, says_size: bool, unit_bytes: int, tmp_path: Path) -> None:
    expected = read_local(tmp_path, unit_bytes)
    with serve(WebFiles(FILES, ranges=ranges, says_size=says_size)) as server:
        paths = [f"{server.url}/{name}" for name in FILES]
        records, tally, units = read_all(paths, tmp_path / "work", unit_bytes=unit_bytes)
        assert texts(records) == expected
        assert tally.counts == {}
        if unit_bytes == 5000:
            assert len(units) > 15
        reading = [request for request in server.requests if request.startswith("GET") and "bytes" not in request]
        assert bool(reading) != (ranges and says_size)


def test_a_server_that_fails_for_a_moment(tmp_path: Path) -> None:
    with serve(WebFiles(FILES)) as server:
        source = source_of([f"{server.url}/a.jsonl?token=1"])
        server.failures = 2
        files = survey([source], tmp_path).files
        server.failures = 3
        assert texts(read_one(files, Portion(0, 0, END), source, Tally())) == ROWS


def test_a_server_that_keeps_failing(tmp_path: Path) -> None:
    with serve(WebFiles(FILES)) as server:
        source = source_of([f"{server.url}/a.jsonl"])
        files = survey([source], tmp_path).files
        server.failures = 1000
        with pytest.raises(RunError, match=r"a.jsonl' cannot be read \(503.*run the same command again; what is finished"):
            read_one(files, Portion(0, 0, END), source, Tally())
        server.failures = 0
        with pytest.raises(UserError, match="does not exist; check the address"):
            survey([source_of([f"{server.url}/missing.txt"])], tmp_path)
    with pytest.raises(RunError, match=r"127.0.0.1:9/a.txt' cannot be read"):
        survey([source_of(["http://127.0.0.1:9/a.txt"])], tmp_path)


def test_s3_that_fails_for_a_moment_and_for_long(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from moto.s3.responses import S3Response

    source = source_of(["s3://corpus/all/a.jsonl"])
    files = survey([source], tmp_path).files
    answer: Callable[..., Any] = S3Response.key_response
    failures = 3

    def fail(*arguments: Any, **settings: Any) -> Any:
        nonlocal failures
        failures -= 1
        slow = b"<Error><Code>ServiceUnavailable</Code><Message>The server is busy.</Message></Error>"
        return (503, {}, slow) if failures >= 0 else answer(*arguments, **settings)

    monkeypatch.setattr(S3Response, "key_response", fail)
    assert texts(read_one(files, Portion(0, 0, END), source, Tally())) == ROWS
    failures = 1000
    with pytest.raises(RunError, match=r"'s3://corpus/all/a.jsonl' cannot be read \(.*run the same command again"):
        read_one(files, Portion(0, 0, END), source, Tally())


def test_other_addresses_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="address 's3://' names no file"):
        survey([source_of(["s3://"])], tmp_path)
    with pytest.raises(UserError, match="addresses of gopher:// cannot be read"):
        survey([source_of(["gopher://host/a.txt"])], tmp_path)
