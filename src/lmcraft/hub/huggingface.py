"""Models of the Hugging Face hub: which files an address means, and errors that a person can act on."""

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
from lmcraft.hub.download_cache import Checked, Fetched, Record, disk_errors_explained, write_note
from lmcraft.hub.huggingface_download import RemoteFile, Repository, is_passing
from lmcraft.hub.model_files import INDEX, model_files, plainest

_TIMEOUT = 20.0  # seconds for the list of files


@dataclass(frozen=True)
class _Listing:
    """The files of a repository at one commit."""

    commit: str
    files: dict[str, RemoteFile]
    license: str | None
    online: bool


def fetch_repository(address: HubAddress, *, offline: bool, recheck: bool) -> Fetched:
    """The model folder, or the GGUF file, at an address of the hub.

    Raises:
        UserError: there is no such repository, revision or file; it holds nothing that can be opened; it is gated.
        RunError: the hub or the disk failed, or a file is not what its hash says; it is removed then.
    """
    repository = Repository(address)
    with disk_errors_explained(str(address), repository.folder), _hub_errors_explained(address):
        listing = _listing(repository, offline=offline or constants.is_offline_mode())
        commit = listing.commit
        record = Record.read(repository.record(commit)) or Record({})
        checked: dict[str, Checked] = {}

        def get(name: str) -> None:
            known = record.files.get(name)
            file = listing.files[name]
            checked[name] = repository.get(commit, name, file, known, download=listing.online, recheck=recheck)

        def read_index() -> str:
            get(INDEX)
            return (repository.snapshot(commit) / INDEX).read_text(encoding="utf-8")

        chosen = [_picked(address, listing)] if address.file else model_files(listing.files, read_index, str(address))
        repository.require_space(commit, {name: listing.files[name] for name in chosen})
        for name in chosen:
            if name not in checked:
                get(name)
        new = Record(checked, listing.license or record.license)
        if new != record:
            new.write(repository.record(commit))
        if listing.online and address.revision != commit:
            write_note(repository.ref(), commit)
    exact = HubAddress(address.repository, commit, address.file)
    return Fetched(repository.snapshot(commit) / (address.file or ""), str(exact), new.hashes, new.license)


def _picked(address: HubAddress, listing: _Listing) -> str:
    assert address.file
    if address.file in listing.files:
        return address.file
    ggufs = [name for name in listing.files if name.endswith(".gguf")]
    there = f"there is {plainest(ggufs)}" if ggufs else "it has no GGUF file"
    raise UserError(f"hf:{address.repository} has no {address.file}: {there}")


def _listing(repository: Repository, *, offline: bool) -> _Listing:
    address = repository.address
    here = _listing_of_cache(repository)
    if offline:
        if here is None:
            raise UserError(
                f"{address} is not whole on this disk, and offline was asked for: fetch it once with the network"
            )
        return here
    pinned = address.revision is not None and COMMIT.fullmatch(address.revision)
    if pinned and here and repository.record(here.commit).is_file():
        return here  # a commit does not change, so there is nothing to ask
    try:
        return _listing_of_hub(address)
    except (httpx.TransportError, HfHubHTTPError) as error:
        if here is None or not is_passing(error):
            raise
        print(f"The hub cannot be reached: taking {address} as it is on this disk, at {here.commit}.", file=sys.stderr)
        return here


def _listing_of_cache(repository: Repository) -> _Listing | None:
    """What is on this disk, if it is a whole model: as this program noted it, else as another program left it."""
    address, commit = repository.address, repository.known_commit()
    if commit is None:
        return None
    snapshot = repository.snapshot(commit)
    if record := Record.read(repository.record(commit)):
        files = {name: RemoteFile(checked.size, checked.sha256) for name, checked in record.files.items()}
        there = all((snapshot / name).exists() for name in files)
        return _Listing(commit, files, record.license, online=False) if there else None
    linked = repository.linked_files(commit)
    try:
        if not address.file:
            model_files(linked, lambda: (snapshot / INDEX).read_text(encoding="utf-8"), str(address))
    except LmcraftError:
        return None
    there = bool(linked) and (address.file is None or address.file in linked)
    return _Listing(commit, linked, None, online=False) if there else None


def _listing_of_hub(address: HubAddress) -> _Listing:
    api = HfApi(endpoint=constants.ENDPOINT, library_name="lmcraft", library_version=version("lmcraft"))
    info = api.model_info(address.repository, revision=address.revision, files_metadata=True, timeout=_TIMEOUT)
    if info.sha is None or not COMMIT.fullmatch(info.sha):
        raise RunError(
            f"the hub at {constants.ENDPOINT} says no commit for {address}: it is not one that can be fetched from"
        )
    files = {}
    for entry in info.siblings or ():
        digest, size = (entry.lfs.sha256, entry.lfs.size) if entry.lfs else (entry.blob_id, entry.size)
        if digest is None or size is None:
            raise RunError(
                f"the hub at {constants.ENDPOINT} gives no hash of '{entry.rfilename}' of {address} to check it by"
            )
        if is_inside(entry.rfilename) and digest.isalnum():
            files[entry.rfilename] = RemoteFile(size, digest)
    license = (info.card_data.license_name or info.card_data.license) if info.card_data else None
    return _Listing(info.sha, files, str(license) if license else None, online=True)


@contextmanager
def _hub_errors_explained(address: HubAddress) -> Iterator[None]:
    """The library's errors as one sentence with the remedy."""
    page = f"{constants.ENDPOINT}/{address.repository}"
    try:
        yield
    except GatedRepoError as error:
        remedy = f"agree to them at {page}, then `hf auth login` (or set HF_TOKEN) and run again"
        raise UserError(f"hf:{address.repository} is given only to those who agreed to its terms: {remedy}") from error
    except RevisionNotFoundError as error:
        raise UserError(f"hf:{address.repository} has no revision '{address.revision}': see {page}/commits/main") from error
    except RepositoryNotFoundError as error:
        remedy = "mind its spelling; to see a private one, `hf auth login` (or set HF_TOKEN) first"
        raise UserError(f"there is no repository hf:{address.repository}, or not for you: {remedy}") from error
    except RemoteEntryNotFoundError as error:
        raise RunError(f"the hub lists a file of {address} and does not have it: {error.response.url}") from error
    except HfHubHTTPError as error:
        status = error.response.status_code
        if status in (401, 403):
            raise UserError(f"the hub refuses {address}: `hf auth login` (or set HF_TOKEN) and run again") from error
        raise RunError(f"the hub answered {address} with an error {status}: run again later, nothing is lost") from error
    except HFValidationError as error:
        raise UserError(f"{address} is no address of the hub: {str(error).splitlines()[0]}") from error
    except httpx.HTTPError as error:
        why = f"{type(error).__name__}: {error}".strip(": ")
        remedy = "see to the network and run again, which goes on where this stopped"
        raise RunError(f"{constants.ENDPOINT} cannot be reached for {address} ({why}): {remedy}") from error
