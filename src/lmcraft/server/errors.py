"""`ApiError`: an error with an HTTP status, in the form that OpenAI's clients read."""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from lmcraft.errors import ErrorValues, UserError
from lmcraft.inference.damaged_model import DamagedModelError

log = logging.getLogger("lmcraft.server")

ANTHROPIC_PATH = "/v1/messages"
ANTHROPIC_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
ERROR_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """A request that cannot be served.

    Args:
        status: HTTP status.
        message: names the field, the value and the remedy, in a single sentence.
        code: a machine-readable code.
        param: the request field at fault.
        values: the numbers and names in the message; with the code, the chat page words it in its own language.
        error_type: one of OpenAI's error types; None: derived from the status.
        headers: extra headers of the response.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        values: ErrorValues | None = None,
        error_type: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        default_type = "server_error" if status >= 500 else "invalid_request_error"
        self.error_type = error_type or ERROR_TYPES.get(status, default_type)
        self.values = dict(values or {})
        self.headers = dict(headers or {})

    def as_json(self) -> dict[str, Any]:
        """The body of the error response."""
        fields = {"message": self.message, "type": self.error_type, "param": self.param, "code": self.code}
        return {"error": {**fields, "values": self.values} if self.values else fields}

    @classmethod
    def of(cls, error: UserError) -> "ApiError":
        """A request with invalid input."""
        return cls(400, str(error), code=error.code or "invalid_value", values=error.values)


def structure_error(reason: str, field: str) -> ApiError:
    """The error for a schema, regular expression or grammar that a request has in a field."""
    return ApiError(400, f"{field} {reason}", code="invalid_value", param=field)


def shutdown_error() -> ApiError:
    """The error for the requests of a server that ends."""
    message = "the server is shutting down; try again later"
    return ApiError(503, message, code="shutting_down", headers={"Retry-After": "5"})


def damaged_model_response(error: DamagedModelError) -> ApiError:
    """The error for a model whose outputs are not numbers, which is logged once for each model."""
    _log_once(str(error))
    return ApiError(503, str(error), code="model_damaged")


@lru_cache(maxsize=1024)
def _log_once(message: str) -> None:
    log.error(message)


def error_schema() -> dict[str, Any]:
    """The JSON Schema of every error response; of /v1/messages it has other fields beside the message and the type."""
    text = {"type": "string"}
    fields: dict[str, Any] = {"message": text, "type": text}
    fields |= {name: {"type": ["string", "null"]} for name in ("param", "code")} | {"values": {"type": "object"}}
    error = {"type": "object", "properties": fields, "required": ["message", "type"]}
    return {"type": "object", "properties": {"error": error}, "required": ["error"]}


def error_json(error: ApiError, path: str) -> dict[str, Any]:
    """The body of the error response to a request for a path: of /v1/messages, in Anthropic's form."""
    return anthropic_error(error) if path.startswith(ANTHROPIC_PATH) else error.as_json()


def anthropic_error(error: ApiError) -> dict[str, Any]:
    """An error in Anthropic's form."""
    error_type = ANTHROPIC_ERROR_TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    details = {"error_code": error.code, "param": error.param}
    return {"type": "error", "error": {"type": error_type, "message": error.message, "details": details}}


@contextmanager
def renamed_fields(names: Mapping[str, str]) -> Iterator[None]:
    """In the context, an ApiError calls request fields by other names: `names` has the new name of each."""
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, sorted(names, key=len, reverse=True))) + r")(?![\w.])")
    try:
        yield
    except ApiError as error:
        message = pattern.sub(lambda match: names[match[0]], error.message)
        param = None if error.param is None else pattern.sub(lambda match: names[match[0]], error.param)
        fields: dict[str, Any] = {name: getattr(error, name) for name in ("code", "values", "error_type", "headers")}
        raise ApiError(error.status, message, param=param, **fields) from error
