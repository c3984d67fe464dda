"""A running server as what answers a conversation: `lmcraft serve`, or any other with OpenAI's endpoints."""

import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from lmcraft.conversation.tree import Piece, Spoken, TooLongError
from lmcraft.errors import LmcraftError, RunError, UserError
from lmcraft.text_output import replace_control_characters

KEY = "LMCRAFT_API_KEY"  # the environment variable
PENALTIES = ("repetition_penalty", "presence_penalty", "frequency_penalty")
SAME = ("temperature", "top_p", "top_k", "min_p", *PENALTIES, "logit_bias", "stop")
STRUCTURES = {"json_schema": "json", "regex": "regex", "grammar": "grammar"}
SETTINGS = frozenset({"max_new_tokens", "seed", *SAME, *STRUCTURES})
"""The fields of `GenerationConfig` that the API has."""

CONNECT_TIMEOUT = 10.0  # seconds
READ_TIMEOUT = 1800.0  # seconds without a word; servers give up long before, and say why
MOST_BYTES = 4 * 2**20  # of one event, or of an answer that is no stream
MOST_SAID = 500  # characters of a server's own words


def is_remote(address: str) -> bool:
    """Whether a model's address is that of a server."""
    return address.lower().startswith(("http://", "https://"))


class RemoteBackend:
    """A model of a server. The key goes to this server alone: there is no proxy, and redirects are not followed."""

    def __init__(self, address: str, settings: Mapping[str, Any]) -> None:
        """Ask the server what models it has.

        Args:
            address: http://HOST:PORT, and #NAME for a model other than its first that chats.
            settings: some of `SETTINGS`.

        Raises:
            UserError: the address cannot be one, or names no model where there is no first.
            RunError: the server does not answer, or wants a key.
        """
        self._base, _, name = address.partition("#")
        self._base = self._base.rstrip("/").removesuffix("/v1")
        try:
            self._url = urlsplit(self._base)
            self._host, self._port = self._url.hostname or "", self._url.port
        except ValueError as error:
            raise UserError(f"'{self._base}' is not an address ({error}): write http://HOST:PORT") from error
        if not self._host or self._url.username is not None or self._url.query:
            raise UserError(f"'{self._base}' is not a server's address: write http://HOST:PORT, and the key into {KEY}")
        self._key = os.environ.get(KEY, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"the key in {KEY} has characters that no key has: copy it again")
        self._fields = _fields(settings)
        self._seed: int | None = settings.get("seed")
        self.name, self.context = self._chosen(name)

    def stream(self, messages: Spoken, draw: int) -> Generator[Piece, None, None]:
        """The answer to the last message, as `lmcraft.conversation.tree.Backend` has it."""
        fields = dict(self._fields)
        if self._seed is not None:
            fields["seed"] = (self._seed + draw) % 2**63
        if "max_tokens" not in fields and self.context and any(one["role"] == "assistant" for one in messages):
            # As with a model that is opened here: half of the context is for the answer. A server that is asked for no
            # number takes a conversation that leaves one token.
            fields["max_tokens"] = max(1, self.context // 2)
        asked = {"model": self.name, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        with self._answered("POST", "/v1/chat/completions", asked | fields) as response:
            self._check(response)
            if response.headers.get_content_type() != "text/event-stream":
                raise self._strange()
            for data in self._events(response):
                if data == "[DONE]":
                    return
                yield self._piece(_parsed(data))
            raise RunError(f"the answer of {self._base} breaks off: ask again")

    def _chosen(self, name: str) -> tuple[str, int | None]:
        """A model's name, and its context where the server tells it."""
        models = self._models()
        for model in models:
            found, context = model.get("id"), model.get("context")
            if isinstance(found, str) and (found == name if name else model.get("kind") == "chat"):
                return found, context if isinstance(context, int) else None
        if not name:
            raise UserError(f"{self._base} has no chat model open: name one, {self._base}#NAME")
        return name, None  # a server can open models that it has not listed yet; it says so if not

    def _models(self) -> list[dict[str, Any]]:
        with self._answered("GET", "/api/info") as response:
            if response.status != 404:
                self._check(response)
                info = _parsed(response.read(MOST_BYTES))
                if isinstance(info, dict) and info.get("key_required") and "models" not in info:
                    raise RunError(f"{self._base} wants a key that it knows: put it into the environment variable {KEY}")
                return self._listed(info, "models")
        with self._answered("GET", "/v1/models") as response:  # another program's server
            self._check(response)
            listed = self._listed(_parsed(response.read(MOST_BYTES)), "data")
        return [{"id": one.get("id"), "kind": "chat", "context": one.get("max_model_len")} for one in listed]

    def _listed(self, answer: Any, field: str) -> list[dict[str, Any]]:
        listed = answer.get(field) if isinstance(answer, dict) else None
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise self._strange()
        return listed

    @contextmanager
    def _answered(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Iterator[HTTPResponse]:
        """What the server answers; the connection ends with the context, which is how an answer is stopped.

        Raises:
            RunError: it does not answer, or stops on the way.
        """
        kind = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            with closing(kind(self._host, self._port, timeout=CONNECT_TIMEOUT)) as connection:
                connection.connect()
                connection.sock.settimeout(READ_TIMEOUT)
                content = None if body is None else json.dumps(body)
                connection.request(method, self._url.path + path, content, headers)
                with connection.getresponse() as response:
                    yield response
        except ConnectionRefusedError as error:
            raise RunError(f"no server listens at {self._base}: start one with `lmcraft serve MODEL`") from error
        except TimeoutError as error:
            raise RunError(f"{self._base} does not answer: check the address, or ask later") from error
        except (OSError, HTTPException, UnicodeError) as error:  # the last is of a host's name
            why = _sentence(str(error) or type(error).__name__)
            raise RunError(f"the connection to {self._base} failed ({why}): check the address, or ask again") from error

    def _check(self, response: HTTPResponse) -> None:
        """Raise what the server refuses with."""
        if response.status == 200:
            return
        try:
            error = _parsed(response.read(MOST_BYTES))["error"]
            said, code = error["message"], error.get("code")
        except (RunError, TypeError, KeyError, AttributeError):
            said, code = None, None
        if not isinstance(said, str):
            raise RunError(f"{self._base} answers with status {response.status}: check the address")
        kind: type[LmcraftError] = UserError if response.status in (400, 413, 422) else RunError
        raise (TooLongError if code == "context_length_exceeded" else kind)(_sentence(said))

    def _events(self, response: HTTPResponse) -> Iterator[str]:
        """The data of each server-sent event."""
        data: list[str] = []
        while line := response.readline(MOST_BYTES):
            if len(line) == MOST_BYTES:
                raise self._strange()
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text.startswith("data:"):
                data.append(text.removeprefix("data:").removeprefix(" "))
            elif not text and data:
                yield "\n".join(data)
                data.clear()

    def _piece(self, chunk: Any) -> Piece:
        match chunk:
            case {"error": {"message": str(said)}}:
                raise RunError(_sentence(said))
            case {"choices": list(choices)}:
                choice, usage = choices[0] if choices else {}, chunk.get("usage")
            case _:
                raise self._strange()
        try:
            text, reason = choice.get("delta", {}).get("content") or "", choice.get("finish_reason")
            counts = {name: int(usage[name]) for name in ("prompt_tokens", "completion_tokens")} if usage else None
            # JSON can spell half a surrogate pair, which nothing can write.
            return Piece(text.encode("utf-8", "replace").decode(), None if reason is None else str(reason), counts)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._strange() from error

    def _strange(self) -> RunError:
        return RunError(f"{self._base} does not answer as OpenAI's API does: check the address")


def _fields(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request, but for the seed."""
    found = {name: settings[name] for name in SAME if name in settings}
    if settings.get("max_new_tokens"):
        found["max_tokens"] = settings["max_new_tokens"]
    structure = {theirs: settings[ours] for ours, theirs in STRUCTURES.items() if settings.get(ours)}
    return found | ({"structured_outputs": structure} if structure else {})


def _parsed(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError("the server sent what is not JSON: check the address") from error


def _sentence(text: str) -> str:
    """A server's own words on one line."""
    return replace_control_characters(" ".join(text[:MOST_SAID].split()))
