"""`ApiError` in OpenAI's and in Anthropic's form, and under the field names of an endpoint."""

import re
from pathlib import Path

import pytest

import lmcraft.server
from lmcraft.server.errors import ApiError, error_json, renamed_fields


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


@pytest.mark.parametrize(
    ("status", "error_type"),
    [
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (413, "request_too_large"),
        (415, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (503, "overloaded_error"),
        (504, "timeout_error"),
    ],
)
def test_an_error_of_messages_has_anthropics_form(status: int, error_type: str) -> None:
    error = ApiError(status, "no", code="because", param="x")
    details = {"error_code": "because", "param": "x"}
    body = {"type": "error", "error": {"type": error_type, "message": "no", "details": details}}
    assert error_json(error, "/v1/messages/count_tokens") == body
    assert error_json(error, "/v1/responses") == error.as_json()


def test_fields_are_called_as_the_endpoint_calls_them() -> None:
    names = {"max_tokens": "max_output_tokens", "response_format": "text.format", "response_format.x": "text.format.x"}
    message = "max_tokens=5 or response_format.x, not my_max_tokens or max_tokens2; set response_format"
    with pytest.raises(ApiError) as error, renamed_fields(names):
        raise ApiError(400, message, code="c", param="max_tokens", headers={"a": "b"})
    assert error.value.message == ("max_output_tokens=5 or text.format.x, not my_max_tokens or max_tokens2; set text.format")
    assert (error.value.param, error.value.code, error.value.headers) == ("max_output_tokens", "c", {"a": "b"})


def test_the_pages_have_words_for_every_code() -> None:
    folder = Path(lmcraft.server.__file__).parent
    words = set(
        re.findall(r"^  (\w+): [\[{]", (folder / "pages" / "error_texts.js").read_text(encoding="utf-8"), re.MULTILINE)
    )
    packages = (folder, folder.parent / "annotation")
    sources = [path.read_text(encoding="utf-8") for package in packages for path in package.rglob("*.py")]
    codes = {code for source in sources for code in re.findall(r'code="(\w+)"', source)}
    of_other_clients = {
        "client_closed_request", "content_length", "headers_too_long", "host", "origin", "thread_unsupported_request",
        "unsupported_media_type",
    }  # fmt: skip
    assert codes - of_other_clients <= words
