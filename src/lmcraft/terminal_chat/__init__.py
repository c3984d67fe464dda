"""Conversations with a model in the terminal.

tree     messages as a tree of branches, and the protocol of the backends that answer them
local    a backend that loads the model into this process
remote   a backend that sends requests to `lmcraft serve` or another OpenAI-compatible server
"""
