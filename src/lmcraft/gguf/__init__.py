"""GGUF, llama.cpp's file format: a model, its settings and its tokenizer in one file.

`file` reads the container, `config`, `rope` and `tensors` translate to and from a Hugging Face checkpoint by the table in
`architectures`, `vocabulary` does so for the tokenizer. A new architecture is an entry of that table, and of
`tensors.REARRANGED` if llama.cpp's converter changes its tensors.
"""

from lmcraft.gguf.reader import GGUFModel, open_gguf, read_gguf
from lmcraft.gguf.writer import Quantization, write_gguf

__all__ = ["GGUFModel", "Quantization", "open_gguf", "read_gguf", "write_gguf"]
