"""Serves a model for a moment, and asks it one question through OpenAI's API, as any client does."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.request import ProxyHandler, Request, build_opener


def ask_server(model: Path, question: str) -> str:
    """Start `lmcraft serve` on a free port, and return its answer.

    Raises:
        SystemExit: the server ended before it served.
    """
    command = [sys.executable, "-m", "lmcraft", "serve", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=model.parent) as server:
        try:
            assert server.stdout is not None
            address = next((line.strip() for line in server.stdout if line.startswith("http://")), "")
            if not address:
                sys.exit("lmcraft serve ended before it served")
            body = {"model": model.name, "messages": [{"role": "user", "content": question}], "temperature": 0}
            request = Request(
                f"{address}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
            )
            with build_opener(ProxyHandler({})).open(request, timeout=60) as response:
                return str(json.load(response)["choices"][0]["message"]["content"])
        finally:
            server.terminate()
