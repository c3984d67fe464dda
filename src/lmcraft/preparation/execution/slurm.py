"""Preparations on a Slurm cluster: the script that submits their jobs.

Each step is an array job that starts when the one before it has ended well. Its elements run `lmcraft prepare` with
`--step NAME --units I::N`, which does every N-th unit of the step from the I-th on; N need not fit the number of units,
which is not known before the earlier steps have run. The elements share the work folder, and need nothing of each other but
its journal: one that is started again, by Slurm or by hand, does what is missing. The last job is a plain `lmcraft prepare`,
which finds all units done and writes the dataset.
"""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from lmcraft.errors import UserError
from lmcraft.folder.writing import write_text

SURVEY = "survey"  # before the first step: lists the files of the sources, so that elements need not
ELEMENTS = 16  # of an array job, unless the recipe says how many workers there are
SHARE = re.compile(r"(\d{1,9})::(\d{1,9})")
SCRIPT = """\
#!/usr/bin/env bash
# Submits the jobs of a preparation to Slurm: `bash {name}`. Written by `lmcraft prepare`, and never run by it.
# For a partition, an account or a time limit, set sbatch's own variables, such as SBATCH_PARTITION, or edit `options`.
# After a failure, submit it again: what is finished is kept.
set -euo pipefail
cd {folder}
command={command}
elements={elements}
options=(--parsable --requeue --ntasks=1 --cpus-per-task=1)

# The last arguments of sbatch; the job starts when the one before it has ended well.
submit() {{
  job=$(sbatch "${{options[@]}}" ${{job:+--dependency=afterok:$job --kill-on-invalid-dep=yes}} "$@")
  job=${{job%%;*}} # without the name of a cluster
}}

submit_step() {{
  submit --job-name="$1" --array="0-$(($2 - 1))" --wrap "$command --step $1 --units \\$SLURM_ARRAY_TASK_ID::$2"
}}

job=""
{steps}
submit --job-name=dataset --wrap "$command"
echo "submitted: job $job, the last, writes the dataset"
"""


def write_job_script(path: Path, command: Sequence[str], steps: Sequence[str], *, elements: int = 0) -> None:
    """Write the script that submits the jobs of a preparation.

    Args:
        path: of the script.
        command: that prepares the dataset in processes; run in the folder that is current now.
        steps: their names, in order.
        elements: of each array job, with one core each; 0: `ELEMENTS`.
    """
    lines = [f"submit_step {SURVEY} 1", *(f'submit_step {shlex.quote(step)} "$elements"' for step in steps)]
    text = SCRIPT.format(
        name=shlex.quote(path.name),
        folder=shlex.quote(str(Path.cwd())),
        command=shlex.quote(shlex.join(command)),
        elements=elements or ELEMENTS,
        steps="\n".join(lines),
    )
    write_text(path, text)


def parse_share(text: str) -> slice:
    """Which units an element does, from I::N.

    Raises:
        UserError: it is something else.
    """
    match = SHARE.fullmatch(text)
    if match is None or not int(match[1]) < int(match[2]):
        raise UserError(f"units='{text}' is not a share of the units: use I::N with I from 0 to N - 1, such as 0::16")
    return slice(int(match[1]), None, int(match[2]))
