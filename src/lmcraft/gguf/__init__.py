"""GGUF, llama.cpp's file format: a model, its settings and its tokenizer in one file.

reader          `read_gguf`: open a file as a Hugging Face checkpoint with tokenizer
writer          `write_gguf`: write a checkpoint and tokenizer to a file
container       the container format: metadata and tensors, with every offset checked
metadata        typed access to the metadata
architecture    what an architecture is described by: settings, and rules for its tensors
architectures   table of supported architectures
parts           settings that several architectures share; `rules` for tensors that llama.cpp's converter changes
hf_config       metadata <-> config.json
rope            rotary positions and their scaling
tensors         tensor names and layouts
mixtures        which type each tensor of a written file gets
k_quants        quantizes to Q4_K, Q5_K and Q6_K
vocabulary      metadata <-> tokenizer; `bpe` and `sentencepiece` are its two kinds
dependency      the optional package `gguf`

A new architecture is an entry in `architectures`.
"""

from lmcraft.gguf.mixtures import Quantization
from lmcraft.gguf.reader import GGUFModel, open_gguf, read_gguf
from lmcraft.gguf.writer import write_gguf

__all__ = ["GGUFModel", "Quantization", "open_gguf", "read_gguf", "write_gguf"]
