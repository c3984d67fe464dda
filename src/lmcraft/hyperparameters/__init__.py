"""Choosing hyperparameters: a search over the settings of any command, judged on validation data.

| file | holds |
|---|---|
| `config.py` | the settings of a search |
| `trial.py` | `Trial`: one point of the space, its state and its results |
| `space.py` | what varies: dimensions, conditions and constraints |
| `space_file.py`, `constraints.py` | reads a space and its constraints from a file, and refuses what cannot work |
| `stages.py` | the commands of a trial, and their settings at a point |
| `running.py` | runs the commands of a trial, to its target step or to the end |
| `objectives.py` | what a trial is judged by |
| `records.py` | what the commands of a trial have recorded: losses, figures, sizes |
| `plan.py` | the space, the commands of a trial and what decides the next one, built from the settings |
| `samplers.py` | which point to try next: grid, random, quasi-random, CMA-ES, and Optuna's samplers |
| `optuna_study.py` | Optuna as a sampler, and a study for its dashboard |
| `promotion.py` | which paused trial to train further: ASHA, Hyperband, a power law |
| `scheduling.py` | the next piece of work, decided from the table of trials alone |
| `store.py`, `tables.py` | the table of trials, in SQLite or PostgreSQL, with leases |
| `holder.py` | the name of a process that holds a lease, and whether it has ended |
| `worker.py`, `heartbeat.py` | a process that leases trials and trains them |
| `crew.py` | the workers of one command: started, replaced, and stopped together |
| `search.py` | `Search`: opens the store, runs workers, and writes the results |
| `asking.py` | trials that a person or another program trains |
| `ledger.py`, `best.py` | trials.tsv, and the winner as a file ready to run |
| `energy.py` | what the search has drawn, and the share that gave no result |
| `confirmation.py` | whether the winner is better than the runner-up, or a tie |
| `importance.py` | which settings matter |
"""
