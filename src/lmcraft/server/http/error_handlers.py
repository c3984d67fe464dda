"""Turns every exception that a route raises into an error response in the format of the endpoint."""

from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lmcraft.annotation import records
from lmcraft.errors import UserError
from lmcraft.inference.damaged_model import DamagedModelError
from lmcraft.runs.index import UnknownRunError
from lmcraft.server.conversations.store import ConflictError, NotFoundError, StoreError
from lmcraft.server.errors import ApiError, damaged_model_response, error_json
from lmcraft.server.http.protocol.invalid_values import as_api_error

STATUS_MESSAGES = {404: "there is no such endpoint; see /openapi.json", 405: "wrong HTTP method; see /openapi.json"}


REVIEW_ERRORS = {
    records.NotFoundError: 404,
    records.ConflictError: 409,
    records.LeaseLostError: 409,
    records.WrongStateError: 409,
}


def install(app: FastAPI) -> None:
    """Add the handlers to an application."""
    conversions: dict[type[Exception], Callable[[Any], ApiError]] = {
        ApiError: lambda error: error,
        UserError: ApiError.of,
        DamagedModelError: damaged_model_response,
        ConflictError: lambda error: ApiError(409, str(error), code="id_taken", param="id"),
        NotFoundError: lambda error: ApiError(404, str(error), code="not_found", values=error.values),
        StoreError: lambda error: ApiError(503, str(error), code="store_failed", headers={"Retry-After": "1"}),
        **{kind: partial(_review_error, status) for kind, status in REVIEW_ERRORS.items()},
        records.StoreError: lambda error: ApiError(503, str(error), code="reviews_failed", headers={"Retry-After": "1"}),
        UnknownRunError: lambda error: ApiError(404, str(error), code=error.code, values=error.values),
        RequestValidationError: lambda error: as_api_error(error.errors(), error.body),
        HTTPException: _http_error,
        Exception: lambda _: ApiError(500, "internal error; see the server's log", code="internal_error"),
    }
    for exception_type, convert in conversions.items():
        app.add_exception_handler(exception_type, partial(_respond, convert))


def _respond(convert: Callable[[Any], ApiError], request: Request, exception: Exception) -> JSONResponse:
    error = convert(exception)
    return JSONResponse(error_json(error, request.url.path), status_code=error.status, headers=error.headers)


def _review_error(status: int, error: UserError) -> ApiError:
    return ApiError(status, str(error), code=error.code, values=error.values)


def _http_error(error: Any) -> ApiError:
    default = str(error.detail) or HTTPStatus(error.status_code).phrase
    message = STATUS_MESSAGES.get(error.status_code, default)
    if error.status_code == 405 and (allowed := (error.headers or {}).get("Allow")):
        message = f"wrong HTTP method; use {allowed}"
    return ApiError(error.status_code, message, headers=error.headers)
