"""The page's files: compressed, and cached by their content."""

import gzip
import re
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from lmcraft.server.http.page_files import PageFiles
from tests.server.tiny_server import Server

PAGES = Path(__file__).parents[3] / "src" / "lmcraft" / "server" / "pages"


def fetch(url: str, **headers: str) -> Any:
    return httpx.get(
        url, headers={"accept-encoding": "identity"} | {name.replace("_", "-"): value for name, value in headers.items()}
    )


def test_the_page_is_revalidated_and_its_files_are_cached_for_good(server: Server) -> None:
    page = fetch(server.url)
    assert page.headers["cache-control"] == "no-cache"
    assert fetch(server.url, if_none_match=page.headers["etag"]).status_code == 304
    paths = set(re.findall(r'"(/pages/[^"]+)"', page.text))
    assert len({path.split("/")[2] for path in paths}) == 1  # the same version
    for path in paths:
        assert fetch(server.url + path).headers["cache-control"] == "public, max-age=31536000, immutable"


def test_a_file_without_the_current_version_is_revalidated(server: Server) -> None:
    content = (PAGES / "main.js").read_bytes()
    for path in ("main.js", f"{'0' * 16}/main.js"):  # of a page that was opened before an update
        response = fetch(f"{server.url}/pages/{path}")
        assert (response.content, response.headers["cache-control"]) == (content, "no-cache")
        not_modified = fetch(f"{server.url}/pages/{path}", if_none_match=f'"x", W/{response.headers["etag"]}')
        assert (not_modified.status_code, not_modified.content) == (304, b"")


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
    ],
)
def test_files_are_compressed_for_clients_that_accept_it(server: Server, accepted: str, *, compressed: bool) -> None:
    with httpx.stream("GET", f"{server.url}/pages/main.js", headers={"accept-encoding": accepted}) as response:
        body = b"".join(response.iter_raw())
    assert (response.headers.get("content-encoding") == "gzip") == compressed
    assert int(response.headers["content-length"]) == len(body) and response.headers["vary"] == "Accept-Encoding"
    assert (gzip.decompress(body) if compressed else body) == (PAGES / "main.js").read_bytes()


def test_head_has_the_length_and_no_body(server: Server) -> None:
    response = httpx.head(f"{server.url}/pages/main.js", headers={"accept-encoding": "identity"})
    assert (int(response.headers["content-length"]), response.content) == ((PAGES / "main.js").stat().st_size, b"")


@pytest.mark.parametrize("path", ["", "nothing.js", "../http/app.py", "..%2fhttp%2fapp.py", "views", "views/", "%00"])
def test_only_files_of_the_page_are_served(server: Server, path: str) -> None:
    with httpx.Client() as client:  # sends the path as it is
        response = client.get(httpx.URL(server.url).copy_with(raw_path=f"/pages/{path}".encode()))
    assert response.status_code == 404


def test_the_version_is_a_hash_of_names_and_contents(tmp_path: Path) -> None:
    def version(**files: str) -> str:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in {"index_html": "", **files}.items():
            (folder / name.replace("_", ".")).write_text(text)
        return PageFiles(folder).version

    versions = [version(a_js="1"), version(a_js="2"), version(b_js="1"), version(a_js="1", b_js=""), version(index_html="1")]
    assert len(set(versions)) == len(versions) and version(a_js="1") == versions[0]
