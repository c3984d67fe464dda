"""Commands that are killed lose nothing, leave nothing, and give the same result when they are run again."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.slow
def test_killed_commands_lose_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(SCRIPT), "--moments", "1", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0 and ended.stdout.endswith("0 faults\n"), ended.stdout + ended.stderr
