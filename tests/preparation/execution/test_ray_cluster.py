"""Units on a real Ray cluster of this machine."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lmcraft.errors import RunError, UserError
from lmcraft.preparation.contracts import Step, Unit
from lmcraft.preparation.execution.ray_cluster import RayCluster
from lmcraft.preparation.execution.steps import run_steps
from tests.preparation.execution import toy
from tests.preparation.execution.in_process import InProcess
from tests.preparation.execution.toy import add_step, outputs, read_step

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed"),
]


@pytest.fixture(scope="module")
def ray() -> Iterator[None]:
    """A cluster of two cores, for all tests here."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(part or str(Path.cwd()) for part in sys.path))
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
        yield
        ray.shutdown()


@pytest.mark.usefixtures("ray")
def test_two_ray_workers_give_the_same(tmp_path: Path) -> None:
    steps = [read_step(), add_step(), add_step("total", "add", 3)]
    results = run_steps(steps, tmp_path, RayCluster(2, 60), keep=["read", "add"])
    reference = run_steps(steps, tmp_path / "other", InProcess(), keep=["read", "add"])
    assert outputs(tmp_path, results) == outputs(tmp_path / "other", reference)
    assert [result.values for result in results["total"]] == [result.values for result in reference["total"]]


@pytest.mark.usefixtures("ray")
@pytest.mark.parametrize(("kind", "reason"), [("kill", "killed"), ("abort", "died"), ("hang", "hung"), ("raise", "failed")])
def test_documents_that_end_workers_are_skipped(tmp_path: Path, kind: str, reason: str) -> None:
    results = run_steps([read_step(3, trouble={"13": kind})], tmp_path, RayCluster(0, 0.5))
    assert [[row["reason"] for row in result.poisoned] for result in results["read"]] == [[], [reason], []]


@pytest.mark.usefixtures("ray")
def test_an_error_ends_the_run(tmp_path: Path) -> None:
    bad = Step("bad", lambda results: [Unit("bad", 0, f"{toy.MODULE}:no_such_function", {})], reads=())
    with pytest.raises(RunError, match=r"step 'bad' cannot be run: module '.*toy' has no attribute 'no_such_function'"):
        run_steps([bad], tmp_path, RayCluster(2, 60))


@pytest.mark.usefixtures("ray")
def test_a_folder_that_nodes_do_not_see_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lmcraft.preparation.execution.ray_cluster._sees", lambda path: False)
    with pytest.raises(UserError, match=f"executor.work='{tmp_path}' is not seen by node .*: use a folder that all nodes"):
        run_steps([read_step(1)], tmp_path, RayCluster(2, 60))
