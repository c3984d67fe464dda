"""Finds keys in texts in C++, with the matches of `matcher.py` and some fifty times as fast.

- `library.py`: builds the automaton of keys, and asks it
- `automaton.cpp`: an Aho-Corasick automaton
"""
