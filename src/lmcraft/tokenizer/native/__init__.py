"""Byte-level BPE in C++, for texts that are long enough to compile it for: the ids of `tokenizers`, several times as fast.

- `encoder.py`: `NativeEncoder`, for the tokenizers whose ids are known to be the same
- `settings.py`: what the C++ needs to know of a tokenizer, or that it cannot compute its ids
- `classes.py`: which code points are letters, numbers and white space to the library
- `bpe.cpp`, `pieces.h`: merges; the pieces of a text within which they happen
"""
