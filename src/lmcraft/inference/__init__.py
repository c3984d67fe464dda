"""Inference: continuing texts with a model.

engine               many requests, one step at a time
turns                turns of several threads that share an engine
scheduler            which requests run, and which tokens the next step computes
fair_share           how much of the engine's time each client has used
runner               the interface of a tier (native or eager), and the choice between them
eager_runner         the tier in plain PyTorch
packed_model         a model with packed weights in PyTorch: decodes several sequences together, each as it would be alone
native/              the tier in C++
speculation/         proposing tokens that the model verifies in one step
request              a request, and its state in the engine
inspection           logits and activations of one text, in PyTorch
prompt               from text to token ids, and the checks of a prompt
continuation         one text as it grows: its tokens, and when it ends
text_stream          detokenizing, and stop strings
thought_format       how families of models write what they think before an answer
thoughts             thoughts, told apart from the answer
thought_limit        a limit of their tokens
grammar              structured output: JSON schema, regular expression, grammar
json_schema/         JSON schemas rewritten into what the grammar library enforces exactly
sampler              from logits to a token
steering             logits moved toward one model and away from another
dry_penalty          the DRY repetition penalty
next_token_logits    the result of a step
model_changes        what a caller changed in a model
damaged_model        the error for outputs that are not numbers
block_pool           memory for keys and values, shared by all requests
paged_cache          one request's part of the pool, as attention reads it
recurrent_state      what recurrent layers keep of a request, and snapshots of it
prompt_speed         how fast prompts are computed on this machine
thread_tuner         how many threads a step uses
step_clock           the time of a step, divided among its sequences
plain_generation     generation without an engine: samples in one batch, or beam search
beam_search          the search itself
sequence_batch       sequences that share a prompt
kv_cache             their keys and values
generation_config    a checked set of generation settings, and generation_config.json
generation_settings  the table of all generation settings
setting              one setting: type, bounds, help
scoring              log-probabilities of existing text
pooling              a text as one vector: embeddings, and what a classifier's head reads
"""
