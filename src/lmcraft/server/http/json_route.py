"""`JsonRoute`: a route whose body is JSON, and nothing that JSON does not have (NaN, lone surrogates)."""

import json
import math
import re
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, NoReturn, TypeVar

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError

from lmcraft.json_lines import MAX_DEPTH, TOO_DEEP, is_deeper, parse_integer
from lmcraft.server.errors import ApiError
from lmcraft.server.http.protocol.base import Strict
from lmcraft.server.http.state import prepare_in_thread

R = TypeVar("R")
MAX_INLINE_BYTES = 64 * 2**10  # a longer body is parsed in a thread: it would hold up the event loop for a millisecond
MAX_ERRORS = 1000
MAX_IGNORED = 50  # paths that the header lists; clients bound the length of headers
IGNORED_HEADER = "X-Ignored-Fields"
_PLAIN_NAME = re.compile(r"[!-+\-.-~]+( [!-+\-.-~]+)*")  # any other is quoted: a header cannot hold it
_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class JsonRoute(APIRoute):
    """Parses the body strictly, and names the ignored fields in the header `X-Ignored-Fields` of the response, each with
    its path, such as `messages[0].name`; so are parameters of the address that the route does not have.

    A route may add to them: `request.state.ignored_fields` is a list of paths.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        parameters = {parameter.alias for parameter in self.dependant.query_params}

        async def handle_json(request: Request) -> Response:
            unknown = [name for name in request.query_params if name not in parameters]
            if self.body_field is None:
                response = await handle(request)
                name_ignored(response, unknown)
                return response
            check_content_type(request)
            # FastAPI parses only a body of this type; its `request.json()` returns what was parsed here.
            request = Request({**request.scope, "headers": _json_headers(request)}, request.receive)
            content = await request.body()
            request.state.ignored_fields = []
            if content:
                request._json, request.state.ignored_fields = await in_turn(request, content, lambda: self._parse(content))
            response = await handle(request)
            name_ignored(response, [*request.state.ignored_fields, *unknown])
            return response

        return handle_json

    def _parse(self, content: bytes) -> tuple[Any, list[str]]:
        """The object that a body is, which FastAPI accepts in place of its JSON, and the paths of its ignored fields.

        Raises:
            ApiError: as in `parse_json`; very many values are not valid.
            RequestValidationError: the value is not valid for this route.
        """
        value = parse_json(content)
        assert self.body_field is not None, "only routes with a body parse one"
        try:
            body = self.body_field._type_adapter.validate_python(value)
            return body, list(body.ignored_paths()) if isinstance(body, Strict) else []
        except ValidationError as error:
            if error.error_count() > MAX_ERRORS:  # describing a million errors would hold up all threads for seconds
                message = f"the body has {error.error_count()} wrong values; check it against /openapi.json"
                raise ApiError(400, message, code="invalid_value") from None
            located = [{**item, "loc": ("body", *item["loc"])} for item in error.errors(include_url=False)]
            raise RequestValidationError(located, body=value) from None


def name_ignored(response: Response, ignored: Sequence[str]) -> None:
    """Name the fields of a request that change nothing in the header of its response."""
    if ignored:
        names = [name if _PLAIN_NAME.fullmatch(name) else ascii(name) for name in ignored[:MAX_IGNORED]]
        more = [f"and {len(ignored) - MAX_IGNORED} more"] if len(ignored) > MAX_IGNORED else []
        response.headers[IGNORED_HEADER] = ", ".join([*names, *more])


async def in_turn(request: Request, content: bytes, parse: Callable[[], R]) -> R:
    """Parse a body: a long one in a thread, when it is the client's turn.

    Raises:
        ApiError: as in `prepare_in_thread`.
    """
    return parse() if len(content) <= MAX_INLINE_BYTES else await prepare_in_thread(request, parse)


def _json_headers(request: Request) -> list[tuple[bytes, bytes]]:
    others = [(name, value) for name, value in request.scope["headers"] if name != b"content-type"]
    return [*others, (b"content-type", b"application/json")]


def check_content_type(request: Request) -> None:
    """Raise ApiError (415) for a body of another type than JSON; a body without a type is taken for JSON."""
    content_type = request.headers.get("content-type", "application/json")
    media_type = content_type.partition(";")[0].strip().lower()
    is_json = media_type.startswith("application/") and media_type.removeprefix("application/").split("+")[-1] == "json"
    if not is_json:
        message = f"the body has the type '{media_type[:80]}'; send JSON, with the header 'Content-Type: application/json'"
        raise ApiError(415, message, code="unsupported_media_type")
    if (encoding := request.headers.get("content-encoding", "identity")) != "identity":
        raise ApiError(415, f"Content-Encoding '{encoding[:80]}' is not supported; send the body uncompressed")


def parse_json(content: bytes) -> Any:
    """The value of a JSON text.

    Raises:
        ApiError: it is not JSON, is nested too deeply, or has values that JSON does not have: NaN, infinity, lone
            surrogates (400).
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        byte = content[error.start]
        message = f"the body is not UTF-8 (byte {error.start} is 0x{byte:02x}), as JSON must be; encode it as UTF-8"
        raise ApiError(400, message, code="json") from error
    try:
        value = json.loads(text, parse_constant=_refuse_constant, parse_float=_parse_float, parse_int=_parse_integer)
    except RecursionError as error:
        raise _too_deep() from error
    except ValueError as error:
        raise _not_json(str(error)) from error
    if content.count(b"[") + content.count(b"{") > MAX_DEPTH and is_deeper(value, MAX_DEPTH):
        raise _too_deep()
    if _ESCAPED_SURROGATE.search(text) and (path := next(_surrogate_paths(value), None)) is not None:
        message = f"{path or 'the body'} has half of a surrogate pair (\\ud800 to \\udfff), which is not text; remove it"
        raise ApiError(400, message, code="invalid_value", param=path or None)
    return value


def _not_json(reason: str) -> ApiError:
    return ApiError(400, f"the body is not JSON ({reason}); send one JSON object", code="json")


def _too_deep() -> ApiError:
    message = f"the body is {TOO_DEEP}; flatten it, or put inner parts of a schema into its $defs"
    return ApiError(400, message, code="invalid_value")


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON value")


def _parse_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is too large for a number")
    return value


def _parse_integer(digits: str) -> int:
    try:
        return parse_integer(digits)
    except ValueError as error:
        raise ApiError(400, f"{error}; send a smaller number", code="invalid_value") from error


def _surrogate_paths(value: Any, path: str = "") -> Iterator[str]:
    """The paths of the texts that have lone surrogates."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            yield path
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _surrogate_paths(item, f"{path}[{index}]")
    elif isinstance(value, dict):
        for name, item in value.items():
            if _SURROGATE.search(name):
                yield path
            yield from _surrogate_paths(item, f"{path}.{name}".removeprefix("."))
