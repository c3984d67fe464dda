"""Turns every error of the application into OpenAI's form: `{"error": {"message", "type", "param", "code"}}`."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lmcraft.errors import UserError
from lmcraft.server.errors import ApiError, body


def response(error: ApiError) -> JSONResponse:
    return JSONResponse(body(error), status_code=error.status, headers=error.headers)


def bad_request(error: UserError) -> ApiError:
    """Bad input to the engine, as an answer."""
    return ApiError(400, str(error), code="invalid_value")


def install(app: FastAPI) -> None:
    """Give every error of an application this form."""
    app.add_exception_handler(ApiError, lambda _, error: response(error))
    app.add_exception_handler(UserError, lambda _, error: response(bad_request(error)))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _plain)
    app.add_exception_handler(Exception, _unforeseen)


def _invalid(_: Request, error: Any) -> JSONResponse:
    """The first field that does not fit: JSON that cannot be read is 400, a value 422."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return response(ApiError(400, f"the body is not JSON ({first['ctx']['error']}): send one JSON object", code="json"))
    where = ".".join(str(part) for part in first["loc"][1:] if not str(part).startswith(("function-", "tagged-")))
    return response(ApiError(422, _sentence(first, where), code=first["type"], param=where or None))


def _sentence(first: Mapping[str, Any], where: str) -> str:
    if first["type"] == "extra_forbidden":
        return f"the field '{where}' is not supported here: leave it out"
    if first["type"] == "missing":
        return f"the field '{where}' is missing: add it" if where else "the body is missing: send one JSON object"
    value = repr(first.get("input"))
    shown = value if len(value) <= 60 else value[:60] + "..."
    said = str(first["msg"]).removeprefix("Value error, ")
    return f"{where or 'the body'}={shown} does not fit: {said[:1].lower()}{said[1:]}"


def _plain(_: Request, error: Any) -> JSONResponse:
    words = {404: "there is no such address: see /openapi.json", 405: "this address takes other methods: see /openapi.json"}
    said = words.get(error.status_code, str(error.detail) or HTTPStatus(error.status_code).phrase)
    return response(ApiError(error.status_code, said, headers=error.headers))


def _unforeseen(_: Request, error: Exception) -> JSONResponse:
    return response(ApiError(500, "the server made a mistake: see its log", code="internal_error"))
