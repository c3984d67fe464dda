"""The models being served.

| file | what |
|---|---|
| `registry.py` | models by name, opened at the start or on first use |
| `worker.py` | runs one model's engine in a thread, and restarts it after a failure |
| `interface.py` | what the worker needs of an engine |
| `stream.py` | what the event loop holds of work in that thread: a stream of tokens, or a call's result |
| `queue.py` | a bounded queue that is fair among owners |
| `admission.py` | a limit on concurrent requests for the gateway, with the same queue |
"""
