"""Unmasks words in C++, with the views of `unmasking.py` and some ten times as fast.

- `library.py`: compiles and opens it after as much text as is worth that
- `unmasking.cpp`: suspicious words and their readings
"""
