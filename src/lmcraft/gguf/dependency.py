"""The optional `gguf` package from PyPI: llama.cpp's own tensor names, quantizations and writer."""

from types import ModuleType

from lmcraft.errors import UserError


def gguf_package() -> ModuleType:
    """Import the `gguf` package.

    Raises:
        UserError: it is not installed.
    """
    try:
        import gguf
    except ImportError as error:
        raise UserError("GGUF files need the package gguf; install it with: pip install 'lmcraft[gguf]'") from error
    return gguf
