"""The models being served.

| file | what |
|---|---|
| `registry.py` | models by name, loaded at startup or on first use |
| `worker.py` | runs one model's engine in a thread, and restarts it after a failure |
| `energy_ledger.py` | the energy of the engines, divided among their requests |
| `stream.py` | how tokens reach the event loop from that thread |
| `queue.py` | a bounded queue that is fair among owners |
| `token_lens.py` | what each layer of a model says about the next token |
| `lens_thread.py` | the thread that reads them beside the engines |
| `admission.py` | a limit on concurrent requests for the gateway, with that queue |
| `preparation.py` | the threads that turn request bodies into sequences, with that queue |
"""
