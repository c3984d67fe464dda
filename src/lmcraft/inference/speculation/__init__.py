"""Speculative decoding: guess the next tokens cheaply, verify all of them in one step of the model.

proposer        the interface: what proposes tokens
prompt_lookup   proposes what followed the same words earlier in the text
draft           proposes what a smaller model would say
speculator      how many tokens to propose, by which proposer
acceptance      how often proposals are accepted
"""
