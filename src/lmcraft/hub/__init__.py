"""From an address to a model on this disk: folders, GGUF files, the Hugging Face hub, packages of a package index."""

from lmcraft.hub.download_cache import Fetched
from lmcraft.hub.fetch import fetch_model

__all__ = ["Fetched", "fetch_model"]
