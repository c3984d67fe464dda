"""GGUF, llama.cpp's file format: a model, its settings and its tokenizer in one file.

reader          `read_gguf`: open a file as a Hugging Face checkpoint with tokenizer
writer          `write_gguf`: write a checkpoint and tokenizer to a file
container       the container format: metadata and tensors, with every offset checked
metadata        typed access to the metadata
architectures   table of supported architectures and their settings
hf_config       metadata <-> config.json
rope            rotary positions and their scaling
tensors         tensor names and layouts
mixtures        which type each tensor of a written file gets
k_quants        quantizes to Q4_K, Q5_K and Q6_K
vocabulary      metadata <-> tokenizer; `bpe` and `sentencepiece` are its two kinds
dependency      the optional package `gguf`

A new architecture is an entry in `architectures`, plus one in `tensors.REARRANGED` if llama.cpp's converter changes its
tensors.
"""

from lmcraft.gguf.mixtures import Quantization
from lmcraft.gguf.reader import GGUFModel, open_gguf, read_gguf
from lmcraft.gguf.writer import write_gguf

__all__ = ["GGUFModel", "Quantization", "open_gguf", "read_gguf", "write_gguf"]
