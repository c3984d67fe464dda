"""The runs of a folder, live: what they are doing, their curves, and stopping or resuming them.

Nothing of a run is written here but `lmcraft/resume.log`. Its files may be half written, damaged, huge, or a stranger's:
readers skip what they cannot read, never follow links, and bound what they keep.

index       all runs of a folder: what has changed since, within a budget of time and memory
run_folders finds the folders of runs below a folder, and looks again only where something has changed
run         one run: reads what has been added to its files, and describes it
states      what a run is doing: by its lock, its status.json and its log
log_file    a file of lines that grows, read from where the last reading ended
metrics     the numbers of metrics.jsonl as columns
series      a column in at most so many points: lowest, highest and mean of each bucket
samples     the latest texts of samples.jsonl
settings    settings by dotted names, and where runs differ
control     stops a run, and resumes one in a process of its own
exports     curves and settings for TensorBoard and trackio
parameters  how many parameters a model has, by the headers of its files
small_files small files, of which nothing is believed
"""
