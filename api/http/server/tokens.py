"""Tokens: what another issuer has signed says who is asking; what he may stands in the ledger.

A token is a JWT of one issuer for one audience, by a key that the issuer publishes (JWKS). The keys
are read again every five minutes, and sooner when a token names one that is not known: so the
issuer may change them. Whoever was let in by keys that are no more has to be looked at again.
"""

import asyncio
import json
import logging
import math
import re
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException
from ipaddress import ip_address
from pathlib import Path
from time import monotonic
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, build_opener

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import JWKRegistry, KeySet

from api.runtime.clock import Clock
from api.runtime.settings import Settings
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
MOST_KNOWN = 10_000
USER = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")


class Subject(NamedTuple):
    """Whom a token names, and until when."""

    user_id: str
    until: datetime


class _Stay(HTTPRedirectHandler):
    """Follows nobody elsewhere."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """None: the redirection is an error."""


def _read(where: str) -> bytes:
    """What stands there: in a file, or behind an address that nobody on the way can change."""
    parts = urlsplit(where)
    if parts.scheme not in ("http", "https"):
        return Path(where).read_bytes()[:MOST_BYTES]
    if parts.scheme == "http" and not _here(parts.hostname or ""):
        raise OSError("keys are read from elsewhere by https alone")
    with build_opener(_Stay).open(where, timeout=TIMEOUT_S) as answer:
        found: bytes = answer.read(MOST_BYTES)
        return found


def _here(host: str) -> bool:
    with suppress(ValueError):
        return ip_address(host).is_loopback
    return host == "localhost"


def keys_of(published: bytes) -> KeySet:
    """The keys of what an issuer publishes. One that we cannot use is left out, and so is each that
    is secret: signed by what everybody can read, a token would say nothing."""
    found = []
    for each in json.loads(published)["keys"]:
        if each.get("kty") in PUBLISHED:
            with suppress(JoseError, ValueError):
                found.append(JWKRegistry.import_key(each))
    return KeySet(found)


class Tokens:
    """The tokens that were looked at here, and the keys of their issuer."""

    def __init__(self, issuer: str, audience: str, keys: str, claim: str) -> None:
        self.subjects: dict[str, Subject] = {}
        """Whom a token names, by its digest."""
        self._where, self._claim = keys, claim
        self._published, self._keys = b"", KeySet([])
        self._read_at = -math.inf
        self._reading = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None
        self._rules = jwt.JWTClaimsRegistry(
            now=lambda: int(Clock().now().timestamp()),
            leeway=SKEW_S,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": audience},
            exp={"essential": True},
        )

    @classmethod
    def of(cls, settings: Settings) -> "Tokens | None":
        """What these settings say, if they name an issuer, an audience and keys."""
        said = (settings.token_issuer, settings.token_audience, settings.token_keys)
        issuer, audience, keys = said
        if issuer is None or audience is None or keys is None:
            return None
        return cls(issuer, audience, keys, settings.token_user)

    async def look_at(self, digest: str, token: str) -> None:
        """Remember whom it names, if it is good."""
        found = self._verified(token)
        if found is None:
            await self._read_keys(SOONER_S)
            found = self._verified(token)
        if found is not None:
            if len(self.subjects) >= MOST_KNOWN:
                self.subjects.clear()
            self.subjects[digest] = found

    def keep(self) -> None:
        """Have the keys read again, if it is time; forget tokens that have expired."""
        if self._keeping is None or self._keeping.done():
            self._keeping = asyncio.create_task(self._read_keys(READ_AGAIN_S))
        now = Clock().now()
        for digest in [digest for digest, each in self.subjects.items() if each.until <= now]:
            del self.subjects[digest]

    def _verified(self, token: str) -> Subject | None:
        try:
            read = jwt.decode(token, self._keys, algorithms=ALGORITHMS)
            self._rules.validate(read.claims)
            user_id, until = read.claims.get(self._claim), read.claims["exp"]
            if isinstance(user_id, str) and USER.fullmatch(user_id):
                return Subject(user_id, datetime.fromtimestamp(until + SKEW_S, UTC))
        except (
            JoseError,
            ValueError,
            TypeError,
            AttributeError,
            OverflowError,
            OSError,
            RecursionError,
        ):
            pass  # Whatever is wrong with it, it says nothing.
        return None

    async def _read_keys(self, after_s: float) -> None:
        """Take what is published now, unless that is known from so short a while ago. What cannot
        be read changes nothing."""
        async with self._reading:
            if monotonic() - self._read_at < after_s:
                return
            try:
                published = await asyncio.to_thread(_read, self._where)
                if published != self._published:
                    self._keys = keys_of(published)
                    self._published = published
                    self.subjects.clear()
            except (OSError, URLError, HTTPException, ValueError, KeyError, TypeError) as error:
                if _NEW(type(error).__name__):
                    log.error("The keys of the issuer of tokens cannot be read: %s", error)
            self._read_at = monotonic()
