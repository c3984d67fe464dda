"""`lmcraft serve`: an OpenAI-compatible server and a chat page."""

import ipaddress
import os
import sys
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from lmcraft.config import Config, command_config
from lmcraft.errors import UserError
from lmcraft.server.limits import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from lmcraft.server.engine.registry import Registry
    from lmcraft.server.http.keys import Keys
    from lmcraft.server.metrics import Metrics

MODERATOR = "moderation"  # what a moderation model is called


@command_config
@dataclass(frozen=True)
class ServeConfig(Config):
    """Serve models: OpenAI's endpoints under /v1, and a chat page. Only this machine reaches it, unless --host says more."""

    model: tuple[str, ...] = ()
    """Model folders, GGUF files or addresses (hf:owner/name); NAME=ADDRESS gives one a name."""

    _: KW_ONLY

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0: all of this machine's, and then a key is needed."""
    port: int = 8000
    """Port to listen on; 0: a free one."""
    adapters: Annotated[dict[str, str], Parameter(negative="")] = field(default_factory=dict)
    """Adapters of the first model, asked for by their names: --adapters.NAME FOLDER."""
    model_root: Path | None = None
    """A folder whose models may be asked for by name too; one is opened when that happens."""
    engine: Literal["lmcraft", "vllm"] = "lmcraft"
    """Who answers: models that are opened here, or, with --upstream, vLLM or any other server with OpenAI's endpoints, which
    then has our keys, quotas, queue and pages in front."""
    upstream: str = ""
    """The other engine's address, such as http://127.0.0.1:8001; its key, if any, is in LMCRAFT_UPSTREAM_KEY."""
    moderation: str = ""
    """A classifier for /v1/moderations (`lmcraft finetune --objective classify`), whose labels are the categories."""
    store: str = "~/.local/share/lmcraft/chats.sqlite"
    """Where conversations, ratings and picks are kept: a file, or a database's URL; "none": nowhere."""
    api_key: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """A key that clients must send; also from the environment, LMCRAFT_API_KEY. All such keys are one owner's."""
    api_keys: Path | None = None
    """A TOML file of keys by name, each with its hash and its quotas."""
    new_api_key: str = ""
    """Add a key of this name to --api-keys, print it, and leave."""
    allowed_hosts: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Names that clients reach this server under, beside the address it listens on."""
    allowed_origins: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """Pages elsewhere that may use it from a browser, such as https://example.org."""
    device: str = "auto"
    """"cpu", "cuda" or a GPU's name such as "cuda:1"; auto takes a GPU if there is one."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """Number type of weights and activations; auto keeps the file's."""
    weights: Literal["keep", "int8", "int4"] = "keep"
    """Read the weights in fewer bits: faster, and a little less exact."""
    log_level: Literal["warning", "info", "debug"] = "info"
    """What is told on standard error; texts never are."""
    limits: Annotated[Limits, Parameter(name="*", group="Limits")] = field(default_factory=Limits)

    def resolved(self) -> "ServeConfig":
        self.limits.check()
        if self.new_api_key and self.api_keys is None:
            raise UserError(f"new_api_key={self.new_api_key} needs a file to be kept in: give --api-keys FILE")
        if (self.engine == "vllm") != bool(self.upstream):
            raise UserError(
                f"engine={self.engine} with upstream='{self.upstream}': give --engine vllm and --upstream URL, or neither"
            )
        if self.upstream and (self.model or self.model_root is not None):
            raise UserError("model and upstream cannot both be served: leave one of them out")
        if not self.new_api_key and not self.upstream and not self.model and self.model_root is None:
            raise UserError("model is empty: name a folder, an address such as smollm2-135m-instruct, or --model-root")
        if self.adapters and not self.model:
            raise UserError("adapters need the model that they belong to: name it")
        if not 0 <= self.port < 65536:
            raise UserError(f"port={self.port} must be from 0 to 65535")
        return self


def serve(config: ServeConfig = ServeConfig()) -> None:
    """Serve until a signal ends it; SIGTERM lets running requests end first.

    Raises:
        UserError: there is no such model, a setting does not fit, or the port is taken.
    """
    config = config.resolved()
    try:
        import fastapi  # noqa: F401 - here for its message
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise UserError("the server needs some packages: pip install 'lmcraft[serve]'") from error
    if config.new_api_key:
        _add_key(config)
        return
    from lmcraft.server.http.server import listen, make_server

    keys = _keys(config)
    socket = listen(config.host, config.port)
    try:
        app = _application(config, keys)
        host, port = socket.getsockname()[:2]
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)
        make_server(app, config.limits, config.log_level).run(sockets=[socket])
    finally:
        socket.close()


def _keys(config: ServeConfig) -> "Keys":
    """Who may ask. Where others can reach the server, somebody has to have a key: one is made and shown once."""
    from lmcraft.server.http.keys import Keys

    plain = [*config.api_key, *filter(None, [os.environ.get("LMCRAFT_API_KEY")])]
    keys = Keys.read(plain, config.api_keys)
    if not keys and not is_loopback(config.host):
        key = Keys.generate()
        print(f"API key, shown this once: {key}", file=sys.stderr, flush=True)
        keys = Keys.read([key], None)
    return keys


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _add_key(config: ServeConfig) -> None:
    from lmcraft.server.http.keys import add_to_file

    assert config.api_keys is not None
    key = add_to_file(config.api_keys, config.new_api_key)
    print(f"API key of '{config.new_api_key}', shown this once; its hash is in {config.api_keys}:", file=sys.stderr)
    print(key)


def _application(config: ServeConfig, keys: "Keys") -> "ASGIApp":
    from lmcraft.server.conversations.store import Store
    from lmcraft.server.http.app import build_app
    from lmcraft.server.http.quotas import Quotas
    from lmcraft.server.http.state import Serving
    from lmcraft.server.http.upstream import Upstream
    from lmcraft.server.metrics import Metrics

    store = None if config.store == "none" else Store.open(_database(config.store))
    metrics = Metrics()
    registry = _open_models(config, metrics)
    serving = Serving(registry, config.limits, metrics, keys, Quotas(keys), moderator=MODERATOR if config.moderation else "")
    upstream = None
    if config.upstream:
        upstream = Upstream(config.upstream, os.environ.get("LMCRAFT_UPSTREAM_KEY", ""), config.limits)
    hosts = [] if config.host in ("0.0.0.0", "::") else [config.host]
    names = [*hosts, *config.allowed_hosts]
    return build_app(serving, store, upstream=upstream, hosts=names, origins=config.allowed_origins)


def _open_models(config: ServeConfig, metrics: "Metrics") -> "Registry":
    from lmcraft.machine import DTYPES, choose_device
    from lmcraft.server.engine.registry import How, Registry, named

    how = How(
        DTYPES.get(config.precision), choose_device(config.device), None if config.weights == "keep" else config.weights
    )
    registry = Registry(config.limits, metrics, how, config.model_root)
    for n, (name, address) in enumerate(named(config.model).items()):
        registry.open(name, address, config.adapters if n == 0 else {})
    if config.moderation:
        registry.open(MODERATOR, config.moderation)
    return registry


def _database(store: str) -> str:
    """A database's URL as it is, a file with its folder made."""
    if "://" in store:
        return store
    path = Path(store).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    return str(path)
