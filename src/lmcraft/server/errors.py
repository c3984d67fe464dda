"""The error that every part of the server raises, in the form that OpenAI's clients read."""

from collections.abc import Mapping
from typing import Any

KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """A refusal.

    Args:
        status: of HTTP.
        message: one sentence that names the field, the value and the remedy.
        code: a word for programs.
        param: the field of the request.
        kind: of OpenAI's types of errors; None: by the status.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.kind = kind or KINDS.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.headers = dict(headers or {})


def body(error: ApiError) -> dict[str, Any]:
    """What is sent."""
    return {"error": {"message": error.message, "type": error.kind, "param": error.param, "code": error.code}}
