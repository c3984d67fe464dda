"""The optional `gguf` package from PyPI: llama.cpp's own tensor names, quantizations and writer."""

from types import ModuleType

from lmcraft.extras import import_optional


def gguf_package() -> ModuleType:
    """Import the `gguf` package.

    Raises:
        UserError: it is not installed.
    """
    package: ModuleType = import_optional("gguf", "gguf", "a GGUF file")
    return package
