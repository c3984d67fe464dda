"""Limits on what clients can send and request."""

from dataclasses import dataclass, fields

from lmcraft.errors import UserError

SWITCH_SECONDS = 0.0005
"""How long a thread may hold Python's lock while others wait for it: with Python's default of 5 ms, a request that is parsed
would slow down every operation of the engine by that much."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits on requests. A request over a limit is refused with an error that names the limit."""

    max_queue: int = 32
    """Maximum number of queued requests; further ones get status 429, first those of the API key that has the most."""
    max_num_seqs: int = 32
    """Maximum number of sequences generated concurrently."""
    max_texts: int = 16
    """Maximum number of texts per request: its prompts times n."""
    request_timeout: float = 600.0
    """Seconds before a request times out."""
    drain_timeout: float = 30.0
    """Seconds that running requests have to finish after SIGTERM."""
    judge_timeout: float = 10.0
    """Seconds within which the policy's judge must decide about a text; otherwise the text is refused, and it restarts."""
    stream_interval: float = 0.05
    """Minimum seconds between two chunks of a stream; the first is sent immediately. Fewer chunks leave more CPU time for
    the model."""
    max_body_bytes: int = 4 * 2**20
    """Maximum size of a request body, in bytes."""
    max_open_body_bytes: int = 128 * 2**20
    """Maximum size of the bodies of all open requests together, in bytes; each API key may hold half of it."""
    body_timeout: float = 30.0
    """Seconds within which a request body must arrive."""
    header_timeout: float = 10.0
    """Seconds within which a request's headers must arrive."""
    write_timeout: float = 30.0
    """Seconds within which a client must accept each part of a response."""
    max_header_bytes: int = 32 * 2**10
    """Maximum size of a request's headers, in bytes."""
    max_requests: int = 512
    """Maximum number of open requests of any kind; further ones get status 503. Each API key may hold half of them."""
    max_import_bytes: int = 64 * 2**20
    """Maximum size of an imported conversations file, in bytes."""

    def check(self) -> None:
        """Raise UserError for a limit that is not greater than 0."""
        for f in fields(Limits):
            if not getattr(self, f.name) > 0:
                raise UserError(f"{f.name}={getattr(self, f.name)} must be greater than 0")
        for name in ("max_body_bytes", "max_import_bytes"):
            if (max_bytes := getattr(self, name)) > self.max_open_body_bytes // 2:
                raise UserError(
                    f"{name}={max_bytes} is more than half of max_open_body_bytes={self.max_open_body_bytes}: "
                    f"raise max_open_body_bytes to {2 * max_bytes}"
                )
