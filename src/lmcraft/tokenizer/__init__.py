"""Text to token ids and back."""

from lmcraft.tokenizer.tokenizer import Tokenizer, TokenStream
from lmcraft.tokenizer.train import train_bpe, train_characters

__all__ = ["TokenStream", "Tokenizer", "train_bpe", "train_characters"]
