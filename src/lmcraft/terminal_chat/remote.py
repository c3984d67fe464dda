"""A backend that sends requests to a server: `lmcraft serve`, or another one with OpenAI's endpoints."""

import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from lmcraft.errors import LmcraftError, RunError, UserError
from lmcraft.hub.address import repository_of_page
from lmcraft.inference.generation_config import GenerationConfig
from lmcraft.inference.generation_settings import SETTINGS, to_request
from lmcraft.inference.thought_format import FORMATS
from lmcraft.inference.thoughts import ThoughtParser
from lmcraft.terminal import escape_control_characters
from lmcraft.terminal_chat.tree import AnswerChunk, ChatMessages, TooLongError

API_KEY_VARIABLE = "LMCRAFT_API_KEY"

CONNECT_TIMEOUT_SECONDS = 10.0
READ_TIMEOUT_SECONDS = 1800.0  # without any data; servers time out long before, with an error message
MAX_RESPONSE_BYTES = 4 * 2**20  # of one event, or of a response that is not a stream
MAX_ERROR_CHARACTERS = 500  # of a server's error message


def is_remote(address: str) -> bool:
    """Whether a model's address is that of a server."""
    return address.lower().startswith(("http://", "https://"))


class RemoteBackend:
    """A model behind a server. The key goes to this server only: no proxy is used, and redirects are not followed.

    Args:
        address: http://HOST:PORT, and #NAME for a model other than the first chat model.
        settings: fields of `GenerationConfig` that requests have (`Setting.request_field`).
        divides: tell what the model thinks apart from its answer; otherwise the text has both, with the tags.

    Raises:
        UserError: the address is malformed, or it names no model and the server has no chat model.
        RunError: the server does not answer, or requires a key.
    """

    is_remote = True

    def __init__(self, address: str, settings: Mapping[str, Any], *, divides: bool = False) -> None:
        if (page := repository_of_page(address)) is not None:
            raise UserError(f"'{address}' is a page of the Hugging Face hub, not a server: write {page}")
        self._base, _, name = address.partition("#")
        self._base = self._base.rstrip("/").removesuffix("/v1")
        try:
            self._url = urlsplit(self._base)
            self._host, self._port = self._url.hostname or "", self._url.port
        except ValueError as error:
            raise UserError(f"'{self._base}' is not an address ({error}): write http://HOST:PORT") from error
        if not self._host or self._url.username is not None or self._url.query:
            raise UserError(
                f"'{self._base}' is not the address of a server: write http://HOST:PORT, and put the key into "
                f"{API_KEY_VARIABLE}"
            )
        self._key = os.environ.get(API_KEY_VARIABLE, "").strip()
        if not (self._key.isascii() and self._key.isprintable()):
            raise UserError(f"the key in {API_KEY_VARIABLE} contains invalid characters: copy it again")
        self._divides = divides
        self._takes_thoughts = True  # until it turns out to be a server of others, which may refuse the field
        self.use(settings)
        self._model, self.context = self._choose_model(name)
        self.name = f"{self._base}#{self._model}"

    def use(self, settings: Mapping[str, Any]) -> None:
        """Answer with these settings from now on; see `lmcraft.terminal_chat.tree.Backend`."""
        GenerationConfig().updated(settings)
        if local := next((name for name in settings if not SETTINGS[name].request_field), None):
            raise UserError(f"{local.replace('_', '-')} does not apply to a model behind a server: leave it out")
        self._settings = to_request(settings)
        self._seed: int | None = settings.get("seed")
        self.max_new_tokens: int = settings.get("max_new_tokens") or 0

    def stream(self, messages: ChatMessages, attempt: int) -> Generator[AnswerChunk, None, None]:
        """Answer the last message; see `lmcraft.terminal_chat.tree.Backend`."""
        fields = dict(self._settings)
        if self._seed is not None:
            fields["seed"] = (self._seed + attempt) % 2**63
        if "max_tokens" not in fields and self.context and any(message["role"] == "assistant" for message in messages[:-1]):
            # Reserve half of the context for the answer, as `LocalBackend` does. Without max_tokens, a server accepts a
            # conversation that leaves room for a single token.
            fields["max_tokens"] = max(1, self.context // 2)
        body = {"model": self._model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
        continues = messages[-1]["role"] == "assistant"
        if not self._divides:
            body["reasoning_format"] = "none"
        if not self._takes_thoughts:
            body["messages"] = [{"role": message["role"], "content": message["content"]} for message in messages]
        if continues:
            body |= {"add_generation_prompt": False, "continue_final_message": True}
        # For servers that leave the thoughts in the text.
        parser = ThoughtParser(FORMATS["qwen3"], is_open=False) if self._divides and not continues else None
        with self._request("POST", "/v1/chat/completions", body | fields) as response:
            self._raise_for_status(response)
            if response.headers.get_content_type() != "text/event-stream":
                raise self._protocol_error()
            for data in self._events(response):
                if data == "[DONE]":
                    if parser is not None:
                        thoughts, text = parser.end()
                        yield AnswerChunk(text, thoughts=thoughts)
                    return
                chunk = self._parse_chunk(_parse_json(data))
                if parser is not None:
                    thoughts, text = parser.put(chunk.text)
                    chunk = replace(chunk, text=text, thoughts=chunk.thoughts + thoughts)
                yield chunk
            raise RunError(f"the answer from {self._base} was cut off: try again")

    def _choose_model(self, requested: str) -> tuple[str, int | None]:
        """The name of a model, and its context length if the server reports it."""
        for model in self._models():
            name, context = model.get("id"), model.get("context")
            if isinstance(name, str) and (name == requested if requested else model.get("kind") == "chat"):
                return name, context if isinstance(context, int) else None
        if not requested:
            raise UserError(f"{self._base} has no chat model open: name one, {self._base}#NAME")
        return requested, None  # a server may open models on demand; it reports an error if it cannot

    def _models(self) -> list[dict[str, Any]]:
        with self._request("GET", "/api/info") as response:
            if response.status != 404:
                self._raise_for_status(response)
                info = _parse_json(response.read(MAX_RESPONSE_BYTES))
                if isinstance(info, dict) and info.get("key_required") and "models" not in info:
                    raise RunError(
                        f"{self._base} requires a valid API key: put it into the environment variable {API_KEY_VARIABLE}"
                    )
                return self._objects(info, "models")
        self._takes_thoughts = False
        with self._request("GET", "/v1/models") as response:  # not lmcraft's server
            self._raise_for_status(response)
            models = self._objects(_parse_json(response.read(MAX_RESPONSE_BYTES)), "data")
        return [{"id": model.get("id"), "kind": "chat", "context": model.get("max_model_len")} for model in models]

    def _objects(self, answer: Any, field: str) -> list[dict[str, Any]]:
        objects = answer.get(field) if isinstance(answer, dict) else None
        if not isinstance(objects, list) or not all(isinstance(item, dict) for item in objects):
            raise self._protocol_error()
        return objects

    @contextmanager
    def _request(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Iterator[HTTPResponse]:
        """Send a request; the connection closes with the context, which makes the server stop generating.

        Raises:
            RunError: the server cannot be reached, or the connection breaks.
        """
        connection_type = HTTPSConnection if self._url.scheme == "https" else HTTPConnection
        headers = {"Content-Type": "application/json"} if body is not None else {}
        headers |= {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            with closing(connection_type(self._host, self._port, timeout=CONNECT_TIMEOUT_SECONDS)) as connection:
                connection.connect()
                connection.sock.settimeout(READ_TIMEOUT_SECONDS)
                content = None if body is None else json.dumps(body)
                connection.request(method, self._url.path + path, content, headers)
                with connection.getresponse() as response:
                    yield response
        except ConnectionRefusedError as error:
            raise RunError(f"no server listens at {self._base}: start one with `lmcraft serve MODEL`") from error
        except TimeoutError as error:
            raise RunError(f"{self._base} does not answer: check the address, or try again later") from error
        except (OSError, HTTPException, UnicodeError) as error:  # UnicodeError: of a host name
            reason = _one_line(str(error) or type(error).__name__)
            raise RunError(f"the connection to {self._base} failed ({reason}): check the address, or try again") from error

    def _raise_for_status(self, response: HTTPResponse) -> None:
        """Raise the server's error, if the response is one."""
        if response.status == 200:
            return
        try:
            error = _parse_json(response.read(MAX_RESPONSE_BYTES))["error"]
            message, code = error["message"], error.get("code")
        except (RunError, TypeError, KeyError, AttributeError):
            message, code = None, None
        if not isinstance(message, str):
            raise RunError(f"{self._base} answers with status {response.status}: check the address")
        error_type: type[LmcraftError] = UserError if response.status in (400, 413, 422) else RunError
        raise (TooLongError if code == "context_length_exceeded" else error_type)(_one_line(message))

    def _events(self, response: HTTPResponse) -> Iterator[str]:
        """The data of each server-sent event."""
        data: list[str] = []
        while line := response.readline(MAX_RESPONSE_BYTES):
            if len(line) == MAX_RESPONSE_BYTES:
                raise self._protocol_error()
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            if text.startswith("data:"):
                data.append(text.removeprefix("data:").removeprefix(" "))
            elif not text and data:
                yield "\n".join(data)
                data.clear()

    def _parse_chunk(self, chunk: Any) -> AnswerChunk:
        match chunk:
            case {"error": {"message": str(message)}}:
                raise RunError(_one_line(message))
            case {"choices": list(choices)}:
                choice, usage = choices[0] if choices else {}, chunk.get("usage")
            case _:
                raise self._protocol_error()
        try:
            delta, reason = choice.get("delta", {}), choice.get("finish_reason")
            thoughts, text = delta.get("reasoning_content") or delta.get("reasoning") or "", delta.get("content") or ""
            counts = {name: int(usage[name]) for name in ("prompt_tokens", "completion_tokens")} if usage else None
            # JSON can contain half of a surrogate pair, which no encoding can write.
            text, thoughts = (part.encode("utf-8", "replace").decode() for part in (text, thoughts))
            return AnswerChunk(text, None if reason is None else str(reason), counts, thoughts if self._divides else "")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise self._protocol_error() from error

    def _protocol_error(self) -> RunError:
        return RunError(f"{self._base} does not follow OpenAI's API: check the address")


def _parse_json(text: str | bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RunError("the server's answer is not JSON: check the address") from error


def _one_line(text: str) -> str:
    """A server's message, shortened, on one line and without control characters."""
    return escape_control_characters(" ".join(text[:MAX_ERROR_CHARACTERS].split()))
