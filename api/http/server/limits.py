"""What strangers may ask of a worker of `serve` before anything of theirs is understood.

Whoever reaches the port is a stranger, until his request was read. Most limits are constants: a
desk never comes near them. What they let pass is bounded in sum, for one worker:

| held | at most |
|---|---|
| requests that are not answered yet, answers that are not taken yet (`HELD_BYTES`) | 64 MiB |
| a connection itself, with its parser and its transport: 1,000 of about 10 kB | 10 MB |
| answers below the mark from which they are counted: 1,000 of `UNREAD_BYTES` | 16 MB |
| the request of each connection that is being answered, when those alone are too much | 96 MB |
| what one read brings before it is counted | 0.25 MB |

That is less than 200 MB, beside what the application uses while it answers. The kernel keeps
`KERNEL_BYTES` for each direction, doubled: at most 256 MB for 1,000 connections.
"""

import math
import resource
from dataclasses import dataclass

from api.runtime.settings import Settings

KIB = 1024
DESCRIPTORS_KEPT = 64
"""Descriptors that are no connection's: the database (settings add to them), the loop, the log."""
DESCRIPTORS_EACH = 2
"""A connection and, if it downloads, the file."""
REQUEST_COST_BYTES = 4 * KIB
"""What the objects of a waiting request take beside its bytes."""
FIELD_COST_BYTES = 150
"""The same of a header field."""
KERNEL_BYTES = 64 * KIB
"""Of a connection, for each direction. Left alone, Linux would keep up to 10 MB of each."""
UNREAD_BYTES = 16 * KIB
"""From here on an answer that is not taken counts, and its sender has to wait."""


@dataclass(frozen=True)
class Limits:
    """The limits of one worker. Times in seconds."""

    body_bytes: int
    """The longest body: `CLUBLEDGER_MAX_BODY_BYTES`."""
    connections: int = 1000
    """`CLUBLEDGER_HTTP_CONNECTIONS`, or fewer, if the descriptors do not suffice."""
    descriptors_kept: int = DESCRIPTORS_KEPT
    head_bytes: int = 32 * KIB
    """Request line, headers and trailers together; the usual client sends less than 1 kB."""
    address_bytes: int = 8 * KIB
    """What RFC 9110 (4.1) recommends to take at least."""
    fields: int = 100
    """Headers and trailers together; browsers send about 15."""
    waiting_requests: int = 16
    """Requests that came on a connection before the one ahead of them was answered."""
    held_bytes: int = 64 * KIB * KIB
    """Unanswered requests and unread answers of all connections."""
    head_s: float = 10.0
    """From the first byte of a request (of a connection: from its start) to the end of its head."""
    body_s: float = 30.0
    """From there to the end of its body, which at the usual length is 2 kB a second."""
    idle_s: float = 75.0
    """Between requests; longer than the 60 s after which proxies let go, so that they do."""
    unread_s: float = 30.0
    """How long an answer may wait for its reader without a part of it being taken."""
    linger_s: float = 5.0
    """How long we listen to who was turned away, so that he reads why before we hang up."""

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        """Those that the settings ask for."""
        return cls(
            body_bytes=settings.max_body_bytes,
            connections=settings.http_connections,
            descriptors_kept=DESCRIPTORS_KEPT + 2 * settings.read_connections,
        )

    def passed(self, code: str) -> dict[str, int]:
        """The numbers of the limit that a request has passed, as its problem tells them."""
        return {
            "too_large": {"most_bytes": self.body_bytes},
            "address_too_long": {"most_bytes": self.address_bytes},
            "head_too_large": {"most_bytes": self.head_bytes, "most_fields": self.fields},
        }.get(code, {})

    @property
    def body_wire_bytes(self) -> int:
        """A body in chunks of one byte each takes six; what is more is chunk extensions."""
        return 2 * self.head_bytes + 8 * self.body_bytes

    def places(self) -> int:
        """How many connections this process can have, after asking for descriptors enough."""
        needed = self.descriptors_kept + DESCRIPTORS_EACH * self.connections
        soft, hard = (_number(each) for each in resource.getrlimit(resource.RLIMIT_NOFILE))
        if soft < needed and soft < hard:
            soft = min(needed, hard)
            _, as_it_is = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(soft), as_it_is))
        free = (soft - self.descriptors_kept) / DESCRIPTORS_EACH
        return max(1, int(min(self.connections, free)))


def _number(limit: int) -> float:
    return math.inf if limit == resource.RLIM_INFINITY else limit
