"""Speculative decoding: guess the next tokens cheaply, verify all of them in one step of the model.

proposer        the interface of proposers
prompt_lookup   proposes the tokens that followed the same words earlier in the text
draft           proposes the tokens that a smaller model generates
speculator      how many tokens to propose, by which proposer
acceptance      how often proposals are accepted
"""
