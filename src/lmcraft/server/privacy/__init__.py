"""What a server keeps of its users, and for how long.

- `prompt_log.py`: the log of requests that `--log-prompts` asks for, written by a thread; `prompt_files.py`: its files
- `scrubbed_logs.py`: every other log, without personal data and without what exceptions quote
- `retention.py`: the thread that deletes what is older than `--retention`
- `key_data.py`: everything that is stored for one API key: listed, exported, erased
- `stores.py`: the places where all this is
- `purge.py`: nothing of a deleted row stays in the files of a database
"""
