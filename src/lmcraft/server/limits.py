"""The bounds of everything that a client can ask of the server."""

from dataclasses import dataclass, fields

from lmcraft.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of requests; beyond one, a request is refused with the figure."""

    max_queue: int = 32
    """Requests that wait for a place among those that run; more are refused with status 429."""
    max_num_seqs: int = 32
    """Texts that grow at once."""
    max_texts: int = 16
    """Texts of one request: its prompts times n."""
    request_timeout: float = 600.0
    """Seconds after which a request is given up."""
    drain_timeout: float = 30.0
    """Seconds that running requests have to end after SIGTERM."""
    stream_interval: float = 0.05
    """Seconds between two pieces of a stream at least, of which the first comes at once: fewer pieces leave the model more
    of the machine."""
    max_body_bytes: int = 4 * 2**20
    """Bytes of a request's body."""
    body_timeout: float = 30.0
    """Seconds in which a body must have arrived."""
    header_timeout: float = 10.0
    """Seconds in which a request's headers must have arrived."""
    write_timeout: float = 30.0
    """Seconds in which a client must take what it is sent."""
    max_header_bytes: int = 32 * 2**10
    """Bytes of a request's headers."""
    max_requests: int = 512
    """Requests that are open at once, whatever they ask; more are refused with status 503."""
    max_import_bytes: int = 64 * 2**20
    """Bytes of a file of conversations that is imported."""

    def check(self) -> None:
        """Raise UserError for a bound that is not above 0."""
        for f in fields(Limits):
            if not getattr(self, f.name) > 0:
                raise UserError(f"{f.name}={getattr(self, f.name)} must be greater than 0")
