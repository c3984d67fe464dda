"""The server ends although clients hold connections in every state; `running` checks that it does."""

import json
import socket
from pathlib import Path

import pytest

from lmcraft.server.limits import Limits
from tests.server.tiny_server import running

BODY = json.dumps(
    {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 4000, "ignore_eos": True, "stream": True}
)
HEAD = (
    f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {len(BODY)}"
)
REQUEST = f"{HEAD}\r\n\r\n{BODY}"


@pytest.mark.parametrize(
    "sent",
    ["", "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", HEAD, f"{HEAD}\r\n\r\n{BODY[:9]}", REQUEST, 3 * REQUEST],
    ids=["nothing", "idle", "half the headers", "half the body", "an unread stream", "several requests at once"],
)
def test_the_server_ends_beside_an_open_connection(sent: str, tmp_path: Path) -> None:
    limits = Limits(drain_timeout=0.2)
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # an unread stream fills it
        with running(tmp_path, limits=limits, max_position_embeddings=4096) as server:
            client.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
            client.sendall(sent.encode())
            if sent.endswith("\r\n\r\n") or sent.endswith(BODY):
                client.recv(1)
