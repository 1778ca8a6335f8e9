"""An identity provider: people sign in there and come back with a code, which this server redeems
for who it is (OpenID Connect: authorization code with PKCE). What he may stands in the ledger.

A browser that leaves for it takes along one random value, in a cookie. What the provider is sent of
it (`state`, `nonce`, the challenge) is derived from that, with the time and the page to go to: so a
code is worth something to that browser alone, and nothing is kept here meanwhile.
"""

import asyncio
import hmac
import json
import logging
import math
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from secrets import token_hex
from time import monotonic
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import parse_qsl, urlencode, urlsplit

from authlib.oauth2 import ClientAuth, OAuth2Client, OAuth2Error
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError

from api.http.server.issuers import (
    ALGORITHMS,
    READ_AGAIN_S,
    SKEW_S,
    SOONER_S,
    UNREADABLE,
    PublishedKeys,
    fetch,
    is_here,
    is_safe,
    user_of,
)
from api.http.server.turns import Turns
from api.runtime.clock import Clock
from api.runtime.failures import CannotOpen
from api.runtime.problems import DoorProblem
from api.runtime.settings import Settings
from ledger.trouble import Once

log = logging.getLogger("clubledger")
_NEW = Once()
ATTEMPT_S = 600
"""So long somebody may take to sign in there."""
AT_ONCE, MOST_WAITING = 2, 16
"""Who comes back and is asked about there, and who waits for it; more are told to come again."""
RETURN_PATH = "/sign-in/return"
DISCOVERY_PATH = "/.well-known/openid-configuration"
SCOPE = "openid profile"
_MADE = re.compile(r"([0-9]{1,12})\.([0-9a-f]{64})\.([A-Za-z0-9_-]{0,400})")
BASIC, POST, NONE = "client_secret_basic", "client_secret_post", "none"


class Refused(Exception):
    """Signing in there has not succeeded; the message says why, and names nobody."""


# ----------------------------------------------------------------------------------- an attempt
class Attempt(NamedTuple):
    """An attempt to sign in, as a browser holds it."""

    cookie: str
    begun: int
    """Seconds since 1970."""
    to: str
    """The page to go to."""

    @classmethod
    def begin(cls, to: str) -> "Attempt":
        """A new one. A page whose address is too long is forgotten."""
        begun = _now()
        said = urlsafe_b64encode(to.encode()).decode().rstrip("=")
        made = f"{begun}.{token_hex(32)}.{said if len(said) <= 400 else ''}"
        return cls(made, begun, to)

    @classmethod
    def of(cls, cookie: str) -> "Attempt":
        """The one that a browser brings back. Raises Refused if it is none, or too old."""
        found = _MADE.fullmatch(cookie)
        if found is None:
            raise Refused("the browser brings no attempt of ours")
        try:
            made = cls(cookie, int(found[1]), urlsafe_b64decode(f"{found[3]}==").decode())
        except ValueError:
            raise Refused("the browser brings no attempt of ours") from None
        if not 0 <= _now() - made.begun <= ATTEMPT_S:
            raise Refused("the attempt took too long")
        return made

    @property
    def state(self) -> str:
        """What the provider sends back."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the provider signs."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What shows that the code was asked for by this browser (PKCE)."""
        return self._derived("verifier")

    @property
    def digest(self) -> bytes:
        """By what it is known to have been used."""
        return sha256(self.cookie.encode()).digest()

    def _derived(self, what: str) -> str:
        made = hmac.digest(self.cookie.encode(), what.encode(), "sha256")
        return urlsafe_b64encode(made).decode().rstrip("=")


def _now() -> int:
    return int(Clock().now().timestamp())


# ---------------------------------------------------------------------- what is asked over there
class _Answer(NamedTuple):
    """What the provider has answered, as authlib reads it."""

    body: bytes
    status_code: int = 200

    def json(self) -> Any:
        """It as JSON. Raises ValueError."""
        return json.loads(self.body)

    def raise_for_status(self) -> None:
        """An answer that is none has raised already."""


class _Line:
    """What authlib's client asks by: a request that is as safe as all to issuers are."""

    def post(
        self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: ClientAuth
    ) -> _Answer:
        """Send a form as this client."""
        url, headers, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        try:
            return _Answer(fetch(url, body.encode(), headers))
        except HTTPError as error:
            if error.code >= 500:
                raise
            raise Refused("the provider does not take the code") from None


class Metadata(NamedTuple):
    """What a provider says of itself."""

    authorization: str
    token: str
    keys: str
    auth_methods: list[str]
    names_itself: bool
    """Whether it says who it is when a browser comes back (RFC 9207)."""
    end_session: str | None
    """Where somebody signs out over there (RP-Initiated Logout); null: nowhere."""

    @classmethod
    def of(cls, document: bytes, issuer: str) -> "Metadata":
        """Read it. Raises ValueError, KeyError, TypeError or OSError where it says what cannot be
        gone by."""
        said = json.loads(document)
        if said["issuer"] != issuer:
            raise ValueError("the provider calls itself otherwise than the settings do")
        made = cls(
            said["authorization_endpoint"],
            said["token_endpoint"],
            said["jwks_uri"],
            said.get("token_endpoint_auth_methods_supported", [BASIC]),
            said.get("authorization_response_iss_parameter_supported") is True,
            said.get("end_session_endpoint"),
        )
        for each in (*made[:3], *([made.end_session] if made.end_session is not None else ())):
            if not is_safe(each) or (is_here(each) and not is_here(issuer)):
                raise OSError("an issuer is asked elsewhere by https alone")
        return made


# ------------------------------------------------------------------------------------ the provider
@dataclass
class _Read:
    """What was read of the provider, and when."""

    metadata: Metadata
    keys: PublishedKeys
    at: float


class Provider:
    """The identity provider of the settings, as this worker knows it."""

    def __init__(
        self, issuer: str, client_id: str, secret: str | None, claim: str, address: str
    ) -> None:
        self.issuer = issuer
        self.name = urlsplit(issuer).hostname or issuer
        """What people see of it."""
        self._client_id, self._secret, self._claim = client_id, secret, claim
        self._here = address.rstrip("/")
        self._return = f"{self._here}{RETURN_PATH}"
        self._known: _Read | None = None
        self._tried_at = -math.inf
        self._reading = asyncio.Lock()
        self._turns = Turns("sign-in", AT_ONCE, MOST_WAITING)

    @classmethod
    def of(cls, settings: Settings) -> "Provider | None":
        """The one that these settings name, if they do. Raises CannotOpen."""
        if settings.oidc_issuer is None:
            return None
        if settings.oidc_client_id is None or settings.public_address is None:
            raise CannotOpen(
                "To sign in at CLUBLEDGER_OIDC_ISSUER, say CLUBLEDGER_OIDC_CLIENT_ID and"
                " CLUBLEDGER_PUBLIC_ADDRESS, too."
            )
        for each in (settings.oidc_issuer, settings.public_address):
            if not is_safe(each):
                raise CannotOpen("An identity provider and its clients speak https.")
        return cls(
            settings.oidc_issuer,
            settings.oidc_client_id,
            _secret_of(settings),
            settings.oidc_user,
            settings.public_address,
        )

    def looked_up(self) -> Metadata:
        """What it says of itself just now. Raises one of UNREADABLE."""
        return Metadata.of(fetch(f"{self.issuer.rstrip('/')}{DISCOVERY_PATH}"), self.issuer)

    async def begin(self, to: str) -> tuple[str, str]:
        """(the address there, what the browser is to hold). Raises `provider_away`."""
        known, attempt = await self._read(), Attempt.begin(to)
        client = self._client(known.metadata)
        address, _ = client.create_authorization_url(
            known.metadata.authorization,
            state=attempt.state,
            code_verifier=attempt.verifier,
            nonce=attempt.nonce,
            prompt="login",  # A desk is shared: who was there before is not who comes now.
        )
        return address, attempt.cookie

    async def end(self, path: str) -> str | None:
        """The address at which somebody signs out over there, and is led back to this page; None
        where he cannot, or nobody answers. It says nothing of who he is: his browser knows."""
        try:
            found = (await self._read()).metadata.end_session
        except DoorProblem:
            return None
        back = {"client_id": self._client_id, "post_logout_redirect_uri": f"{self._here}{path}"}
        return found and f"{found}{'&' if '?' in found else '?'}{urlencode(back)}"

    async def finish(self, cookie: str | None, query: str) -> tuple[str, Attempt]:
        """(the id of the user, the attempt) of a browser that comes back. Raises
        `not_confirmed`, `provider_away`."""
        try:
            attempt = Attempt.of(cookie or "")
            code = self._code(attempt, query)
            async with self._turns:
                known = await self._read()
                token = await asyncio.to_thread(self._redeemed, known.metadata, attempt, code)
                claims = _verified(known.keys, token)
                if claims is None and await known.keys.read(SOONER_S):
                    claims = _verified(known.keys, token)
            if claims is None:
                raise Refused("the ID token is signed by no key of the provider")
            return self._user(claims, attempt), attempt
        except Refused as why:
            log.warning("Signing in at the identity provider has failed: %s.", why)
            raise DoorProblem("not_confirmed") from None

    # -------------------------------------------------------------------------------------------
    def _client(self, metadata: Metadata) -> OAuth2Client:
        method = NONE
        if self._secret is not None:
            offered = metadata.auth_methods
            method = POST if BASIC not in offered and POST in offered else BASIC
        return OAuth2Client(
            _Line(),
            self._client_id,
            self._secret,
            token_endpoint_auth_method=method,
            scope=SCOPE,
            redirect_uri=self._return,
            code_challenge_method="S256",
        )

    def _code(self, attempt: Attempt, query: str) -> str:
        """The code of an answer to this attempt, by this provider."""
        try:
            pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=30)
        except ValueError:
            raise Refused("the answer cannot be read") from None
        said = dict(pairs)
        if len(said) != len(pairs):
            raise Refused("the answer says something twice")
        if not hmac.compare_digest(said.get("state", "").encode(), attempt.state.encode()):
            raise Refused("the answer is to no attempt of this browser")
        names_itself = self._known is not None and self._known.metadata.names_itself
        if said.get("iss", None if names_itself else self.issuer) != self.issuer:
            raise Refused("the answer is of another provider")
        if "error" in said or not said.get("code"):
            raise Refused("the provider has not let him in")
        return said["code"]

    def _redeemed(self, metadata: Metadata, attempt: Attempt, code: str) -> Mapping[str, Any]:
        """What the provider gives for a code."""
        try:
            found: Mapping[str, Any] = self._client(metadata).fetch_token(
                metadata.token,
                grant_type="authorization_code",
                code=code,
                code_verifier=attempt.verifier,
            )
        except OAuth2Error:
            raise Refused("the provider does not take the code") from None
        except UNREADABLE as error:
            raise _away(error) from None
        return found

    def _user(self, claims: jwt.Token, attempt: Attempt) -> str:
        """Whom an ID token names, if it is one for this attempt."""
        options: Any = {"iss": {"essential": True, "value": self.issuer}}
        options["aud"] = {"essential": True, "value": self._client_id}
        params = {"nonce": attempt.nonce, "client_id": self._client_id}
        read = CodeIDToken(claims.claims, claims.header, options, params)
        try:
            read.validate(_now(), SKEW_S)
            if read.get("auth_time", math.inf) < attempt.begun - SKEW_S:
                raise Refused("he was not asked who he is")
        except (JoseError, *UNREADABLE, AttributeError, OverflowError) as error:
            raise Refused(f"the ID token does not hold ({type(error).__name__})") from None
        user_id = user_of(self.issuer, read.get(self._claim))
        if user_id is None:
            raise DoorProblem("not_a_user", more={"user_id": None})
        return user_id

    async def _read(self) -> _Read:
        """What the provider says of itself, read again when it is time. Raises
        `provider_away`."""
        async with self._reading:
            known, now = self._known, monotonic()
            if known is None or now - known.at > READ_AGAIN_S:
                if now - self._tried_at < SOONER_S:
                    if known is None:
                        raise DoorProblem("provider_away")
                    return known
                self._tried_at = now
                try:
                    metadata = await asyncio.to_thread(self.looked_up)
                except UNREADABLE as error:
                    if known is None:
                        raise _away(error) from None
                    return known
                keys = known.keys if known and known.keys.where == metadata.keys else None
                known = _Read(metadata, keys or PublishedKeys(metadata.keys), now)
                self._known = known
        await known.keys.read(READ_AGAIN_S)
        return known


def _verified(keys: PublishedKeys, token: Mapping[str, Any]) -> jwt.Token | None:
    """The ID token, if it is signed by one of these keys."""
    try:
        return jwt.decode(token["id_token"], keys.keys, algorithms=ALGORITHMS)
    except (JoseError, *UNREADABLE, AttributeError, OverflowError, RecursionError):
        return None


def _away(error: Exception) -> DoorProblem:
    if _NEW(type(error).__name__):
        log.error("The identity provider cannot be asked: %s", error)
    return DoorProblem("provider_away")


def _secret_of(settings: Settings) -> str | None:
    path = settings.oidc_client_secret_file
    if path is None:
        said = settings.oidc_client_secret
        return None if said is None else said.get_secret_value()
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise CannotOpen(f"The secret in {path} cannot be read: {why}.") from None
