"""The repository's own promises: one check for people, CI and pre-commit; files that the documentation names exist."""

from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_ci_pre_commit_and_workflow_call_the_scripts_of_the_readme() -> None:
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "\nscripts/check\n" in ci and "\nscripts/test\n" in ci
    assert "run: .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert "entry: scripts/check" in (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
