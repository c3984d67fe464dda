"""From an address to a model on this disk: folders, GGUF files, the Hugging Face hub, packages of a package index."""

from lmcraft.hub.cache import Fetched
from lmcraft.hub.fetch import fetch

__all__ = ["Fetched", "fetch"]
