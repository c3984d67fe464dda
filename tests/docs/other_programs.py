"""Programs that the documentation shows and the tests do not run, by how their commands begin, and why not."""

MACHINES = (
    "needs several machines; tests/training/test_processes.py runs torchrun on one, and the command of lmcraft is parsed"
)
ENVIRONMENT = "changes the reader's shell or Python environment; test_blocks.py checks the extras that it names"
DOWNLOAD = "downloads; the recipe's test reads the same package from the cache, where it can be had"
CONTAINER = (
    "needs a container engine or an init system, which this machine lacks; tests/deploy checks the files that it reads"
)
SECRETS = "writes the files of secrets that deploy/compose.yaml mounts; tests/deploy checks that file"
DATABASE = "needs a database of the reader's; docs/deployment.md says with what it was tried"

OTHER_PROGRAMS = {
    ". ": ENVIRONMENT,
    "cd ": ENVIRONMENT,
    "chmod 400 deploy/secrets": SECRETS,
    "cp ": DOWNLOAD,
    "createdb ": DATABASE,
    "docker ": CONTAINER,
    'echo "database:': SECRETS,
    "echo 'MODEL=": CONTAINER,
    "eval ": "tests/commands/test_completion.py lets bash, zsh and fish read the script",
    "head=": MACHINES,
    "hf upload": "uploads to an account of the reader's",
    "kill %": "ends a job of the reader's shell",
    "mkdir -p deploy/secrets": SECRETS,
    "npm pack": DOWNLOAD,
    "openssl rand": SECRETS,
    "pg_dump ": DATABASE,
    "pg_restore ": DATABASE,
    "pip download": DOWNLOAD,
    "pip install": ENVIRONMENT,
    "python3 -m venv": ENVIRONMENT,
    "PEERS/bin/pip": ENVIRONMENT,
    "ray ": MACHINES,
    "resume=": MACHINES,
    "scripts/quickstart": "tests/commands/test_quickstart.py runs the command that it starts",
    "serve run": MACHINES,
    "sqlite3 ": DATABASE,
    "srun ": MACHINES,
    "sudo ": CONTAINER,
    "systemctl ": CONTAINER,
    "tar ": DOWNLOAD,
    "torchrun ": MACHINES,
    "trap ": MACHINES,
    "vllm ": "needs vLLM, which takes gigabytes; tests/server/upstream.py stands for it",
    "wait": MACHINES,
}

# Requests that the tiny server of these tests cannot answer, by a part of the command.
NOT_ASKED = {
    "/v1/classify": "needs a classifier; tests/server/http/routes/test_classify.py asks one",
    '"suffix"': "needs a model trained to fill in; tests/server/http/routes/test_fill_in_middle.py asks one",
    "/api/feedback": "needs conversations with picks; tests/server/http/routes has the endpoint's tests",
}
