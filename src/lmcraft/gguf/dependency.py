"""The `gguf` package from PyPI: llama.cpp's own names, quantizations and writer. An extra, imported where it is used."""

from types import ModuleType

from lmcraft.errors import UserError


def gguf_package() -> ModuleType:
    """The package.

    Raises:
        UserError: it is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise UserError("GGUF files need the package gguf: pip install 'lmcraft[gguf]'") from error
    return gguf
