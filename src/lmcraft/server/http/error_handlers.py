"""Turns every exception that a route raises into an error response in the format of the endpoint."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lmcraft.errors import UserError
from lmcraft.server.conversations.store import NotFoundError, StoreError
from lmcraft.server.errors import ApiError, error_json

MISSING = ("missing", "union_tag_not_found")  # pydantic's names of the error
MAX_VALUE_CHARS = 60  # of a value quoted in an error message
STATUS_MESSAGES = {404: "there is no such endpoint; see /openapi.json", 405: "wrong HTTP method; see /openapi.json"}


def install(app: FastAPI) -> None:
    """Add the handlers to an application."""
    conversions: dict[type[Exception], Callable[[Any], ApiError]] = {
        ApiError: lambda error: error,
        UserError: lambda error: ApiError(400, str(error), code="invalid_value"),
        NotFoundError: lambda error: ApiError(404, str(error), code="not_found"),
        StoreError: lambda error: ApiError(503, str(error), code="store_failed", headers={"Retry-After": "1"}),
        RequestValidationError: _validation_error,
        HTTPException: _http_error,
        Exception: lambda _: ApiError(500, "internal error; see the server's log", code="internal_error"),
    }
    for exception_type, convert in conversions.items():
        app.add_exception_handler(exception_type, partial(_respond, convert))


def _respond(convert: Callable[[Any], ApiError], request: Request, exception: Exception) -> JSONResponse:
    error = convert(exception)
    return JSONResponse(error_json(error, request.url.path), status_code=error.status, headers=error.headers)


def _validation_error(error: Any) -> ApiError:
    """The field that is wrong, with status 400, under the name and index that the client wrote."""
    errors = [(_path(item, error.body), item) for item in error.errors()]
    # A value that fits none of several types has an error for each; the type that it nearly fits fails deepest.
    deepest = max(len(path) for path, _ in errors)
    path, first = next((path, item) for path, item in errors if len(path) == deepest)
    reasons = [str(item["msg"]) for other_path, item in errors if other_path == path]
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).removeprefix(".")
    return ApiError(400, _describe(first, field, reasons), code=_code(first["type"]), param=field or None)


def _path(item: Mapping[str, Any], body: Any) -> list[str | int]:
    """Where an error is in the body: its location without the names of types that pydantic puts between the fields."""
    source, *location = item["loc"]
    missing = [location.pop()] if item["type"] == "missing" and location else []
    if item["type"].startswith("union_tag"):
        missing = [item["ctx"]["discriminator"].strip("'")]
    return [*(_resolve(body, location, bool(missing))[0] if source == "body" else location), *missing]


def _resolve(value: Any, location: Sequence[str | int], is_object: bool) -> tuple[list[str | int], Any]:
    """The parts of a location that are fields of the value, and the value there.

    A part may be the name of a type, and that may be the name of a field, too.

    Args:
        value: the body, or a part of it.
        location: from there on.
        is_object: whether the value there must be an object, because it lacks a field.
    """
    if not location:
        return [], value
    part, rest = location[0], location[1:]
    if isinstance(value, list) and isinstance(part, int) and part < len(value):
        path, inner = _resolve(value[part], rest, is_object)
        return [part, *path], inner
    as_type = _resolve(value, rest, is_object)
    if not isinstance(value, dict) or part not in value:
        return as_type
    path, inner = _resolve(value[part], rest, is_object)
    return max(
        ([part, *path], inner),
        as_type,
        key=lambda result: (not is_object or isinstance(result[1], dict), result[0][-1:] == [location[-1]], len(result[0])),
    )


def _code(error_type: str) -> str:
    """OpenAI's error code for an error type of pydantic."""
    codes = {"extra_forbidden": "unknown_parameter"} | dict.fromkeys(MISSING, "missing_required_parameter")
    return codes.get(error_type, "invalid_type" if error_type.endswith("_type") else "invalid_value")


def _describe(first: Mapping[str, Any], field: str, reasons: Sequence[str]) -> str:
    if first["type"] == "extra_forbidden":
        return f"the field '{field}' is not supported; leave it out"
    if first["type"] in MISSING:
        return f"the field '{field}' is missing; add it" if field else "the body is missing; send one JSON object"
    if first["type"] == "union_tag_invalid":
        return f"{field}='{first['ctx']['tag']}' is not supported; use {first['ctx']['expected_tags']}"
    value = repr(first.get("input"))
    quoted = value if len(value) <= MAX_VALUE_CHARS else value[:MAX_VALUE_CHARS] + "..."
    reason = "; or ".join(dict.fromkeys(text.removeprefix("Value error, ") for text in reasons))
    reason = reason.replace("; or Input should be ", ", or ")
    return f"{field or 'the body'}={quoted} is invalid: {reason[:1].lower()}{reason[1:]}"


def _http_error(error: Any) -> ApiError:
    default = str(error.detail) or HTTPStatus(error.status_code).phrase
    message = STATUS_MESSAGES.get(error.status_code, default)
    if error.status_code == 405 and (allowed := (error.headers or {}).get("Allow")):
        message = f"wrong HTTP method; use {allowed}"
    return ApiError(error.status_code, message, headers=error.headers)
