"""Speculative decoding: guess the next tokens cheaply, verify all of them in one step of the model.

proposer        the interface of proposers
prompt_lookup   proposes the tokens that followed the same words earlier in the text
draft           proposes the tokens that a smaller model generates
speculator      whether to propose, how many tokens, and by which proposer
acceptance      how often proposals are accepted
step_times      how long a step takes, by its number of rows
"""
