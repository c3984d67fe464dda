"""CI and the pre-commit hook call the repository's own scripts."""

from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_ci_and_pre_commit_call_the_same_scripts() -> None:
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert "\nscripts/check\n" in ci and "\nscripts/test\n" in ci
    assert "run: .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")
    assert "entry: scripts/check" in (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
