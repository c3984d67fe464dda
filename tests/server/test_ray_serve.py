"""A server as a deployment of Ray Serve: its settings, and a replica that dies in the middle of a stream."""

import importlib.util
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import psutil
import pytest
import yaml
from pydantic import ValidationError

from lmcraft.errors import UserError
from lmcraft.server.limits import Limits
from lmcraft.server.ray_serve import DEPLOYMENT, ReplicaSettings, build
from tests.finetuning.chat import chat_folder
from tests.server.serve_process import free_port
from tests.server.tiny_server import running

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "deploy/ray-serve.yaml"
needs_ray_serve = pytest.mark.skipif(
    importlib.util.find_spec("grpc_reflection") is None, reason="Ray Serve is not installed"
)


def test_unknown_settings_and_limits_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"weight\n.*not permitted"):
        ReplicaSettings.model_validate({"model": "m", "weight": "int8"})
    with pytest.raises(ValidationError, match=r"limits\.max_seqs"):
        ReplicaSettings.model_validate({"model": "m", "limits": {"max_seqs": 3}})
    assert ReplicaSettings.model_validate({"model": "m", "limits": {"max_num_seqs": "3"}}).limits == Limits(max_num_seqs=3)


@needs_ray_serve
def test_the_configuration_file_is_one_of_ray_serve() -> None:
    from ray.serve.schema import ServeDeploySchema

    config = ServeDeploySchema.model_validate(yaml.safe_load(CONFIG.read_text()))
    [application] = config.applications
    assert application.import_path == f"{build.__module__}:{build.__name__}"
    assert [deployment.name for deployment in application.deployments] == [DEPLOYMENT]
    settings = ReplicaSettings.model_validate(application.args)
    built = build(settings)._bound_deployment
    assert (
        built.name == DEPLOYMENT and built.max_ongoing_requests == settings.limits.max_num_seqs + settings.limits.max_queue
    )
    with pytest.raises(UserError, match="max_num_seqs=0 must be greater than 0"):
        build(ReplicaSettings(model="m", limits=Limits(max_num_seqs=0)))


def test_the_documentation_shows_the_configuration_file() -> None:
    page = (ROOT / "docs/serving-at-scale.md").read_text(encoding="utf-8")
    assert f"```yaml\n{CONFIG.read_text()}```" in page


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[str]:
    """The address of Ray Serve's proxy, with one replica of a tiny model."""
    import ray
    from ray import serve

    model = chat_folder(tmp_path / "tiny", max_position_embeddings=4096)
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(part or str(Path.cwd()) for part in sys.path))
        patch.setenv("OMP_NUM_THREADS", "1")
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=100_000_000)
        try:
            serve.start(http_options={"host": "127.0.0.1", "port": port})
            serve.run(build(ReplicaSettings(model=f"tiny={model}")))
            yield f"http://127.0.0.1:{port}"
        finally:
            ray.shutdown()


@pytest.mark.slow
@needs_ray_serve
def test_a_client_is_told_that_the_replica_died(replica: str, tmp_path: Path) -> None:
    with running(tmp_path, upstream=replica) as gateway:
        endpoint = f"{gateway.url}/v1/chat/completions"
        body: dict[str, Any] = {"model": "tiny", "messages": [{"role": "user", "content": "the fox"}], "max_tokens": 4}
        assert httpx.post(endpoint, json=body, timeout=60).json()["usage"]["completion_tokens"] >= 1
        events = []
        endless = {**body, "stream": True, "max_tokens": 4000, "ignore_eos": True}
        with httpx.stream("POST", endpoint, json=endless, timeout=60) as response:
            for line in filter(None, response.iter_lines()):
                events.append(line.removeprefix("data: "))
                if len(events) == 3:
                    os.kill(replica_process(), signal.SIGKILL)
        assert json.loads(events[-1])["error"]["code"] == "upstream_stopped"


def replica_process() -> int:
    """The id of the process of this test's replica."""
    [process] = [p for p in psutil.Process().children(recursive=True) if p.cmdline()[0].startswith("ray::ServeReplica")]
    return int(process.pid)
