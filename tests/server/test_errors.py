"""`ApiError` in OpenAI's form."""

import pytest

from lmcraft.server.errors import ApiError


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (403, "permission_error"),
        (429, "rate_limit_error"),
        (503, "server_error"),
    ],
)
def test_the_error_type_follows_from_the_status(status: int, error_type: str) -> None:
    assert ApiError(status, "no").as_json()["error"]["type"] == error_type


def test_the_body_has_openais_fields() -> None:
    error = ApiError(400, "n=9 is too large", code="invalid_value", param="n", error_type="own_error")
    assert error.as_json() == {
        "error": {"message": "n=9 is too large", "type": "own_error", "param": "n", "code": "invalid_value"}
    }
    assert str(error) == "n=9 is too large" and error.headers == {}
