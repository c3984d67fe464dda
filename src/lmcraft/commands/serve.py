"""`lmcraft serve`: an OpenAI-compatible server and a chat page."""

import ipaddress
import os
import sys
from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from lmcraft.config import MACHINE, command_config, quantity, section, takes_settings
from lmcraft.errors import UserError
from lmcraft.extras import import_optional
from lmcraft.generation_flags import SteeringFlags, load_steering
from lmcraft.hub.model_argument import ModelArguments
from lmcraft.inference.thought_format import ReasoningParser
from lmcraft.quantities import Age
from lmcraft.server.limits import SWITCH_SECONDS, Limits
from lmcraft.setting_values import expand_user

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from lmcraft.annotation.store import ReviewStore
    from lmcraft.server.conversations.store import Store
    from lmcraft.server.engine.registry import Registry
    from lmcraft.server.http.document_answers import DocumentAnswers
    from lmcraft.server.http.keys import Keys
    from lmcraft.server.metrics import Metrics
    from lmcraft.server.moderation.guard import Guard
    from lmcraft.server.privacy.prompt_log import PromptLog

ALL_INTERFACES = ("0.0.0.0", "::")
MAX_PORT = 65_535
MIN_RETENTION_SECONDS = 60.0
ACCESS = section("Access", negative="")
PRIVACY = section("Privacy")
DOCUMENTS = section("Answers from documents")
DEFAULT_RELEVANCE = 0.4
AnswerForm = Literal["quote", "choose", "write"]
DEFAULT_STORE = "~/.local/share/lmcraft/chats.sqlite"
DEFAULT_REVIEWS = "~/.local/share/lmcraft/reviews.sqlite"


@command_config
@dataclass(frozen=True)
class ServeConfig(SteeringFlags):
    """Serve models with OpenAI's endpoints under /v1 and a chat page. Only this machine can connect unless --host is set."""

    model: ModelArguments = ()
    """Model folders, GGUF files or addresses (hf:owner/name); NAME=ADDRESS serves a model under another name."""

    _: KW_ONLY

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0: all of this machine's. Clients need an API key unless it is a loopback address."""
    port: int = 8000
    """Port to listen on; 0: a free one."""
    adapters: Annotated[dict[str, str], Parameter(negative="")] = field(default_factory=dict)
    """Adapters of the first model, each served under its own name: --adapters.NAME FOLDER."""
    model_root: Path | None = None
    """Folder of further models, each loaded on the first request for it."""
    reasoning_parser: ReasoningParser = "auto"
    """How models write what they think before an answer, which becomes its reasoning_content: one of vLLM's names; auto: as
    in the chat template; none: thoughts stay in the answer."""
    engine: Literal["lmcraft", "vllm"] = "lmcraft"
    """Engine that runs the model: lmcraft itself, or the server at --upstream (vLLM, or any other with OpenAI's endpoints),
    with lmcraft's keys, quotas, queue and pages in front of it."""
    upstream: str = ""
    """Address of the other server, such as http://127.0.0.1:8001; its API key, if any, is read from LMCRAFT_UPSTREAM_KEY."""
    policy: str = ""
    """Policy by which prompts and answers are judged: a file of `lmcraft guard init`, or lmcraft's own, "default"; empty:
    nothing is judged, and /v1/moderations has lmcraft's own."""
    reviews: str = DEFAULT_REVIEWS
    """Where to keep what people review at /review, such as texts that the policy sends there and answers that users report:
    a file, or a database's URL; "none": nowhere. If it is set, the server needs no model."""
    review_anchors: Path | None = None
    """File to which the number and hash of the last row of the reviews' audit log are added every 10 minutes, where whoever
    writes to the database cannot write; `lmcraft review verify --expect` reads it."""
    documents: Annotated[Path | None, DOCUMENTS] = None
    """Folder of Markdown, HTML or text files that chats are answered from, with citations."""
    answers: Annotated[AnswerForm, DOCUMENTS] = "quote"
    """quote: answers quote the two best passages, word for word; choose: the model chooses which of the three best to quote;
    write: it writes the answer from them."""
    encoder: Annotated[str, DOCUMENTS] = ""
    """Model whose embeddings rank passages beside their words, such as the folder of all-MiniLM-L6-v2."""
    min_relevance: Annotated[float, DOCUMENTS] = DEFAULT_RELEVANCE
    """Relevance of a passage, from 0 to 1, below which the answer is that nothing was found."""
    runs: Path | None = None
    """Folder whose runs are shown at /runs, live, with all folders below it. If it is set, the server needs no model."""
    store: str = DEFAULT_STORE
    """Where to keep conversations, ratings, preferences and responses: a file, or a database's URL; "none": nowhere, and
    responses in memory."""
    api_key: Annotated[tuple[str, ...], ACCESS] = ()
    """API key that clients must send; also read from LMCRAFT_API_KEY. All keys given this way belong to one user."""
    api_keys: Annotated[Path | None, ACCESS] = None
    """TOML file of API keys by name, each with its hash, its quotas and its role in reviews and runs."""
    new_api_key: Annotated[str, ACCESS] = ""
    """Add a key of this name to --api-keys, print it, and exit."""
    role: Annotated[Literal["", "reviewer", "adjudicator", "owner"], ACCESS] = ""
    """Role of the new API key in reviews, each of which may do what those before it may; owners also stop and resume runs.
    Empty: it may not review."""
    allowed_hosts: Annotated[tuple[str, ...], ACCESS] = ()
    """Further host names under which clients may address the server."""
    allowed_origins: Annotated[tuple[str, ...], ACCESS] = ()
    """Origins of other sites whose pages may use the server from a browser (CORS), such as https://example.org."""
    retention: Annotated[Age, quantity("forever"), PRIVACY] = Age(0)
    """How long to keep what users send, such as 30d: conversations after their last change, responses, texts in reviews, and
    logged prompts. What is older is deleted for good."""
    log_prompts: Annotated[Path | None, PRIVACY] = None
    """File to which the body of each request with a prompt is added, as a line of JSON, scrubbed of personal data.
    [default: prompts are not logged]"""
    scrub_prompts: Annotated[bool, PRIVACY] = True
    """Take personal data out of the prompts that are logged."""
    device: Annotated[str, MACHINE] = "auto"
    """cpu, cuda, mps (Apple), or one GPU such as cuda:1; auto: a GPU if there is one."""
    precision: Annotated[Literal["auto", "bf16", "fp32"], MACHINE] = "auto"
    """Data type of weights and activations; auto: that of the model's files."""
    weights: Annotated[Literal["keep", "int8", "int4"], MACHINE] = "keep"
    """Quantize the weights to 8 or 4 bits while loading: faster, slightly less accurate."""
    log_level: Literal["warning", "info", "debug"] = "info"
    """Log level. All lines are scrubbed of personal data. Prompts and answers are never logged, except for what the messages
    of exceptions quote of them at the level debug; --log-prompts logs prompts."""
    limits: Annotated[Limits, Parameter(name="*", group="Limits")] = field(default_factory=Limits)

    def resolved(self) -> "ServeConfig":
        self.limits.check()
        self.check_steering()
        if self.new_api_key and self.api_keys is None:
            raise UserError(f"new_api_key={self.new_api_key} needs a file to add the key to; set --api-keys FILE")
        if self.role and not self.new_api_key:
            raise UserError(
                f"role={self.role} is that of a new key; add --new-api-key NAME, or set it in the --api-keys file"
            )
        if (self.engine == "vllm") != bool(self.upstream):
            raise UserError(
                f"engine={self.engine} with upstream='{self.upstream}' does not work; "
                "give --engine vllm and --upstream URL, or neither"
            )
        if self.upstream and (self.model or self.model_root is not None):
            raise UserError("model and upstream cannot both be served; remove one of them")
        if self.upstream and (guide := self.steer_toward or self.steer_away):
            raise UserError(f"'{guide}' cannot steer the engine at upstream, which keeps its logits: leave it out")
        if self.upstream and self.reasoning_parser != "auto":
            raise UserError(
                f"reasoning_parser={self.reasoning_parser} does not apply to the engine at upstream; set it there, not here"
            )
        has_models = self.upstream or self.model or self.model_root is not None or self.runs is not None
        if not self.new_api_key and not has_models and self.reviews in (DEFAULT_REVIEWS, "none"):
            raise UserError(
                "model is empty; name a folder, an address such as smollm2-135m-instruct, or --model-root; "
                "or set --reviews FILE or --runs DIR to serve the page of reviews or runs alone"
            )
        if self.documents is None and (self.encoder or self.answers != "quote" or self.min_relevance != DEFAULT_RELEVANCE):
            raise UserError(
                "encoder, answers and min_relevance are about documents; add --documents FOLDER, or leave them out"
            )
        if self.documents is not None and self.upstream:
            raise UserError("documents cannot be quoted by the engine at upstream; serve a model here, or leave them out")
        if not 0 <= self.min_relevance <= 1:
            raise UserError(f"min_relevance={self.min_relevance} must be from 0 to 1")
        if self.adapters and not self.model:
            raise UserError("adapters need the model that they belong to; name it")
        if 0 < self.retention < MIN_RETENTION_SECONDS:
            raise UserError(f"retention={self.retention} is too short for a chat; give at least 1m, or 0 to keep everything")
        if not self.scrub_prompts and self.log_prompts is None:
            raise UserError(
                "scrub_prompts=False is about the prompts that are logged; add --log-prompts FILE, or leave it out"
            )
        if not 0 <= self.port <= MAX_PORT:
            raise UserError(f"port={self.port} must be from 0 to {MAX_PORT}")
        return self


@takes_settings(ServeConfig)
def serve(config: ServeConfig = ServeConfig()) -> None:
    """Serve until SIGTERM or SIGINT; running requests may finish first. Then the process ends, whatever its threads do.

    Raises:
        UserError: there is no such model, a setting is invalid, or the port is taken.
    """
    config = config.resolved()
    for module in ("fastapi", "uvicorn", "sqlalchemy", "phonenumbers", "stdnum"):
        import_optional(module, "serve", "the server")
    if config.new_api_key:
        _add_key(config)
        return
    from lmcraft.server.privacy.scrubbed_logs import make_scrub, scrubbed_logs

    with scrubbed_logs(config.log_level, make_scrub()):
        _serve(config)


def _serve(config: ServeConfig) -> None:
    from lmcraft.server.http.server import end_process, end_process_after, listen, make_server

    sys.setswitchinterval(SWITCH_SECONDS)
    keys = _read_keys(config)
    socket = listen(config.host, config.port)
    try:
        app, end_work, end_waits = _build_app(config, keys)
        host, port = socket.getsockname()[:2]
        print(f"http://{f'[{host}]' if ':' in host else host}:{port}", flush=True)

        def on_signal(seconds: float) -> None:
            end_waits()
            end_process_after(seconds)

        server = make_server(app, config.limits, config.log_level, end_work=end_work, on_signal=on_signal)
        server.run(sockets=[socket])
        end_process()
    finally:
        socket.close()


def _read_keys(config: ServeConfig) -> "Keys":
    """The API keys. If other machines can connect and there is no key, generate one and print it."""
    from lmcraft.server.http.keys import Keys

    plain_keys = [*config.api_key, *filter(None, [os.environ.get("LMCRAFT_API_KEY")])]
    keys = Keys.read(plain_keys, config.api_keys)
    if not keys and not is_loopback(config.host):
        key = Keys.generate()
        print(f"API key (shown only once): {key}", file=sys.stderr, flush=True)
        keys = Keys.read([key], None)
    return keys


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _add_key(config: ServeConfig) -> None:
    from lmcraft.server.http.keys import add_to_file

    assert config.api_keys is not None
    key = add_to_file(config.api_keys, config.new_api_key, role=config.role or None)
    print(f"API key of '{config.new_api_key}' (shown only once; its hash is in {config.api_keys}):", file=sys.stderr)
    print(key)


def _build_app(config: ServeConfig, keys: "Keys") -> tuple["ASGIApp", Callable[[], None], Callable[[], None]]:
    """The application, the function that ends its work, and one that ends what waits for runs, which is called at once."""
    from lmcraft.runs.index import RunIndex
    from lmcraft.server.http.app import build_app
    from lmcraft.server.http.quotas import Quotas
    from lmcraft.server.http.runs_access import WatchedRuns
    from lmcraft.server.http.state import ServerState
    from lmcraft.server.http.upstream import Upstream
    from lmcraft.server.metrics import Metrics

    runs = None if config.runs is None else WatchedRuns(RunIndex(expand_user(config.runs)))
    store, reviews = _open_store(config.store), _open_reviews(config)
    metrics = Metrics()
    prompt_log = _open_prompt_log(config, metrics)
    guard = _start_guard(config, metrics, reviews)
    documents = _read_documents(config)
    registry = _load_models(config, metrics)
    state = ServerState(registry, config.limits, metrics, keys, Quotas(keys), guard, documents)
    upstream = None
    if config.upstream:
        upstream = Upstream(config.upstream, os.environ.get("LMCRAFT_UPSTREAM_KEY", ""), config.limits)
    hosts = [*config.allowed_hosts, *([] if config.host in ALL_INTERFACES else [config.host])]
    app = build_app(
        state,
        store,
        reviews,
        review_anchors=config.review_anchors,
        watched_runs=runs,
        upstream=upstream,
        prompt_log=prompt_log,
        retention=float(config.retention),
        hosts=hosts,
        origins=config.allowed_origins,
    )
    return app, registry.end_work, (lambda: None) if runs is None else runs.close


def _load_models(config: ServeConfig, metrics: "Metrics") -> "Registry":
    from lmcraft.language_model import LanguageModel
    from lmcraft.machine import DTYPES, choose_device
    from lmcraft.server.engine.registry import LoadOptions, Registry, parse_model_arguments

    dtype, device = DTYPES.get(config.precision), choose_device(config.device)
    options = LoadOptions(
        dtype=dtype,
        device=device,
        steering=load_steering(config, dtype=dtype, device=device),
        weights=None if config.weights == "keep" else config.weights,
        reasoning_parser=config.reasoning_parser,
    )
    registry = Registry(config.limits, metrics, options, config.model_root)
    for n, (name, address) in enumerate(parse_model_arguments(config.model).items()):
        registry.open(name, address, config.adapters if n == 0 else {})
    for served in registry.loaded():
        writes = isinstance(served.model, LanguageModel) and not served.model.transformer.config.bidirectional
        if writes and (defaults := served.language_model.generation_config.describe_chat_defaults()):
            print(f"{served.name}: {defaults}", file=sys.stderr)
    return registry


def _read_documents(config: ServeConfig) -> "DocumentAnswers | None":
    """Index the documents that chats are answered from."""
    if config.documents is None:
        return None
    for module, feature in (("bm25s", "retrieval"), ("Stemmer", "retrieval"), ("llguidance", "grammar")):
        import_optional(module, feature, "answering from documents")
    from lmcraft.retrieval.documents import read_documents
    from lmcraft.retrieval.embeddings import TextEncoder
    from lmcraft.retrieval.index import Index
    from lmcraft.server.http.document_answers import DocumentAnswers

    encoder = TextEncoder(config.encoder) if config.encoder else None
    index = Index(read_documents(expand_user(config.documents)), encoder)
    print(f"{len(index.passages):,} passages of {config.documents}", file=sys.stderr)
    return DocumentAnswers(index, config.min_relevance, config.answers)


def _start_guard(config: ServeConfig, metrics: "Metrics", reviews: "ReviewStore | None") -> "Guard | None":
    """Start the judge of the policy, before the models load."""
    from lmcraft.server.moderation.guard import open_guard
    from lmcraft.server.moderation.reviews import StoreQueue

    if not config.policy:
        return None
    queue = None if reviews is None else StoreQueue(reviews, metrics)
    guard = open_guard(config.policy, config.limits, metrics, queue)
    guard.start()
    return guard


def _open_store(location: str) -> "Store | None":
    """Open the store, and create the folder of its file."""
    from lmcraft.server.conversations.store import Store

    if location == "none":
        return None
    _make_folder("store", location)
    return Store.open(location)


def _open_reviews(config: ServeConfig) -> "ReviewStore | None":
    """Open the store of reviews, with the guideline for what the server itself sends there.

    By default there is none if the server would send nothing: it has no policy, and keeps no chats that users could report.
    """
    from lmcraft.annotation.audit_log.anchors import append_anchor
    from lmcraft.annotation.guidelines.guideline_file import open_guideline
    from lmcraft.annotation.store import ReviewStore
    from lmcraft.server.moderation.reviews import GUIDELINE

    is_idle = config.store == "none" and not config.policy
    if config.reviews == "none" or (config.reviews == DEFAULT_REVIEWS and is_idle):
        if config.review_anchors is not None:
            raise UserError(f"review_anchors={config.review_anchors} needs reviews; set --reviews FILE")
        return None
    _make_folder("reviews", config.reviews)
    reviews = ReviewStore.open(config.reviews)
    if GUIDELINE not in {guideline.name for guideline in reviews.guidelines()}:
        reviews.add_guideline(open_guideline(GUIDELINE), "lmcraft")
    if config.review_anchors is not None:
        with reviews.reading() as (connection, _):
            append_anchor(connection, config.review_anchors)
    return reviews


def _open_prompt_log(config: ServeConfig, metrics: "Metrics") -> "PromptLog | None":
    from lmcraft.server.privacy.prompt_files import open_log
    from lmcraft.server.privacy.prompt_log import PromptLog
    from lmcraft.server.privacy.scrubbed_logs import make_scrub

    if config.log_prompts is None:
        return None
    path = expand_user(config.log_prompts)
    open_log(path)
    return PromptLog(path, make_scrub() if config.scrub_prompts else None, metrics)


def _make_folder(setting: str, location: str) -> None:
    """Create the folder of a database's file."""
    if "://" in location:
        return
    folder = expand_user(location).parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if location in (DEFAULT_STORE, DEFAULT_REVIEWS):
            folder.chmod(0o700)  # it was open to others in earlier versions
    except OSError as error:
        message = f"{setting} '{location}' cannot be created ({error.strerror}): choose another folder, or --{setting} none"
        raise UserError(message) from error
