"""The server as a deployment of Ray Serve: `serve run lmcraft.server.ray_serve:build model=models/mine`.

Each replica is a server of its own, with its own engine; Ray starts them on the nodes of a cluster, balances the requests
among them, and replaces those that die. What replicas share (stored responses) is in the database of `store`.
"""

import os
import sys
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from lmcraft.extras import import_optional
from lmcraft.inference.thought_format import ReasoningParser
from lmcraft.server.limits import SWITCH_SECONDS, Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from lmcraft.server.engine.registry import Registry
    from lmcraft.server.http.backend import LocalBackend
    from lmcraft.server.metrics import Metrics

DEPLOYMENT = "lmcraft"
HEALTH_CHECK_SECONDS = 5.0
CPUS = 1.0  # reserved for a replica, unless the configuration gives it another number


class ReplicaSettings(BaseModel):
    """The arguments of `build`: settings of `lmcraft serve`, by the same names."""

    model_config = ConfigDict(extra="forbid")

    model: str | list[str]
    """Folders, files or addresses that every node can read; NAME=ADDRESS serves a model under another name."""
    adapters: dict[str, str] = Field(default_factory=dict)
    device: str = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    weights: Literal["keep", "int8", "int4"] = "keep"
    reasoning_parser: ReasoningParser = "auto"
    store: str = "none"
    """URL of a database for the responses that clients may name later, whichever replica made them; none: each replica
    keeps its own in memory."""
    allowed_hosts: list[str] = Field(default_factory=list)
    limits: Limits = Limits()


def build(settings: ReplicaSettings) -> Any:
    """The application for `serve run` and for the `import_path` of a configuration file.

    A replica takes as many requests at once as its engine runs and queues (`max_ongoing_requests`); Ray holds back the rest,
    and counts them when it decides how many replicas there are.

    Raises:
        UserError: Ray Serve is not installed; a limit is invalid.
    """
    serve = import_optional("ray.serve", "ray-serve", "a deployment on Ray")
    limits = settings.limits
    limits.check()

    def make_app() -> ReplicaApp:
        return replica_app(settings)

    deployment = serve.deployment(
        name=DEPLOYMENT,
        ray_actor_options={"num_cpus": CPUS},
        max_ongoing_requests=limits.max_num_seqs + limits.max_queue,
        health_check_period_s=HEALTH_CHECK_SECONDS,
        graceful_shutdown_timeout_s=limits.drain_timeout,
    )
    return deployment(serve.ingress(make_app)(Replica)).bind()


class Replica:
    """What Ray calls of a replica, beside its ASGI application, which it sets."""

    app: "ReplicaApp"

    async def check_health(self) -> None:
        """Raise ApiError if an engine has failed: Ray then replaces the replica."""
        await self.app.backend.check_health()


class ReplicaApp:
    """The ASGI application of a replica.

    Args:
        app: answers its requests.
        backend: its models.
    """

    def __init__(self, app: "ASGIApp", backend: "LocalBackend") -> None:
        self._app, self.backend = app, backend

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        await self._app(scope, receive, send)


def replica_app(settings: ReplicaSettings) -> ReplicaApp:
    """The application of a replica, with its models loaded. Clients need the API key of LMCRAFT_API_KEY, if it is set.

    Raises:
        UserError: a model does not exist; the store cannot be opened.
    """
    from lmcraft.server.conversations.store import Store
    from lmcraft.server.http.app import build_app
    from lmcraft.server.http.backend import LocalBackend
    from lmcraft.server.http.keys import Keys
    from lmcraft.server.http.quotas import Quotas
    from lmcraft.server.http.state import ServerState
    from lmcraft.server.metrics import Metrics

    sys.setswitchinterval(SWITCH_SECONDS)
    limits, metrics = settings.limits, Metrics()
    keys = Keys.read(filter(None, [os.environ.get("LMCRAFT_API_KEY")]))
    registry = _load_models(settings, limits, metrics)
    state = ServerState(registry, limits, metrics, keys, Quotas(keys))
    store = None if settings.store == "none" else Store.open(settings.store)
    return ReplicaApp(build_app(state, store, hosts=settings.allowed_hosts), LocalBackend(registry))


def _load_models(settings: ReplicaSettings, limits: Limits, metrics: "Metrics") -> "Registry":
    from lmcraft.machine import DTYPES, choose_device
    from lmcraft.server.engine.registry import LoadOptions, Registry, parse_model_arguments

    options = LoadOptions(
        dtype=DTYPES.get(settings.precision),
        device=choose_device(settings.device),
        weights=None if settings.weights == "keep" else settings.weights,
        reasoning_parser=settings.reasoning_parser,
    )
    registry = Registry(limits, metrics, options)
    models = [settings.model] if isinstance(settings.model, str) else settings.model
    for n, (name, address) in enumerate(parse_model_arguments(models).items()):
        registry.open(name, address, settings.adapters if n == 0 else {})
    return registry
