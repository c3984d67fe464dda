"""Retrieval: the passages of documents that answer a question, and answers that quote them.

documents    the texts of a folder: Markdown, HTML, reStructuredText and plain text, with their headings
passages     cuts documents at headings and blank lines; every passage is a piece of its document
terms        the words that are searched for, in English and Chinese
embeddings   passages and questions as vectors of an encoder
index        ranks passages for a question: BM25, vectors, or both by reciprocal rank fusion
quotes       the part of a passage that answers a question
"""
