"""Turns every exception that a route raises into an error response in OpenAI's format."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lmcraft.errors import UserError
from lmcraft.server.errors import ApiError

MAX_VALUE_CHARS = 60  # of a value quoted in an error message
STATUS_MESSAGES = {404: "there is no such endpoint; see /openapi.json", 405: "wrong HTTP method; see /openapi.json"}


def install(app: FastAPI) -> None:
    """Add the handlers to an application."""
    app.add_exception_handler(ApiError, lambda _, error: _respond(error))
    app.add_exception_handler(UserError, lambda _, error: _respond(ApiError(400, str(error), code="invalid_value")))
    app.add_exception_handler(RequestValidationError, _handle_validation_error)
    app.add_exception_handler(HTTPException, _handle_http_exception)
    app.add_exception_handler(Exception, _handle_unexpected)


def _respond(error: ApiError) -> JSONResponse:
    return JSONResponse(error.as_json(), status_code=error.status, headers=error.headers)


def _handle_validation_error(_: Request, error: Any) -> JSONResponse:
    """Report the first field that is wrong: status 400 for malformed JSON, 422 for a value."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        message = f"the body is not JSON ({first['ctx']['error']}); send one JSON object"
        return _respond(ApiError(400, message, code="json"))
    path = ".".join(str(part) for part in first["loc"][1:] if not str(part).startswith(("function-", "tagged-")))
    return _respond(ApiError(422, _describe(first, path), code=first["type"], param=path or None))


def _describe(first: Mapping[str, Any], path: str) -> str:
    if first["type"] == "extra_forbidden":
        return f"the field '{path}' is not supported; leave it out"
    if first["type"] == "missing":
        return f"the field '{path}' is missing; add it" if path else "the body is missing; send one JSON object"
    value = repr(first.get("input"))
    quoted = value if len(value) <= MAX_VALUE_CHARS else value[:MAX_VALUE_CHARS] + "..."
    reason = str(first["msg"]).removeprefix("Value error, ")
    return f"{path or 'the body'}={quoted} is invalid: {reason[:1].lower()}{reason[1:]}"


def _handle_http_exception(_: Request, error: Any) -> JSONResponse:
    default = str(error.detail) or HTTPStatus(error.status_code).phrase
    message = STATUS_MESSAGES.get(error.status_code, default)
    return _respond(ApiError(error.status_code, message, headers=error.headers))


def _handle_unexpected(_: Request, error: Exception) -> JSONResponse:
    return _respond(ApiError(500, "internal error; see the server's log", code="internal_error"))
