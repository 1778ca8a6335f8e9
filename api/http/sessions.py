"""People: they take an invitation by choosing a password, sign in with it, and out again."""

from contextlib import suppress
from datetime import datetime
from functools import partial
from secrets import token_hex
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, JsonValue, StringConstraints

from api.doors import PREFIX
from api.http.server.access import (
    COOKIE,
    PUBLIC,
    SIGNED_IN,
    Who,
    cookie_name,
    cookie_of,
    from_here,
    needs,
    require_our_site,
)
from api.http.server.documented import refuses
from api.http.server.inputs import House, InHouse
from api.http.server.passwords import NewPassword, Password
from api.http.server.rates import SIGN_IN, address_of
from api.runtime.problems import DoorProblem
from domain.access import AddUser, GrantRole, HolderId, InviteUser, UserExists
from ledger import credentials, sessions
from projections.engine.answer import Answer

router = APIRouter(prefix=PREFIX, tags=["access"])
INVITED_PATH = "/invitations/take"
"""Of the page that a link of an invitation opens; behind `PREFIX`, of what a program sends."""
FIRST_ROLE = "administrator"
FIRST_ACTOR = f"{FIRST_ROLE}:first-link"
Invitation = Annotated[str, StringConstraints(pattern="^[a-z]{2}_[a-z0-9-]{1,32}_[0-9a-f]{64}$")]
SessionPath = Annotated[str, Path(pattern="^[0-9a-f]{16}$", examples=["0123456789abcdef"])]


class Said(BaseModel):
    """What a person says; none of it is kept as it was said, or told again."""


def _example(**said: JsonValue) -> ConfigDict:
    return ConfigDict(
        extra="forbid", hide_input_in_errors=True, json_schema_extra={"examples": [said]}
    )


class TakenInvitation(Said):
    """An invitation, and the password by which one will sign in."""

    model_config = _example(
        invitation=f"in_li_{'0' * 64}", user_id="li", password="correct horse battery"
    )
    invitation: Invitation = Field(
        description="`in_<id>_<secret>`, as `user.invite` or the first link shows it", repr=False
    )
    user_id: HolderId = Field(description="of whom it invites; a name to choose, by the first link")
    password: NewPassword


class AnotherPassword(Said):
    """The password that one has, and the one that one wants."""

    model_config = _example(password="correct horse battery", new_password="staple of batteries")
    password: Password
    new_password: NewPassword


class SignIn(Said):
    """Who he is, and what only he knows."""

    model_config = _example(user_id="li", password="correct horse battery")
    user_id: HolderId
    password: Password


class SignedIn(Answer):
    """A session, for who holds its cookie."""

    user_id: str
    from_here: str = Field(description="to be sent in `Clubledger-Csrf` with whatever is not `GET`")


class SessionRow(Answer):
    """A session that holds."""

    session_id: str
    begun_at: datetime
    seen_at: datetime = Field(description="when something was asked in it last, to a minute")
    this_one: bool


class Sessions(Answer):
    """One's own sessions."""

    sessions: list[SessionRow]


class Done(Answer):
    """It is so now, whether it was before or not."""

    user_id: str


@router.post(
    INVITED_PATH,
    response_model=Done,
    responses=refuses("not_invited", "not_from_here", "busy"),
)
@needs(PUBLIC)
async def take_invitation(said: TakenInvitation, request: Request, house: InHouse) -> Done:
    """Choose a password, by an invitation that opens this once. Who was signed in with another
    password is so no more. The first link makes an administrator of whoever has it."""
    require_our_site(request)
    now, token = house.clock.now(), said.invitation
    found = await house.reads.briefly(partial(credentials.invited, token=token, now=now))
    if found is None or found[0] not in (said.user_id, credentials.FIRST):
        raise DoorProblem("not_invited")
    encoded = await house.passwords.encoded(said.password)
    used = partial(credentials.redeem, user_id=found[0], number=found[1], now=now)
    if not await house.reads.briefly(used):
        raise DoorProblem("not_invited")
    if found[0] == credentials.FIRST:
        await _make_first(house, said.user_id)
    kept = partial(sessions.set_password, user_id=said.user_id, encoded=encoded)
    await house.reads.briefly(kept)
    house.access.claimed = True
    return Done(user_id=said.user_id)


async def _make_first(house: House, user_id: str) -> None:
    """Whoever has the first link is an administrator from now on."""
    add = AddUser(key=f"first-{user_id}", actor=FIRST_ACTOR, user_id=user_id)
    with suppress(UserExists):  # entered before on this machine
        await house.execute(add)
    grant = GrantRole(
        key=f"first-{user_id}-{FIRST_ROLE}",
        actor=FIRST_ACTOR,
        user_id=user_id,
        role_id=FIRST_ROLE,
        clubs=(),
        units=(),
    )
    await house.execute(grant)


@router.post(
    "/session",
    response_model=SignedIn,
    status_code=201,
    responses=refuses("sign_in_refused", "not_from_here", "too_many_requests", "busy"),
)
@needs(PUBLIC)
async def sign_in(said: SignIn, request: Request, response: Response, house: InHouse) -> SignedIn:
    """Sign in: the answer sets a cookie, always of a new session. Whatever is wrong, and whether
    there is such a user, is answered alike and as late."""
    require_our_site(request)
    address = address_of(request, house.settings.tls_in_front)
    response.headers.update(house.rates.knock(said.user_id, address))
    kept = await house.reads.briefly(partial(sessions.password_of, user_id=said.user_id))
    if not await house.passwords.fits(said.password, kept):
        raise DoorProblem("sign_in_refused")
    house.rates.let_in(said.user_id, address)
    cookie = await house.reads.briefly(partial(sessions.begin, user_id=said.user_id))
    hand_over(response, cookie, house.settings.tls_in_front)
    return SignedIn(user_id=said.user_id, from_here=from_here(cookie))


def hand_over(response: Response, cookie: str, under_tls: bool, name: str = COOKIE) -> None:
    """Have a browser hold a session, or for as long what is called so."""
    response.set_cookie(
        cookie_name(under_tls, name),
        cookie,
        max_age=int(sessions.ABSOLUTE.total_seconds()),
        secure=under_tls,
        httponly=True,
        samesite="strict",
    )


@router.get("/session", response_model=SignedIn)
@needs(SIGNED_IN)
async def this_session(request: Request, who: Who) -> SignedIn:
    """Who is asking, and what his page sends along."""
    return SignedIn(user_id=who.name, from_here=from_here(cookie_of(request) or ""))


@router.get("/sessions", response_model=Sessions)
@needs(SIGNED_IN)
async def own_sessions(request: Request, who: Who, house: InHouse) -> Sessions:
    """One's own sessions that hold."""
    this = session_of(request)
    found = await house.reads.briefly(partial(sessions.of_user, user_id=who.name))
    return Sessions(
        sessions=[SessionRow(**each._asdict(), this_one=each.session_id == this) for each in found]
    )


@router.post("/session/end", response_model=Done)
@needs(SIGNED_IN)
async def sign_out(request: Request, response: Response, who: Who, house: InHouse) -> Done:
    """Sign out: the session ends, and the browser forgets it."""
    under_tls = house.settings.tls_in_front
    response.delete_cookie(
        cookie_name(under_tls), secure=under_tls, httponly=True, samesite="strict"
    )
    return await end_and_forget(house, who.name, session_of(request))


@router.post("/sessions/{session_id}/end", response_model=Done)
@needs(SIGNED_IN)
async def end_session(session_id: SessionPath, who: Who, house: InHouse) -> Done:
    """End one of one's own sessions, on a machine that was left behind."""
    return await end_and_forget(house, who.name, session_id)


@router.post(
    "/password",
    response_model=Done,
    responses=refuses("sign_in_refused", "too_many_requests", "busy"),
)
@needs(SIGNED_IN)
async def change_password(
    said: AnotherPassword, request: Request, response: Response, who: Who, house: InHouse
) -> Done:
    """Choose another password, by the one that one has. One's other sessions end.

    The log tells of it as of an invitation by oneself, which opens nothing, and one that was sent
    before holds no more."""
    response.headers.update(house.rates.spend(SIGN_IN, who.name))
    kept = await house.reads.briefly(partial(sessions.password_of, user_id=who.name))
    if not await house.passwords.fits(said.password, kept):
        raise DoorProblem("sign_in_refused")
    encoded = await house.passwords.encoded(said.new_password)
    role = who.grants[0].role_id if who.grants else "user"
    invite = InviteUser(
        key=f"password-{token_hex(16)}", actor=f"{role}:{who.name}", user_id=who.name, hours=1
    )
    await house.execute(invite)
    this = session_of(request)
    kept_one = partial(sessions.set_password, user_id=who.name, encoded=encoded, but=this)
    for session_id in await house.reads.briefly(kept_one):
        house.access.forget(("session", session_id))
    return Done(user_id=who.name)


async def end_and_forget(house: House, user_id: str, session_id: str) -> Done:
    """End a session of somebody, and know it no more."""
    await house.reads.briefly(partial(sessions.end, user_id=user_id, session_id=session_id))
    house.access.forget(("session", session_id))
    return Done(user_id=user_id)


def session_of(request: Request) -> str:
    """The id of the session in which it is asked."""
    return (sessions.parsed(cookie_of(request) or "") or ("", ""))[0]
