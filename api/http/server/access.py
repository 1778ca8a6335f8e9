"""Who is asking, and whether he may: each route says what it needs, and nothing opens by default.

Who has an API key is known to each worker, by hashes; what it knows it reads again every two
seconds, and what it does not know at once. So the express lane asks no database.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import timedelta
from functools import partial
from hashlib import sha256
from hmac import compare_digest
from typing import Annotated, Any, TypeAlias, TypeVar

from fastapi import Depends, FastAPI, Request
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from api.doors import DOORS, Need
from api.http.server.reads import Reads
from api.http.server.tokens import Tokens
from api.http.server.turns import Turns
from api.runtime.clock import Clock
from api.runtime.problems import DoorProblem
from api.runtime.rights import ANYBODY, admitted, at_the_door
from domain.access import Principal
from ledger import credentials, sessions
from ledger.credentials import Known

F = TypeVar("F", bound=Callable[..., Any])
MOST_KNOWN = 10_000
"""Keys that a worker knows at once; then it forgets them all, and reads again who knocks."""
MOST_KNOCKING = 64
"""Who waits to be looked up, one at a time: guessing at keys keeps nobody else from reading."""
BEARER = b"bearer "
COOKIE, ATTEMPT, ELSEWHERE = "clubledger", "clubledger_sign_in", "clubledger_elsewhere"
"""What holds a session, and an attempt to sign in elsewhere; and what says that it was there."""
FROM_HERE_HEADER = "Clubledger-Csrf"
"""What a page of another site cannot send: what `GET /v1/session` tells of a session."""
SITE_HEADER = "Sec-Fetch-Site"
OURS = {"same-origin", "none"}
"""What a browser says in it of a request that no other site has made."""
Name: TypeAlias = tuple[str, str]
"""(kind, id) of what opens: an `apikey`, a `session`, or a `token` by its digest."""

# ------------------------------------------------------------------------------ what a route needs
PUBLIC = Need(None)
SIGNED_IN = Need("")
"""Whoever it is; each thing that he asks for is looked at by itself."""


def needs(need: Need, by_itself: bool = False) -> Callable[[F], F]:
    """Says what who asks this route must have been given. `by_itself`: its body says of what it is
    asked, so the route itself asks `Access.admit`; before it only the scope is asked for."""

    def mark(endpoint: F) -> F:
        endpoint.__dict__["need"], endpoint.__dict__["by_itself"] = need, by_itself
        return endpoint

    return mark


def need_of(endpoint: Any) -> Need | None:
    """What a route needs; None if it does not say."""
    found: Need | None = getattr(endpoint, "need", None)
    return found


def routes_of(app: FastAPI) -> Iterator[tuple[str, str, str, Any]]:
    """(method, path, name, endpoint) of each route of an application that its document tells of."""
    for each in iter_route_contexts(app.routes):
        told = getattr(each.original_route, "include_in_schema", True)  # what pages ask is theirs
        if told and each.methods and each.path and each.endpoint and each.name:
            for method in each.methods:
                yield method, each.path, each.name, each.endpoint


def opened(app: FastAPI) -> Iterator[tuple[str, str, str, Need]]:
    """(method, path, name, need) of each door of an application: of several commands at one address
    a row each. What says nothing is closed, and has none."""
    for method, path, name, endpoint in routes_of(app):
        here = [door for door in DOORS if method == "POST" and door.address == path]
        for door in here:
            yield method, path, door.name, door.need
        need = need_of(endpoint)
        if not here and need is not None:
            yield method, path, name, need


# ----------------------------------------------------------------------------- what a worker knows
class Access:
    """The keys and sessions that were used here, and what they open."""

    def __init__(
        self, reads: Reads, clock: Clock, tokens: Tokens | None = None, closed: bool = False
    ) -> None:
        self.claimed = True
        """Whether anything was ever given out that opens this ledger, or somebody elsewhere says
        who is asking (`closed`)."""
        self._closed = closed or tokens is not None
        self._reads, self._clock, self._tokens = reads, clock, tokens
        self._known: dict[Name, Known] = {}
        self._used: set[Name] = set()
        self._knocking = Turns("sign-in", 1, MOST_KNOCKING)

    def at_once(self, authorization: bytes | None, cookie: str | None = None) -> Principal | None:
        """Who this is, if that is known here; None: look it up."""
        if authorization is None and not (cookie and self.claimed):
            return None if self.claimed else ANYBODY
        brought = _brought(authorization, cookie)
        known = self._known.get(brought[0]) if brought else None
        if brought is None or known is None or not known.opened_by(brought[1]):
            return None
        if known.expires_at is not None and known.expires_at <= self._clock.now():
            return None
        self._used.add(brought[0])
        return known.principal

    async def principal(self, authorization: bytes | None, cookie: str | None = None) -> Principal:
        """Who this is. Raises `not_signed_in`, whatever is wrong with it."""
        found = self.at_once(authorization, cookie)
        if found is not None:
            return found
        brought = _brought(authorization, cookie)
        if brought is not None:
            (kind, name), secret = brought
            async with self._knocking:
                if kind == "token" and self._tokens is not None:
                    await self._tokens.look_at(name, secret)
                await self._learn([brought[0]])
            found = self.at_once(authorization, cookie)
        if found is None:
            raise DoorProblem("not_signed_in")
        return found

    def stands(self, scope: Mapping[str, Any], need: Need) -> bool:
        """Whether who was let in would still be: for an answer that does not end."""
        who = self.at_once(*scope["brought"])
        return who is not None and (need.scope == "" or bool(who.granted(need.scope or "")))

    async def learn(self) -> None:
        """Read again who is known, and write down who was here."""
        used, self._used = self._used, set()
        self.claimed = self._closed or await self._reads.briefly(credentials.claimed)
        if self._known:
            await self._learn([*self._known])
        if keys := _of("apikey", used):
            now = self._clock.now().replace(second=0, microsecond=0)
            await self._reads.briefly(partial(credentials.used, ids=keys, now=now))
        if here := _of("session", used):
            await self._reads.briefly(partial(sessions.seen, ids=here))
        if self._tokens is not None:
            self._tokens.keep()

    async def _learn(self, names: Collection[Name]) -> None:
        if len(self._known) > MOST_KNOWN:
            self._known = {}
        found: dict[Name, Known] = {}
        if keys := _of("apikey", names):
            asked = partial(credentials.api_keys, ids=keys, now=self._clock.now())
            known = await self._reads.briefly(asked)
            found |= {("apikey", key): each for key, each in known.items()}
        if here := _of("session", names):
            known = await self._reads.briefly(partial(sessions.known, ids=here))
            found |= {("session", each): who for each, who in known.items()}
        if self._tokens is not None and (signed := _of("token", names)):
            found |= await self._signed(self._tokens, signed)
        self.forget(*names)
        self.learnt(found)

    async def _signed(self, tokens: Tokens, digests: Collection[str]) -> dict[Name, Known]:
        """Those of these tokens that hold, with the roles that who they name has here."""
        held = {each: tokens.subjects[each] for each in digests if each in tokens.subjects}
        named = {subject.user_id for subject in held.values()}
        who = await self._reads.briefly(partial(sessions.principals, user_ids=named))
        offset = timedelta(seconds=self._clock.offset_s)  # of a demo, whose time is another
        return {
            ("token", digest): Known(
                who[subject.user_id], (bytes.fromhex(digest),), subject.until + offset
            )
            for digest, subject in held.items()
            if subject.user_id in who
        }

    def learnt(self, found: Mapping[Name, Known]) -> None:
        """Know these from now on."""
        self._known.update(found)

    def forget(self, *names: Name) -> None:
        """Know these no more: they are looked up, should they come again."""
        for name in names:
            self._known.pop(name, None)

    # ------------------------------------------------------------------------------- who may what
    async def admit(
        self,
        who: Principal,
        need: Need,
        said: Mapping[str, Any],
        actor: str | None = None,
        key: str | None = None,
    ) -> str:
        """The actor that events name, if he may: himself in the role that lets him, or who he says
        that he acts for in that role; or if he has done it under this key of a command. Raises
        `not_allowed`."""
        named = at_the_door(who, need, said, actor)
        if named is not None:
            return named
        asked = partial(admitted, clock=self._clock, who=who, need=need, said=said, actor=actor)
        return await self._reads.briefly(partial(asked, key=key))

    async def may(self, who: Principal, need: Need, row: BaseModel) -> bool:
        """Whether he may ask it of what this row tells."""
        try:
            await self.admit(who, need, row.__dict__)
        except DoorProblem:
            return False
        return True


def _of(kind: str, names: Collection[Name]) -> list[str]:
    return [each for of, each in names if of == kind]


def _brought(authorization: bytes | None, cookie: str | None) -> tuple[Name, str] | None:
    """What opens, and the secret of it. A session is no key, nor the other way round."""
    if authorization is None:
        here = sessions.parsed(cookie) if cookie else None
        return here and (("session", here[0]), here[1])
    if authorization[: len(BEARER)].lower() != BEARER:
        return None
    token = authorization[len(BEARER) :].decode("latin-1").strip()
    if token.count(".") == 2:  # signed by somebody else
        return ("token", sha256(token.encode()).hexdigest()), token
    key = credentials.parsed(token)
    return key and (("apikey", key[0]), key[1])


# ----------------------------------------------------------------------------- what a browser says
def cookie_name(under_tls: bool, name: str = COOKIE) -> str:
    """`__Host-` has the browser keep it from other hosts, and from all that is not encrypted."""
    return f"__Host-{name}" if under_tls else name


def cookie_of(request: Request, name: str = COOKIE) -> str | None:
    """The session that a browser has sent, or what is called so; none, if there are two of it."""
    name = cookie_name(request.app.state.house.settings.tls_in_front, name)
    sent = ";".join(request.headers.getlist("cookie")).split(";")
    pairs = [each.strip().partition("=") for each in sent]
    found = [value for key, _, value in pairs if key == name]
    return found[0] if len(found) == 1 else None


def from_here(cookie: str) -> str:
    """What a page of ours sends beside a session, and no other page can know."""
    return sha256(f"from here:{cookie}".encode()).hexdigest()


def require_our_site(request: Request) -> None:
    """Refuses what a browser says another site has made."""
    if request.headers.get(SITE_HEADER, "none") not in OURS:
        raise DoorProblem("not_from_here")


def _require_from_here(request: Request, cookie: str) -> None:
    require_our_site(request)
    sent = request.headers.get(FROM_HERE_HEADER, "").encode("latin-1")
    if not compare_digest(sent, from_here(cookie).encode()):
        raise DoorProblem("not_from_here")


# ------------------------------------------------------------------------------------ at each route
async def entered(request: Request) -> None:
    """Before anything else: who is asking, and whether he may ask this at all."""
    access: Access = request.app.state.house.access
    endpoint = request.scope["route"].endpoint
    need = need_of(endpoint)
    if need is None:
        raise DoorProblem("not_allowed")  # A route that says nothing is closed.
    if need.scope is None:
        return
    sent = request.headers.getlist("authorization")
    if len(sent) > 1:
        raise DoorProblem("not_signed_in")
    authorization = sent[0].encode("latin-1") if sent else None
    cookie = None if sent else cookie_of(request)
    who = await access.principal(authorization, cookie)
    if cookie is not None and who is not ANYBODY and request.method not in ("GET", "HEAD"):
        _require_from_here(request, cookie)
    request.scope["principal"], request.scope["brought"] = who, (authorization, cookie)
    if need.scope == "":
        return
    if not who.granted(need.scope):
        raise DoorProblem("not_allowed")
    if not endpoint.by_itself:
        said = {**request.query_params, **request.path_params}
        await access.admit(who, need, said)


async def _who(request: Request) -> Principal:
    found: Principal = request.scope["principal"]
    return found


Who: TypeAlias = Annotated[Principal, Depends(_who)]
