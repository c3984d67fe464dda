"""API keys and the file that holds them."""

import hashlib
import hmac
import stat
import tomllib
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from lmcraft.errors import UserError
from lmcraft.server.errors import ApiError
from lmcraft.server.http import keys
from lmcraft.server.http.keys import DEFAULT_NAME, Keys, add_to_file


def bearer(key: str) -> Headers:
    return Headers({"Authorization": f"Bearer {key}"})


def test_a_server_without_keys_is_open() -> None:
    assert not Keys()
    assert Keys().identify(Headers({})) == ""


def test_a_key_identifies_its_owner(tmp_path: Path) -> None:
    ada, bob = (add_to_file(tmp_path / "keys.toml", name) for name in ("ada", "bob"))
    keys = Keys.read(["in-plain"], tmp_path / "keys.toml")
    assert [keys.identify(bearer(key)) for key in (ada, bob, "in-plain")] == ["ada", "bob", DEFAULT_NAME]
    assert keys.identify(Headers({"authorization": f"bearer   {ada} "})) == "ada"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer"}, {"authorization": "Bearer "}, {"authorization": "Basic secret"}]
)
def test_the_error_without_a_key_says_how_to_send_one(headers: dict[str, str]) -> None:
    with pytest.raises(ApiError, match="Authorization: Bearer KEY") as caught:
        Keys.read(["secret"]).identify(Headers(headers))
    assert (caught.value.status, caught.value.headers) == (401, {"WWW-Authenticate": "Bearer"})


@pytest.mark.parametrize("key", ["secre", "secret2", "Secret", "sécret", hashlib.sha256(b"secret").hexdigest()])
def test_a_wrong_key_is_refused(key: str) -> None:
    with pytest.raises(ApiError, match="is unknown") as caught:
        Keys.read(["secret"]).identify(bearer(key))
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")


def test_every_key_is_compared_whichever_matches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(stored: str, sent: str) -> bool:
        compared.append(stored)
        return hmac.compare_digest(stored, sent)

    class Spy:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(keys, "hmac", Spy)
    parsed = Keys.read(["first", "second", "third"])
    for key in ("first", "third"):
        compared.clear()
        parsed.identify(bearer(key))
        assert len(compared) == 3


@pytest.mark.parametrize("text", ["", "\n", "# ada has left\n", "\ufeff"])
def test_a_file_without_keys_does_not_open_the_server(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text, encoding="utf-8")
    for plain_keys in ([], ["secret"]):
        with pytest.raises(UserError, match=r"keys.toml' has no keys: add one with .*, or leave api_keys out"):
            Keys.read(plain_keys, file)
    key = add_to_file(file, "ada")
    file.write_text("\ufeff" + file.read_text(encoding="utf-8"), encoding="utf-8")  # as editors on Windows save it
    assert Keys.read([], file).identify(bearer(key)) == "ada"


def test_generated_keys_have_256_random_bits() -> None:
    keys = {Keys.generate() for _ in range(50)}
    assert len(keys) == 50
    assert all(key.startswith("lmc-") and len(key) == 4 + 43 for key in keys)


def test_a_key_that_cannot_be_sent_in_a_header_is_refused() -> None:
    for key in ("", "two words", "schlüssel", "line\n"):
        with pytest.raises(UserError, match="api_key"):
            Keys.read([key])


def test_the_file_has_only_hashes_and_comments_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text("# of the lab\n", encoding="utf-8")
    key = add_to_file(path, "ada", requests_per_minute=60, tokens_per_minute=20000)
    text = path.read_text(encoding="utf-8")
    assert key not in text
    assert text.startswith("# of the lab\n")
    digest = hashlib.sha256(key.encode()).hexdigest()
    assert tomllib.loads(text) == {"ada": {"sha256": digest, "requests_per_minute": 60, "tokens_per_minute": 20000}}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["keys.toml"]


def test_a_role_is_written_and_read(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    for name, role in (("rita", "reviewer"), ("adam", "adjudicator"), ("olga", "owner"), ("ada", None)):
        add_to_file(path, name, role=role)
    keys = Keys.read([], path)
    roles = [keys.role_of(name) for name in ("rita", "adam", "olga", "ada", "nobody", "")]
    assert roles == ["reviewer", "adjudicator", "owner", None, None, None]


def test_the_only_user_of_a_server_is_its_owner(tmp_path: Path) -> None:
    add_to_file(tmp_path / "keys.toml", "ada")
    assert Keys().role_of("") == "owner"
    assert Keys.read(["in-plain"]).role_of(DEFAULT_NAME) == "owner"
    assert Keys.read(["in-plain"], tmp_path / "keys.toml").role_of(DEFAULT_NAME) is None


def test_a_taken_name_and_bad_values_leave_the_file_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    add_to_file(path, "ada")
    before = path.read_bytes()
    for name, bounds in (("ada", {}), ("", {}), ("a b", {}), ("bob", {"requests_per_minute": 0})):
        with pytest.raises(UserError, match=r"keys\.toml"):
            add_to_file(path, name, **bounds)
    assert path.read_bytes() == before


VALID_SHA256 = f'sha256 = "{"a" * 64}"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[ada\n", "not TOML"),
        ("sha256 = 1\n", "'sha256' is outside"),
        ("[ada]\n", "sha256 of the key 'ada'"),
        ('[ada]\nsha256 = "abc"\n', "64 hexadecimal"),
        (f"[ada]\n{VALID_SHA256}request_per_minute = 5\n", "did you mean 'requests_per_minute'"),
        (
            f"[ada]\n{VALID_SHA256}color = 5\n",
            "unknown field 'color'; use sha256, requests_per_minute, tokens_per_minute, role",
        ),
        (f"[ada]\n{VALID_SHA256}tokens_per_minute = 0\n", "tokens_per_minute=0 of the key 'ada'"),
        (f"[ada]\n{VALID_SHA256}tokens_per_minute = true\n", "tokens_per_minute=True"),
        (f"[ada]\n{VALID_SHA256}tokens_per_minute = 1.5\n", "tokens_per_minute=1.5"),
        (
            f'[ada]\n{VALID_SHA256}role = "admin"\n',
            "role='admin' of the key 'ada' is unknown; use reviewer, adjudicator or owner",
        ),
        (f"[ada]\n{VALID_SHA256}role = ['owner']\n", "role=['owner'] of the key 'ada'"),
        (f'[ada]\n{VALID_SHA256}role = "Owner"\n', "role='Owner'"),
        (f'[ada]\n{VALID_SHA256}role = ""\n', "role=''"),
        (f'["a b"]\n{VALID_SHA256}', "'a b' is not a valid name"),
        (f"[ada]\n{VALID_SHA256}[bob]\n{VALID_SHA256}", "'ada' and 'bob' are the same"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        Keys.read(file=path)
    assert message in str(caught.value)


def test_a_missing_file_and_a_duplicate_name_are_errors(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Keys.read(file=tmp_path / "none.toml")
    add_to_file(tmp_path / "keys.toml", DEFAULT_NAME)
    with pytest.raises(UserError, match="rename it"):
        Keys.read(["in-plain"], tmp_path / "keys.toml")
