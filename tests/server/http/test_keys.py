"""API keys and quotas."""

import hashlib
import hmac
import stat
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.datastructures import Headers

from lmcraft.errors import UserError
from lmcraft.server.errors import ApiError
from lmcraft.server.http import keys
from lmcraft.server.http.keys import PLAIN, Key, Keys, add_to_file
from lmcraft.server.http.quotas import Quotas


def bearer(key: str) -> Headers:
    return Headers({"Authorization": f"Bearer {key}"})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def quotas_of(clock: Clock, **bounds: int) -> Quotas:
    return Quotas(Keys([Key("ada", "0" * 64, **bounds)]), clock)


# Keys


def test_a_server_without_keys_is_open() -> None:
    assert not Keys()
    assert Keys().identify(Headers({})) == ""


def test_keys_are_known_by_their_names(tmp_path: Path) -> None:
    ada, bob = (add_to_file(tmp_path / "keys.toml", name) for name in ("ada", "bob"))
    keys = Keys.read(["in-plain"], tmp_path / "keys.toml")
    assert [keys.identify(bearer(key)) for key in (ada, bob, "in-plain")] == ["ada", "bob", PLAIN]
    assert keys.identify(Headers({"authorization": f"bearer   {ada} "})) == "ada"


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer"}, {"authorization": "Bearer "}, {"authorization": "Basic secret"}]
)
def test_without_a_key_the_answer_says_how_to_send_one(headers: dict[str, str]) -> None:
    with pytest.raises(ApiError, match="Authorization: Bearer KEY") as caught:
        Keys.read(["secret"]).identify(Headers(headers))
    assert (caught.value.status, caught.value.headers) == (401, {"WWW-Authenticate": "Bearer"})


@pytest.mark.parametrize("key", ["secre", "secret2", "Secret", "sécret", hashlib.sha256(b"secret").hexdigest()])
def test_a_wrong_key_is_refused(key: str) -> None:
    with pytest.raises(ApiError, match="not known") as caught:
        Keys.read(["secret"]).identify(bearer(key))
    assert caught.value.status == 401
    assert caught.value.headers["WWW-Authenticate"].startswith("Bearer")


def test_every_key_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    def compare(known: str, given: str) -> bool:
        compared.append(known)
        return hmac.compare_digest(known, given)

    class Spy:
        compare_digest = staticmethod(compare)

    monkeypatch.setattr(keys, "hmac", Spy)
    parsed = Keys.read(["first", "second", "third"])
    for key in ("first", "third"):
        compared.clear()
        parsed.identify(bearer(key))
        assert len(compared) == 3


def test_generated_keys_have_256_random_bits() -> None:
    keys = {Keys.generate() for _ in range(50)}
    assert len(keys) == 50
    assert all(key.startswith("lmc-") and len(key) == 4 + 43 for key in keys)


def test_a_key_that_no_header_can_carry_is_refused() -> None:
    for key in ("", "two words", "schlüssel", "line\n"):
        with pytest.raises(UserError, match="api_key"):
            Keys.read([key])


# The file


def test_the_file_has_hashes_only_is_private_and_keeps_its_comments(tmp_path: Path) -> None:
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


def test_a_taken_name_and_bad_values_leave_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    add_to_file(path, "ada")
    before = path.read_bytes()
    for name, bounds in (("ada", {}), ("", {}), ("a b", {}), ("bob", {"requests_per_minute": 0})):
        with pytest.raises(UserError, match=r"keys\.toml"):
            add_to_file(path, name, **bounds)
    assert path.read_bytes() == before


GOOD = f'sha256 = "{"a" * 64}"\n'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[ada\n", "not TOML"),
        ("sha256 = 1\n", "'sha256' stands outside"),
        ("[ada]\n", "sha256 of the key 'ada'"),
        ('[ada]\nsha256 = "abc"\n', "64 hexadecimal"),
        (f"[ada]\n{GOOD}request_per_minute = 5\n", "did you mean 'requests_per_minute'"),
        (f"[ada]\n{GOOD}color = 5\n", "unknown field 'color': there is sha256, requests_per_minute, tokens_per_minute"),
        (f"[ada]\n{GOOD}tokens_per_minute = 0\n", "tokens_per_minute=0 of the key 'ada'"),
        (f"[ada]\n{GOOD}tokens_per_minute = true\n", "tokens_per_minute=True"),
        (f"[ada]\n{GOOD}tokens_per_minute = 1.5\n", "tokens_per_minute=1.5"),
        (f'["a b"]\n{GOOD}', "'a b' cannot name a key"),
        (f"[ada]\n{GOOD}[bob]\n{GOOD}", "'ada' and 'bob' are one key"),
    ],
)
def test_a_damaged_file_is_told_in_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        Keys.read(file=path)
    assert said in str(caught.value)


def test_a_missing_file_and_a_doubled_name_are_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        Keys.read(file=tmp_path / "none.toml")
    add_to_file(tmp_path / "keys.toml", PLAIN)
    with pytest.raises(UserError, match="rename it"):
        Keys.read(["in-plain"], tmp_path / "keys.toml")


# Quotas


def test_requests_are_counted_and_refill_evenly() -> None:
    clock = Clock()
    quotas = quotas_of(clock, requests_per_minute=2)
    quotas.take("ada", 10)
    quotas.take("ada", 10)
    with pytest.raises(ApiError, match="used up its 2 requests a minute: try again in 30 s") as caught:
        quotas.take("ada", 10)
    assert (caught.value.status, caught.value.headers) == (429, {"Retry-After": "30"})
    clock.now += 30
    quotas.take("ada", 10)


def test_tokens_are_taken_up_front_and_what_was_not_used_comes_back() -> None:
    quotas = quotas_of(Clock(), tokens_per_minute=100)
    quotas.take("ada", 90)
    with pytest.raises(ApiError, match="tokens a minute"):
        quotas.take("ada", 20)
    quotas.give_back("ada", 70)
    quotas.take("ada", 80)
    quotas.give_back("ada", 1000)
    with pytest.raises(ApiError, match="used up"):  # never more than a minute's worth
        quotas.take("ada", 100)
        quotas.take("ada", 1)


def test_a_refused_request_costs_nothing() -> None:
    quotas = quotas_of(Clock(), requests_per_minute=2, tokens_per_minute=100)
    quotas.take("ada", 100)
    for _ in range(3):
        with pytest.raises(ApiError, match="tokens a minute"):
            quotas.take("ada", 50)
    quotas.give_back("ada", 50)
    quotas.take("ada", 50)


def test_what_never_fits_is_no_matter_of_waiting() -> None:
    with pytest.raises(ApiError, match="may take 101 tokens, but its key has 100 a minute") as caught:
        quotas_of(Clock(), tokens_per_minute=100).take("ada", 101)
    assert (caught.value.status, caught.value.headers) == (400, {})


def test_keys_without_bounds_and_other_keys_are_not_touched() -> None:
    quotas = quotas_of(Clock(), requests_per_minute=1)
    for _ in range(5):
        quotas.take("", 10**9)
        quotas.take("bob", 10**9)
        quotas.give_back("bob", 10)


@settings(deadline=None)
@given(st.integers(1, 10**5), st.lists(st.tuples(st.integers(0, 10**5), st.floats(0, 30)), max_size=20))
def test_whoever_waits_as_told_is_served_and_the_rate_holds(rate: int, asked: list[tuple[int, float]]) -> None:
    clock = Clock()
    quotas, start, taken = quotas_of(clock, tokens_per_minute=rate), clock.now, 0
    for tokens, pause in asked:
        tokens = min(tokens, rate)
        clock.now += pause
        try:
            quotas.take("ada", tokens)
        except ApiError as error:
            clock.now += int(error.headers["Retry-After"])
            quotas.take("ada", tokens)
        taken += tokens
        assert taken <= rate + (clock.now - start) * rate / 60 + 0.01
