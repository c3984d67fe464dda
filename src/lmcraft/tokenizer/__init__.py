"""Tokenizers: text to token ids and back.

tokenizer          `Tokenizer`: encode, decode, stream, special tokens, chat templates
token_ids          ids as lists, tensors or arrays
loading            reads tokenizer.json and tokenizer_config.json
vocabulary_and_merges  reads vocab.json + merges.txt, in folders without tokenizer.json
added_tokens       adds the tokens that the other files list
train              trains byte-level BPE or a character vocabulary
patterns           the regular expressions that cut text into pieces
bulk               encodes the texts of datasets
native             byte-level BPE in C++, the ids of the library several times as fast
lost_text          counts the characters that a tokenizer has no token for
trial, trial_process  a tokenizer from a stranger is tried in a process of its own
byte_level         the alphabet of byte-level BPE
chat_template      renders chat templates
fill_in_middle     the tokens of fill-in-the-middle, and prompts of them
tool_messages      tools, calls and results in the form that a chat template shows
token_stream       `TokenStream`: the text of tokens as they are generated
special_spellings  removes spellings of special tokens from conversations
sandbox            limits on time and size for untrusted templates
"""

from lmcraft.tokenizer.token_stream import TokenStream
from lmcraft.tokenizer.tokenizer import Tokenizer
from lmcraft.tokenizer.train import train_bpe, train_characters

__all__ = ["TokenStream", "Tokenizer", "train_bpe", "train_characters"]
