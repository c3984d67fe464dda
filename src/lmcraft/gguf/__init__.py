"""GGUF, llama.cpp's file format: a model, its settings and its tokenizer in one file."""

from lmcraft.gguf.read import Checkpoint, read_gguf
from lmcraft.gguf.write import Quantisation, write_gguf

__all__ = ["Checkpoint", "Quantisation", "read_gguf", "write_gguf"]
