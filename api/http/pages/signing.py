"""Signing in and out, at the pages: the session that the doors know, as they make it."""

from functools import partial
from typing import Literal, TypeAlias

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from api.http import sessions
from api.http.pages.page import (
    FIRST_PAGE,
    SIGN_IN,
    Fields,
    form,
    in_place,
    next_page,
    own_path,
    page,
    router_of_pages,
)
from api.http.server import identity
from api.http.server.access import (
    ATTEMPT,
    ELSEWHERE,
    PUBLIC,
    SIGNED_IN,
    Who,
    cookie_name,
    cookie_of,
    needs,
    require_our_site,
)
from api.http.server.identity import Provider
from api.http.server.inputs import House, InHouse, takes_any_query
from api.http.server.passwords import NewPassword, Password
from api.runtime import problems
from api.runtime.problems import DoorProblem
from domain.access import HolderId
from ledger.sessions import begin, first_use, principals

router = router_of_pages()
PASSWORD = "/sign-in/password"
SameSite: TypeAlias = Literal["lax", "strict"]


class SigningIn(Fields):
    """Who somebody is, what only he knows, and where he was going."""

    user_id: HolderId
    password: Password
    to: str = FIRST_PAGE


class SigningOut(Fields):
    """Nothing more."""


class Choosing(Fields):
    """An invitation, and the password of whom it invites."""

    invitation: sessions.Invitation
    user_id: HolderId
    password: NewPassword


class Changing(Fields):
    """The password that one has, and the one that one wants."""

    password: Password
    new_password: NewPassword


@router.get(SIGN_IN)
@needs(PUBLIC)
async def sign_in_page(request: Request, house: InHouse, to: str = FIRST_PAGE) -> Response:
    """Where a name and a password are asked for, or the way to who knows them is shown."""
    name = None if house.provider is None else house.provider.name
    return page(request, "sign_in.html", to=own_path(to), provider=name)


@router.post(SIGN_IN)
@needs(PUBLIC)
async def sign_in(request: Request, house: InHouse) -> Response:
    """Sign in, and go where one was going."""
    asked = await form(request, SigningIn)
    answer = next_page(own_path(asked.to))
    said = sessions.SignIn(user_id=asked.user_id, password=asked.password)
    await sessions.sign_in(said, request, answer, house)
    return answer


@router.post("/sign-out")
@needs(SIGNED_IN)
async def sign_out(request: Request, who: Who, house: InHouse) -> Response:
    """Sign out: at the identity provider as well, if that is where he signed in."""
    await form(request, SigningOut)
    here = sessions.session_of(request)
    there = None
    if house.provider is not None and cookie_of(request, ELSEWHERE) == here:
        there = await house.provider.end(SIGN_IN)
    answer = next_page(there or SIGN_IN)
    await sessions.sign_out(request, answer, who, house)
    _forget(answer, house, ELSEWHERE, "strict")
    return answer


# ------------------------------------------------------------------------------ passwords
@router.get(sessions.INVITED_PATH)
@needs(PUBLIC)
async def invitation_page(request: Request) -> Response:
    """The page that a link of an invitation opens: there a person chooses a password. The secret
    stands behind the `#`, which no browser sends, so it is in no log; the page takes it out of the
    address."""
    return page(request, "invited.html")


@router.post("/invitations/choose")
@needs(PUBLIC)
async def choose_password(request: Request, house: InHouse) -> Response:
    """Take an invitation, and be signed in: who has just chosen the password knows it."""
    asked = await form(request, Choosing)
    said = sessions.TakenInvitation(**asked.model_dump())
    await sessions.take_invitation(said, request, house)
    cookie = await house.reads.briefly(partial(begin, user_id=asked.user_id))
    answer = next_page(FIRST_PAGE)
    sessions.hand_over(answer, cookie, house.settings.tls_in_front)
    return answer


@router.get(PASSWORD)
@needs(SIGNED_IN)
async def password_page(request: Request) -> Response:
    """Where another password is chosen, by the one that one has."""
    return page(request, "password.html")


@router.post(PASSWORD)
@needs(SIGNED_IN)
async def change_password(request: Request, who: Who, house: InHouse) -> Response:
    """Choose another password; one's other sessions end."""
    asked = await form(request, Changing)
    said = sessions.AnotherPassword(**asked.model_dump())
    await sessions.change_password(said, request, Response(), who, house)
    return page(request, "_changed.html")


# -------------------------------------------------------------------- at an identity provider
@router.get("/sign-in/provider")
@needs(PUBLIC)
async def leave(request: Request, house: InHouse, to: str = FIRST_PAGE) -> Response:
    """Send the browser to the identity provider, with an attempt of its own."""
    require_our_site(request)
    address, attempt = await _provider(house).begin(own_path(to))
    answer = RedirectResponse(address, 303)
    under_tls = house.settings.tls_in_front
    # Lax: who comes back comes from another site.
    answer.set_cookie(
        cookie_name(under_tls, ATTEMPT), attempt, identity.ATTEMPT_S,
        secure=under_tls, httponly=True, samesite="lax",
    )  # fmt: skip
    return answer


@router.get(identity.RETURN_PATH)
@needs(PUBLIC)
@takes_any_query
async def come_back(request: Request, house: InHouse) -> Response:
    """Sign in whom the identity provider names. The attempt ends here, however it ends.

    The session's cookie is not sent along by a browser that comes from another site: so this is a
    page of ours, which leads on."""
    try:
        answer = await _signed_in(request, house)
    except DoorProblem as problem:
        answer = in_place(request, problems.document(problem.code, **(problem.more or {})))
    _forget(answer, house, ATTEMPT, "lax")
    return answer


async def _signed_in(request: Request, house: House) -> Response:
    brought = cookie_of(request, ATTEMPT)
    user_id, attempt = await _provider(house).finish(brought, request.url.query)
    if not await house.reads.briefly(partial(principals, user_ids=[user_id])):
        raise DoorProblem("not_a_user", more={"user_id": user_id})
    if not await house.reads.briefly(partial(first_use, attempt=attempt.digest)):
        raise DoorProblem("not_confirmed")
    cookie = await house.reads.briefly(partial(begin, user_id=user_id))
    answer = page(request, "signed_in.html", to=own_path(attempt.to))
    sessions.hand_over(answer, cookie, house.settings.tls_in_front)
    session_id = cookie.partition("_")[0]
    sessions.hand_over(answer, session_id, house.settings.tls_in_front, ELSEWHERE)
    return answer


def _forget(answer: Response, house: House, name: str, samesite: SameSite) -> None:
    under_tls = house.settings.tls_in_front
    answer.delete_cookie(
        cookie_name(under_tls, name), secure=under_tls, httponly=True, samesite=samesite
    )


def _provider(house: House) -> Provider:
    if house.provider is None:
        raise DoorProblem("not_found")
    return house.provider
