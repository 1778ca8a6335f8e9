"""Tokens: what another issuer has signed says who is asking; what he may stands in the ledger.

A token is a JWT of one issuer for one audience, by a key that the issuer publishes (JWKS). Whoever
was let in by keys that are no more has to be looked at again.
"""

import asyncio
from datetime import UTC, datetime
from typing import NamedTuple

from joserfc import jwt
from joserfc.errors import JoseError

from api.http.server.issuers import (
    ALGORITHMS,
    READ_AGAIN_S,
    SKEW_S,
    SOONER_S,
    PublishedKeys,
    user_of,
)
from api.runtime.clock import Clock
from api.runtime.settings import Settings

MOST_KNOWN = 10_000


class Subject(NamedTuple):
    """Whom a token names, and until when."""

    user_id: str
    until: datetime


class Tokens:
    """The tokens that were looked at here, and the keys of their issuer."""

    def __init__(self, issuer: str, audience: str, keys: str, claim: str) -> None:
        self.subjects: dict[str, Subject] = {}
        """Whom a token names, by its digest."""
        self._issuer, self._keys, self._claim = issuer, PublishedKeys(keys), claim
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
            read = jwt.decode(token, self._keys.keys, algorithms=ALGORITHMS)
            self._rules.validate(read.claims)
            user_id = user_of(self._issuer, read.claims.get(self._claim))
            until = read.claims["exp"]
            if user_id is not None:
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
        if await self._keys.read(after_s):
            self.subjects.clear()
