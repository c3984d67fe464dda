"""Hugging Face repositories: downloads, verification, the cache and rejections, against a local fake hub."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections import namedtuple
from functools import partial
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download, snapshot_download

from lmcraft.errors import LmcraftError, RunError, UserError
from lmcraft.hub import fetch_model
from tests.hub.conftest import MODEL, WEIGHTS
from tests.hub.fake_hub import FakeHub, Repo, sha256

EXPECTED_FILES = {"config.json", "tokenizer.json", "model.safetensors", "README.md", "LICENSE"}
COMMIT = "a" * 40
PARTIAL = f"models--some--model/blobs/{sha256(WEIGHTS)}.lmcraft.incomplete"


def blobs() -> Path:
    return Path(constants.HF_HUB_CACHE) / "models--some--model/blobs"


def damage(path: Path) -> None:
    """Change one byte and keep the length; the modification time changes."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


def fails(address: str, kind: type[LmcraftError], *words: str, offline: bool = False) -> None:
    """Downloading fails with an error that names the repository and the remedy."""
    with pytest.raises(kind) as caught:
        fetch_model(address, offline=offline)
    message, repository = str(caught.value), "/".join(address.split("@")[0].split("/")[:2])
    assert "\n" not in message and all(word in message for word in (repository, *words)), message


def test_a_repository_becomes_a_model_folder(hub: FakeHub) -> None:
    fetched = fetch_model("hf:some/model")
    assert {str(p.relative_to(fetched.path)) for p in fetched.path.rglob("*") if p.is_file()} == EXPECTED_FILES
    assert all((fetched.path / name).read_bytes() == MODEL[name] for name in EXPECTED_FILES)
    assert fetched.sha256 == {name: sha256(MODEL[name]) for name in EXPECTED_FILES}
    assert (fetched.source, fetched.license) == (f"hf:some/model@{COMMIT}", "apache-2.0")
    assert not list(blobs().glob("*.incomplete"))


def test_cached_files_are_not_downloaded_again_and_a_commit_needs_no_request(hub: FakeHub) -> None:
    first = fetch_model("hf:some/model")
    hub.requests.clear()
    assert fetch_model("hf:some/model") == first and len(hub.requests) == 1
    hub.requests.clear()
    assert fetch_model(first.source) == first and not hub.requests
    assert fetch_model("hf:some/model@v1.0", recheck=True) == first and not hub.requested_files()


def test_a_branch_that_moved_is_fetched_again(hub: FakeHub) -> None:
    before = fetch_model("hf:some/model")
    hub.repos["some/model"] = Repo(MODEL | {"config.json": b"{}"}, commit="b" * 40)
    hub.requests.clear()
    after = fetch_model("hf:some/model")
    assert (after.path / "config.json").read_bytes() == b"{}" and after.source.endswith("b" * 40)
    assert hub.requested_files() == [f"/some/model/resolve/{'b' * 40}/config.json"]  # the other files have the same hashes
    assert (before.path / "config.json").read_bytes() == MODEL["config.json"]


@pytest.mark.parametrize("cause", ["argument", "variable", "server gone", "server ill"])
def test_the_cache_serves_without_the_network(hub: FakeHub, cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    online = fetch_model("hf:some/model@refs/pr/1")
    hub.requests.clear()
    if cause == "variable":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    elif cause == "server gone":
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    elif cause == "server ill":
        hub.status = 503
    assert fetch_model("hf:some/model@refs/pr/1", offline=cause == "argument") == online
    assert len(hub.requests) == (cause == "server ill")


def test_without_network_the_cache_is_used_with_a_notice(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch_model("hf:some/model")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    fetch_model("hf:some/model")
    assert f"using the cached hf:some/model at commit {COMMIT}" in capsys.readouterr().err


def test_other_programs_find_the_downloaded_files(hub: FakeHub) -> None:
    """The cache is shared with huggingface_hub: its own functions read from it without requesting a file."""
    path = fetch_model("hf:some/model").path
    hub.requests.clear()
    assert snapshot_download("some/model", local_files_only=True) == str(path)
    assert hf_hub_download("some/model", "model.safetensors", local_files_only=True) == str(path / "model.safetensors")
    assert not hub.requests


def test_downloads_of_other_programs_are_used_after_verification(hub: FakeHub, tmp_path: Path) -> None:
    fetched = fetch_model("hf:some/model")
    shutil.rmtree(tmp_path / "lmcraft-cache")  # no record of ours, as if another program had fetched it
    again = fetch_model("hf:some/model", offline=True)
    assert (again.path, again.sha256) == (fetched.path, fetched.sha256)
    shutil.rmtree(tmp_path / "lmcraft-cache")
    damage(fetched.path / "config.json")
    fails("hf:some/model", RunError, "config.json", "damaged", offline=True)


def test_an_incomplete_download_of_another_program_is_not_used(hub: FakeHub, tmp_path: Path) -> None:
    path = fetch_model("hf:some/model").path
    shutil.rmtree(tmp_path / "lmcraft-cache")
    (path / "model.safetensors").unlink()
    fails("hf:some/model", UserError, "not complete", "offline", offline=True)
    assert fetch_model("hf:some/model").path == path


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_file_in_the_cache_is_removed_and_fetched_again(hub: FakeHub, name: str) -> None:
    path = fetch_model("hf:some/model").path
    damage(path / name)
    fails("hf:some/model", RunError, name, "damaged on disk", "download it again")
    assert not (path / name).exists()
    assert (fetch_model("hf:some/model").path / name).read_bytes() == MODEL[name]


def test_a_recheck_detects_damage_with_an_unchanged_time(hub: FakeHub) -> None:
    fetched = fetch_model("hf:some/model")
    file = fetched.path / "model.safetensors"
    times = file.stat()
    damage(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert fetch_model("hf:some/model") == fetched  # files that look untouched are not read
    with pytest.raises(RunError, match="damaged on disk"):
        fetch_model("hf:some/model", recheck=True)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_file_with_a_wrong_hash_never_enters_the_cache(hub: FakeHub, name: str) -> None:
    hub.sent_instead[name] = bytes(len(MODEL[name]))
    fails("hf:some/model", RunError, name, "damaged in transit")
    assert not list(Path(constants.HF_HUB_CACHE).glob(f"*/snapshots/*/{name}"))
    assert not list(blobs().glob("*.incomplete"))
    hub.sent_instead.clear()
    assert (fetch_model("hf:some/model").path / name).read_bytes() == MODEL[name]


def test_a_file_of_another_length_is_refused(hub: FakeHub) -> None:
    hub.sent_instead["model.safetensors"] = WEIGHTS + b"more"
    fails("hf:some/model", RunError, "model.safetensors", "more bytes of")
    hub.sent_instead["model.safetensors"] = WEIGHTS[:-4]
    fails("hf:some/model", RunError, "model.safetensors")
    hub.sent_instead.clear()
    assert (fetch_model("hf:some/model").path / "model.safetensors").read_bytes() == WEIGHTS


def test_a_broken_connection_resumes_where_it_broke(hub: FakeHub) -> None:
    hub.cuts = [200_000, 100_000]
    assert (fetch_model("hf:some/model").path / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.requested_ranges() == [None, "bytes=200000-", "bytes=300000-"]


def test_a_server_without_range_requests_restarts_the_file(hub: FakeHub) -> None:
    hub.cuts, hub.ranges = [200_000], False
    assert (fetch_model("hf:some/model").path / "model.safetensors").read_bytes() == WEIGHTS


def test_a_lost_network_keeps_the_partial_file(hub: FakeHub) -> None:
    hub.cuts = [200_000, *[0] * 20]
    fails("hf:some/model", RunError, "cannot be reached", "resumes where it stopped")
    assert (Path(constants.HF_HUB_CACHE) / PARTIAL).stat().st_size == 200_000
    hub.cuts = []
    hub.requests.clear()
    assert (fetch_model("hf:some/model").path / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.requested_ranges() == ["bytes=200000-"]


@pytest.mark.parametrize("stop_signal", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_resumes_in_the_next(hub: FakeHub, tmp_path: Path, stop_signal: signal.Signals) -> None:
    hub.cuts, hub.stall = [400_000], threading.Event()
    code = "from lmcraft.hub import fetch_model; print(fetch_model('hf:some/model').path)"
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    restore_sigint = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # background jobs of a shell ignore SIGINT
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=restore_sigint)
    assert hub.cut_reached.wait(60)
    kept_file = Path(constants.HF_HUB_CACHE) / PARTIAL
    while not kept_file.exists() or kept_file.stat().st_size < 200_000:
        assert process.poll() is None
    process.send_signal(stop_signal)
    process.communicate(timeout=60)
    hub.stall.set()
    kept = kept_file.stat().st_size
    assert 200_000 <= kept <= 400_000 and not (blobs() / sha256(WEIGHTS)).exists()
    hub.requests.clear()
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (Path(done.stdout.strip()) / "model.safetensors").read_bytes() == WEIGHTS
    assert hub.requested_ranges() == [f"bytes={kept}-"] and not kept_file.exists()


def test_concurrent_threads_fetch_a_file_once(hub: FakeHub) -> None:
    contents: list[bytes] = []
    threads = [
        threading.Thread(
            target=lambda: contents.append((fetch_model("hf:some/model").path / "model.safetensors").read_bytes())
        )
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert contents == [WEIGHTS] * 4 and hub.requested_ranges() == [None]


def test_concurrent_processes_fetch_a_file_once(hub: FakeHub, tmp_path: Path) -> None:
    code = "from lmcraft.hub import fetch_model; print(fetch_model('hf:some/model').path)"
    environment = os.environ | {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "0"}
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) for _ in range(2)]
    paths = [Path(process.communicate(timeout=60)[0].decode().strip()) for process in processes]
    assert [(path / "model.safetensors").read_bytes() for path in paths] == [WEIGHTS] * 2
    assert hub.requested_ranges() == [None]


def test_without_symlinks_files_are_moved_into_the_snapshot(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)
    fetched = fetch_model("hf:some/model")
    assert not any(path.is_symlink() for path in fetched.path.iterdir())
    assert fetch_model("hf:some/model", offline=True) == fetched == fetch_model("hf:some/model", recheck=True)
    damage(fetched.path / "model.safetensors")
    fails("hf:some/model", RunError, "damaged", offline=True)
    assert fetch_model("hf:some/model").sha256 == fetched.sha256


def test_the_token_goes_to_the_hub_and_not_to_its_store(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_allowed")
    hub.repos["some/model"].gated = True
    fetch_model("hf:some/model")
    sent = {server: authorization for server, _, _, authorization in hub.requests}
    assert sent == {"hub": "Bearer hf_allowed", "store": None}


def test_a_sharded_model_has_its_index_and_the_listed_shards(hub: FakeHub) -> None:
    shards = {f"model-0000{n}-of-00002.safetensors": bytes([n]) * 9000 for n in (1, 2)}
    index = json.dumps({"weight_map": {f"layer.{n}": name for n, name in enumerate(shards)}}).encode()
    files = {"config.json": b"{}", "model.safetensors.index.json": index, "consolidated.safetensors": WEIGHTS, **shards}
    hub.repos["some/large"] = Repo(files)
    names = {path.name for path in fetch_model("hf:some/large").path.iterdir()}
    assert names == {"config.json", "model.safetensors.index.json", *shards}
    assert fetch_model("hf:some/large", offline=True).sha256.keys() == names


@pytest.mark.parametrize(
    ("index", "words"),
    [
        (b"not JSON", "not an index"),
        (b"[]", "not an index"),
        (b'{"weight_map": {"a": "../../etc/passwd"}}', "which is missing"),
        (b'{"weight_map": {"a": "config.json"}}', "not safetensors"),
        (b'{"weight_map": {}}', "not safetensors"),
    ],
)
def test_a_damaged_index_is_an_error(hub: FakeHub, index: bytes, words: str) -> None:
    hub.repos["some/large"] = Repo({"config.json": b"{}", "model.safetensors.index.json": index})
    fails("hf:some/large", RunError, words)


def test_an_adapter_is_fetched_too(hub: FakeHub) -> None:
    files = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"low rank", "adapter_model.bin": b"a pickle"}
    hub.repos["some/adapter"] = Repo(files)
    assert fetch_model("hf:some/adapter").sha256.keys() == {"adapter_config.json", "adapter_model.safetensors"}


def test_one_gguf_file_of_many(hub: FakeHub) -> None:
    files = {"small.Q4_0.gguf": b"GGUF 4", "deep/large.Q8_0.gguf": b"GGUF 8", "README.md": b""}
    hub.repos["some/ggufs"] = Repo(files, license=None)
    fetched = fetch_model("hf:some/ggufs@main/deep/large.Q8_0.gguf")
    assert fetched.path.read_bytes() == b"GGUF 8" and fetched.path.name == "large.Q8_0.gguf"
    assert fetched.source == f"hf:some/ggufs@{COMMIT}/deep/large.Q8_0.gguf"
    assert (fetched.sha256, fetched.license) == ({"deep/large.Q8_0.gguf": sha256(b"GGUF 8")}, None)
    assert fetch_model(fetched.source, offline=True) == fetched
    assert len(hub.requested_files()) == 1
    fails("hf:some/ggufs", UserError, "GGUF files and no safetensors", "hf:some/ggufs/small.Q4_0.gguf")
    fails("hf:some/ggufs/other.gguf", UserError, "small.Q4_0.gguf")
    fails("hf:some/ggufs/small.Q4_0.gguf", UserError, "not complete", offline=True)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"config.json": b"{}", "pytorch_model.bin": b"a pickle"}, ("pickled", "@refs/pr/1", "save_pretrained")),
        ({"config.json": b"{}", "old/model.pt": b"a pickle"}, ("pickled",)),
        ({"model.safetensors": b"w"}, ("config.json",)),
        ({"README.md": b"soon"}, ("neither",)),
        ({}, ("neither",)),
    ],
)
def test_a_repository_without_usable_weights_is_an_error_before_any_download(
    hub: FakeHub, files: dict[str, bytes], words: tuple[str, ...]
) -> None:
    hub.repos["some/other"] = Repo(files)
    fails("hf:some/other", UserError, *words)
    assert not hub.requested_files()


def test_hub_errors_name_the_remedy(hub: FakeHub) -> None:
    fails("hf:no/such", UserError, "no repository", "hf auth login")
    fails("hf:some/model@v9", UserError, "no revision 'v9'")
    hub.repos["some/model"].gated = True
    fails("hf:some/model", UserError, "terms", "hf auth login", f"{hub.endpoint}/some/model")
    hub.status = 403
    fails("hf:some/model", UserError, "denies access", "hf auth login")
    hub.status = 500
    fails("hf:some/model", RunError, "500", "later")


def test_no_network_and_no_cache_is_an_error(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    fails("hf:some/model", UserError, "offline", offline=True)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    fails("hf:some/model", RunError, "127.0.0.1:9 cannot be reached", "network")


def test_a_disk_that_is_too_small_is_an_error_before_the_download(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**6, 0, 1000))
    fails("hf:some/model", RunError, "0.0 GB left", "HF_HOME")
    assert not hub.requested_files()


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "is full"), (errno.EACCES, "cannot be read or written")])
def test_a_disk_error_during_the_download_is_an_error(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    fails("hf:some/model", RunError, words)


def test_unsafe_names_of_the_hub_are_ignored(hub: FakeHub, tmp_path: Path) -> None:
    hub.repos["some/model"].files["../../../LICENSE"] = b"elsewhere"
    hub.repos["some/model"].files["LICENSE\\..\\x"] = b"elsewhere"
    assert fetch_model("hf:some/model").sha256.keys() == EXPECTED_FILES
