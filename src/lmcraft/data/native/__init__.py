"""Words in C++, for texts that are long enough to compile it for: the numbers of `data/words.py`, several times as fast.

- `library.py`: compiles and opens it after as much text as is worth that
- `words.cpp`: tokens, and runs of them that repeat
"""
