"""Inference: continuing texts with a model.

generation_settings the table of all generation settings    setting       one of them: bounds, interfaces, help
generation_config   a checked set of them, and its file     sampler       from logits to a token
prompt              from text to prompt, and its checks     dry           the DRY repetition penalty
request             a request, and its state                grammar       structured output
engine              many requests, one step at a time       scheduler     which tokens the next step computes
runner              what computes logits, by tier           eager_runner  the tier in plain PyTorch
native/             the tier in C++                         speculation/  proposing tokens, verified in one step
block_pool          memory for keys and values              paged_cache   one request's part of it, for attention
next_token_logits   the result of a step                    thread_tuner  how many threads a step uses
continuation        one text as it grows                    text_stream   detokenizing, stop strings
eager               generation without an engine            beam_search   beam search
sequence_batch      sequences that share a prompt           kv_cache      their keys and values
quantization        quantizing a model, and what it costs
"""
