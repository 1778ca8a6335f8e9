"""One request to an address that somebody else chose. Its name is resolved first, and only an
address that is allowed is spoken to, so that no name leads into this network. There is one limit of
time for all of it; no redirect is followed, and of the answer only the status is read, and when to
come again.
"""

import re
import socket
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from time import monotonic
from typing import NamedTuple
from urllib.parse import urlsplit

from api.runtime.clock import Clock

LIMIT_S = 15.0
HEAD_BYTES = 16_384
"""So much is read of an answer, to find its status behind interim ones."""
BUSY = frozenset({429, 503})
"""Who answers so may say when to come again."""
_RETRY_AFTER = re.compile(rb"\r\nretry-after:[ \t]*([^\r\n]{1,64})", re.IGNORECASE)
Network = IPv4Network | IPv6Network
_PUBLIC_V6 = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")


class Outcome(NamedTuple):
    """What came of it: the status, or none and why."""

    status: int | None
    cause: str
    retry_after_s: float = 0.0
    """What is asked for before it is tried again."""

    @property
    def taken(self) -> bool:
        """Whether it was taken."""
        return self.status is not None and 200 <= self.status < 300


class NotAllowed(Exception):
    """It may not be sent there; the message says why, and names nothing."""


def post(
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    allowed: Sequence[Network],
    limit_s: float = LIMIT_S,
) -> Outcome:
    """Send it, and see how that was answered."""
    until = monotonic() + limit_s
    try:
        with closing(_line(url, allowed, until)) as line:
            with suppress(BrokenPipeError, ConnectionResetError):  # It may have answered before.
                _limit(line, until).sendall(_request(url, headers, body))
            status, retry_after_s = _answer(line, until)
    except NotAllowed as why:
        return Outcome(None, str(why))
    except TimeoutError:
        return Outcome(None, f"no answer within {limit_s:g} s")
    except socket.gaierror:
        return Outcome(None, "the name has no address")
    except ssl.SSLError as error:
        return Outcome(None, f"no TLS: {error.reason or type(error).__name__}")
    except (OSError, ValueError) as error:  # ValueError: no port, no name that can be one
        return Outcome(None, f"cannot be reached: {type(error).__name__}")
    said = f"answered {status}" if status else "what came back is no HTTP"
    return Outcome(status, said, retry_after_s)


# ------------------------------------------------------------------------------------- where to
def _line(url: str, allowed: Sequence[Network], until: float) -> socket.socket:
    """A connection to an address that is allowed, with TLS where that is said."""
    said = urlsplit(url)
    secure = said.scheme == "https"
    if said.hostname is None or said.username is not None:
        raise NotAllowed("the address names no host, or somebody to sign in")
    port = said.port or (443 if secure else 80)
    address = _address(said.hostname, port, allowed, secure)
    line = socket.create_connection((address, port), _left(until))
    if not secure:
        return line
    try:
        return _tls().wrap_socket(_limit(line, until), server_hostname=said.hostname)
    except BaseException:
        line.close()
        raise


@cache
def _tls() -> ssl.SSLContext:
    """Reading whom this machine trusts takes longer than a message."""
    return ssl.create_default_context()


def _address(host: str, port: int, allowed: Sequence[Network], secure: bool) -> str:
    """The first of a name's addresses that may be spoken to. It is resolved here and once."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    for address in addresses:
        if _is_in(address, allowed) or (secure and is_public(address)):
            return address
    if any(map(is_public, addresses)):
        raise NotAllowed("it would travel in the open: https is wanted")
    raise NotAllowed("the address is private: CLUBLEDGER_WEBHOOK_NETWORKS does not allow it")


def is_public(address: str) -> bool:
    """Whether this is an address of the internet, itself and whatever is meant by it."""
    return all(
        each.is_global
        and not each.is_multicast
        and (isinstance(each, IPv4Address) or each in _PUBLIC_V6)
        for each in _meant(address)
    )


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether all that is meant by it lies in networks that are allowed."""
    return all(any(each in network for network in networks) for each in _meant(address))


def _meant(address: str) -> Iterator[IPv4Address | IPv6Address]:
    """An address; of one of IPv6 that stands for one of IPv4, that one."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo or (None, None))[1]
        if inner is None and found in _NAT64:
            inner = IPv4Address(found.packed[12:])
        found = found if inner is None else inner
    yield found


# ----------------------------------------------------------------------------- what is said there
def _request(url: str, headers: Mapping[str, str], body: bytes) -> bytes:
    said = urlsplit(url)
    host = said.netloc
    target = (said.path or "/") + (f"?{said.query}" if said.query else "")
    beside = {"Host": host, "Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"POST {target} HTTP/1.1", *(f"{k}: {v}" for k, v in {**beside, **headers}.items())]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def _answer(line: socket.socket, until: float) -> tuple[int | None, float]:
    """The status of the answer, past interim ones, None if it is no HTTP; and the seconds for which
    it wants to be left alone."""
    said = b""
    while len(said) < HEAD_BYTES:
        part = _limit(line, until).recv(4_096)
        said += part
        while True:
            first, ended, _ = said.partition(b"\r\n")
            words = first.split(b" ", 2)
            if not ended and part:
                break  # more of the line is to come
            if not words[0].startswith(b"HTTP/1.") or len(words) < 2 or len(words[1]) != 3:
                return None, 0.0
            if not words[1].isdigit():
                return None, 0.0
            if words[1][:1] != b"1":
                status = int(words[1])
                return status, _retry_after_s(line, until, said) if status in BUSY else 0.0
            _, ended, rest = said.partition(b"\r\n\r\n")
            if not ended:
                break
            said = rest
        if not part:
            return None, 0.0
    return None, 0.0


def _retry_after_s(line: socket.socket, until: float, said: bytes) -> float:
    """For how long the head of an answer asks to be left alone, as far as it comes in time."""
    with suppress(OSError):
        while b"\r\n\r\n" not in said and len(said) < HEAD_BYTES:
            part = _limit(line, until).recv(4_096)
            if not part:
                break
            said += part
    found = _RETRY_AFTER.search(said.partition(b"\r\n\r\n")[0])
    text = found[1].decode("latin-1").strip() if found else ""
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0.0, (at - Clock().now()).total_seconds())


def _limit(line: socket.socket, until: float) -> socket.socket:
    line.settimeout(_left(until))
    return line


def _left(until: float) -> float:
    left = until - monotonic()
    if left <= 0:
        raise TimeoutError
    return left
