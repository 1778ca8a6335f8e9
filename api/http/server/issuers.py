"""Issuers: servers elsewhere that say who somebody is, which the settings name, and the keys that
they publish (JWKS). Those are read again every five minutes, and sooner when something is signed by
one that is not known: so an issuer may change them.
"""

import asyncio
import json
import logging
import math
import re
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet

from ledger.trouble import Once

log = logging.getLogger("clubledger")
_NEW = Once()
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "Ed25519")
"""Those by which nobody signs who has the published key alone: neither `none` nor HMAC."""
PUBLISHED = ("RSA", "EC", "OKP")
SKEW_S = 60
"""How far the clock of the issuer may be from ours."""
READ_AGAIN_S, SOONER_S = 300.0, 10.0
TIMEOUT_S = 5.0
MOST_BYTES = 262_144
UNREADABLE = (OSError, URLError, HTTPException, ValueError, KeyError, TypeError)
"""What reading from elsewhere may end with."""


USER_ID, HASHED = re.compile(r"[a-z0-9][a-z0-9-]{0,31}"), re.compile(r"s-[0-9a-f]{30}")
MOST_CHARACTERS = 255
"""Of who somebody is there, as OpenID Connect has it."""


def user_of(issuer: str, said: Any) -> str | None:
    """The id of the user here whom an issuer names so, if that is a name. Where no id here can be
    so, he is known by a digest; and nobody is called as a digest is."""
    if not isinstance(said, str) or not 0 < len(said) <= MOST_CHARACTERS:
        return None
    if USER_ID.fullmatch(said) and not HASHED.fullmatch(said):
        return said
    whole = f"{issuer}\n{said}".encode(errors="surrogatepass")
    return f"s-{sha256(whole).hexdigest()[:30]}"


class _Stay(HTTPRedirectHandler):
    """Follows nobody elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the redirection is an error."""


def fetch(
    address: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> bytes:
    """What stands behind an address, or what it answers to a body, that nobody on the way can read
    or change."""
    if not is_safe(address):
        raise OSError("an issuer is asked elsewhere by https alone")
    asked = Request(address, body, dict(headers or {}))
    until = monotonic() + TIMEOUT_S
    with build_opener(_Stay).open(asked, timeout=TIMEOUT_S) as answer:
        found = b""
        while len(found) < MOST_BYTES and (more := answer.read1(65_536)):
            found += more
            if monotonic() > until:
                raise TimeoutError("the answer does not end")
        return found[:MOST_BYTES]


def is_safe(address: str) -> bool:
    """Whether what is sent there is open to nobody on the way: by TLS, or on this machine."""
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and is_here(address))


def is_here(address: str) -> bool:
    """Whether an address is this machine's own."""
    host = urlsplit(address).hostname or ""
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def read(where: str) -> bytes:
    """What stands in a file, or behind an address."""
    if urlsplit(where).scheme in ("http", "https"):
        return fetch(where)
    return Path(where).read_bytes()[:MOST_BYTES]


def keys_of(published: bytes) -> KeySet:
    """The keys of what an issuer publishes. One that we cannot use is left out, and so is each that
    is secret: signed by what everybody can read, a token would say nothing."""
    found = []
    for each in json.loads(published)["keys"]:
        if each.get("kty") in PUBLISHED:
            with suppress(JoseError, ValueError):
                found.append(JWKRegistry.import_key(each))
    return KeySet(found)


class PublishedKeys:
    """The keys of an issuer as they were read last, from a file or an address."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.keys = KeySet([])
        self._published = b""
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def read(self, after_s: float) -> bool:
        """Take what is published now, unless that is known from so short a while ago: whether it
        is something else. What cannot be read changes nothing."""
        async with self._reading:
            if monotonic() - self._read_at < after_s:
                return False
            changed = False
            try:
                published = await asyncio.to_thread(read, self.where)
                if published != self._published:
                    self.keys = keys_of(published)
                    self._published, changed = published, True
            except UNREADABLE as error:
                if _NEW(type(error).__name__):
                    log.error("The keys of an issuer cannot be read: %s", error)
            self._read_at = monotonic()
            return changed
