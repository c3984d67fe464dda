"""The models being served.

| file | what |
|---|---|
| `registry.py` | models by name, loaded at startup or on first use |
| `worker.py` | runs one model's engine in a thread, and restarts it after a failure |
| `interface.py` | the engine interface that the worker uses |
| `stream.py` | how results reach the event loop from that thread: as a stream of tokens, or as a call's result |
| `queue.py` | a bounded queue that is fair among owners |
| `admission.py` | a limit on concurrent requests for the gateway, with the same queue |
"""
