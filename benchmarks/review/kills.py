"""Reviewers in processes of their own, and a server that is killed (SIGKILL) at random moments and started again.

Afterwards no item may have been held by two people at once, no verdict that the server acknowledged may be lost, none may be
there twice, and `verify` must find the audit log and the tables unchanged.

python benchmarks/review/kills.py --database sqlite --kills 20
python benchmarks/review/kills.py --database postgresql --kills 20
"""

import argparse
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from lmcraft.processor import cpu_name
from tests.annotation.kills import run
from tests.hyperparameters.postgresql import postgresql


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--reviewers", type=int, default=8)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=6.0, help="between two kills, at most")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        is_file = arguments.database == "sqlite"
        location = str(folder / "reviews.sqlite") if is_file else stack.enter_context(postgresql(fsync=True))
        outcome = run(
            location,
            folder,
            reviewers=arguments.reviewers,
            num_items=arguments.items,
            kills=arguments.kills,
            seconds=arguments.seconds,
            seed=arguments.seed,
        )
    print(f"{cpu_name()}, {arguments.database}, {arguments.reviewers} reviewers: {asdict(outcome)}")
    if outcome.faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
