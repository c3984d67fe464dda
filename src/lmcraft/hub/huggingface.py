"""Models of the Hugging Face hub: which files to download, offline use, and clear error messages."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import httpx  # type: ignore[attr-defined]  # the httpx that this version of the library uses

from lmcraft.errors import LmcraftError, RunError, UserError
from lmcraft.hub.address import COMMIT, HubAddress, is_inside
from lmcraft.hub.download_cache import DownloadRecord, FetchedModel, VerifiedFile, explain_disk_errors, write_cache_file
from lmcraft.hub.huggingface_download import CachedRepository, RemoteFile, is_transient
from lmcraft.hub.model_files import INDEX, model_files, simplest_path

_LISTING_TIMEOUT_SECONDS = 20.0


@dataclass(frozen=True)
class _Listing:
    """The files of a repository at one commit."""

    commit: str
    files: dict[str, RemoteFile]
    license: str | None
    online: bool


def fetch_repository(address: HubAddress, *, offline: bool, recheck: bool) -> FetchedModel:
    """Download the model folder or GGUF file at an address of the hub.

    Raises:
        UserError: the repository, revision or file does not exist, cannot be opened, or is gated.
        RunError: the hub or the disk failed, or a file does not match its hash (it is removed).
    """
    repository = CachedRepository(address)
    with explain_disk_errors(str(address), repository.folder), _explain_hub_errors(address):
        listing = _list_files(repository, offline=offline or constants.is_offline_mode())
        commit = listing.commit
        record = DownloadRecord.read(repository.record(commit)) or DownloadRecord({})
        checked: dict[str, VerifiedFile] = {}

        def get(name: str) -> None:
            file = listing.files[name]
            checked[name] = repository.get(
                commit, name, file, record.files.get(name), download=listing.online, recheck=recheck
            )

        def read_index() -> str:
            get(INDEX)
            return (repository.snapshot(commit) / INDEX).read_text(encoding="utf-8")

        names = [_require_listed(address, listing)] if address.file else model_files(listing.files, read_index, str(address))
        repository.require_space(commit, {name: listing.files[name] for name in names})
        for name in names:
            if name not in checked:
                get(name)
        new = DownloadRecord(checked, listing.license or record.license)
        if new != record:
            new.write(repository.record(commit))
        if listing.online and address.revision != commit:
            write_cache_file(repository.ref(), commit)
    exact = HubAddress(address.repository, commit, address.file)
    return FetchedModel(repository.snapshot(commit) / (address.file or ""), str(exact), new.hashes, new.license)


def _require_listed(address: HubAddress, listing: _Listing) -> str:
    assert address.file
    if address.file in listing.files:
        return address.file
    ggufs = [name for name in listing.files if name.endswith(".gguf")]
    hint = f"use {simplest_path(ggufs)}" if ggufs else "it has no GGUF file"
    raise UserError(f"hf:{address.repository} has no {address.file}; {hint}")


def _list_files(repository: CachedRepository, *, offline: bool) -> _Listing:
    address = repository.address
    cached = _list_cache(repository)
    if offline:
        if cached is None:
            raise UserError(f"{address} is not complete in the cache, and offline is set; download it once online")
        return cached
    pinned = address.revision is not None and COMMIT.fullmatch(address.revision)
    if pinned and cached and repository.record(cached.commit).is_file():
        return cached  # a commit never changes
    try:
        return _list_hub(address)
    except (httpx.TransportError, HfHubHTTPError) as error:
        if cached is None or not is_transient(error):
            raise
        print(f"The hub cannot be reached; using the cached {address} at commit {cached.commit}.", file=sys.stderr)
        return cached


def _list_cache(repository: CachedRepository) -> _Listing | None:
    """The cached files, if they are a complete model: from our record, else from the links of another program."""
    address, commit = repository.address, repository.cached_commit()
    if commit is None:
        return None
    snapshot = repository.snapshot(commit)
    if record := DownloadRecord.read(repository.record(commit)):
        files = {name: RemoteFile(checked.size, checked.sha256) for name, checked in record.files.items()}
        is_complete = all((snapshot / name).exists() for name in files)
        return _Listing(commit, files, record.license, online=False) if is_complete else None
    linked = repository.linked_files(commit)
    try:
        if not address.file:
            model_files(linked, lambda: (snapshot / INDEX).read_text(encoding="utf-8"), str(address))
    except LmcraftError:
        return None
    is_complete = bool(linked) and (address.file is None or address.file in linked)
    return _Listing(commit, linked, None, online=False) if is_complete else None


def _list_hub(address: HubAddress) -> _Listing:
    api = HfApi(endpoint=constants.ENDPOINT, library_name="lmcraft", library_version=version("lmcraft"))
    info = api.model_info(
        address.repository, revision=address.revision, files_metadata=True, timeout=_LISTING_TIMEOUT_SECONDS
    )
    if info.sha is None or not COMMIT.fullmatch(info.sha):
        raise RunError(f"the hub at {constants.ENDPOINT} returns no commit for {address}; it is not a compatible hub")
    files = {}
    for entry in info.siblings or ():
        digest, size = (entry.lfs.sha256, entry.lfs.size) if entry.lfs else (entry.blob_id, entry.size)
        if digest is None or size is None:
            raise RunError(
                f"the hub at {constants.ENDPOINT} lists no hash for '{entry.rfilename}' of {address} to verify it"
            )
        if is_inside(entry.rfilename) and digest.isalnum():
            files[entry.rfilename] = RemoteFile(size, digest)
    license = (info.card_data.license_name or info.card_data.license) if info.card_data else None
    return _Listing(info.sha, files, str(license) if license else None, online=True)


@contextmanager
def _explain_hub_errors(address: HubAddress) -> Iterator[None]:
    """Turn the library's errors into a UserError or RunError with a remedy."""
    page = f"{constants.ENDPOINT}/{address.repository}"
    try:
        yield
    except GatedRepoError as error:
        remedy = f"accept its terms at {page}, run `hf auth login` (or set HF_TOKEN), and try again"
        raise UserError(f"hf:{address.repository} is gated; {remedy}") from error
    except RevisionNotFoundError as error:
        raise UserError(f"hf:{address.repository} has no revision '{address.revision}'; see {page}/commits/main") from error
    except RepositoryNotFoundError as error:
        remedy = "check the spelling, or run `hf auth login` (or set HF_TOKEN) first if it is private"
        raise UserError(f"there is no repository hf:{address.repository}, or you have no access to it; {remedy}") from error
    except RemoteEntryNotFoundError as error:
        raise RunError(f"the hub lists a file of {address} that it does not have: {error.response.url}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise UserError(
                f"the hub denies access to {address}; run `hf auth login` (or set HF_TOKEN) and try again"
            ) from error
        raise RunError(f"the hub returned error {status} for {address}; try again later, finished files are kept") from error
    except HFValidationError as error:
        raise UserError(f"{address} is not a valid hub address: {str(error).splitlines()[0]}") from error
    except httpx.HTTPError as error:
        reason = f"{type(error).__name__}: {error}".strip(": ")
        remedy = "check the network and run again; the download resumes where it stopped"
        raise RunError(f"{constants.ENDPOINT} cannot be reached for {address} ({reason}); {remedy}") from error
