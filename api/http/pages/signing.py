"""Signing in and out, at the pages: the session that the doors know, as they make it."""

from fastapi import Request, Response
from fastapi.responses import HTMLResponse

from api.http import sessions
from api.http.pages.page import (
    FIRST_PAGE,
    SIGN_IN,
    Fields,
    form,
    next_page,
    own_path,
    page,
    router_of_pages,
)
from api.http.server import page as invitation
from api.http.server.access import PUBLIC, SIGNED_IN, Who, needs
from api.http.server.inputs import InHouse
from api.http.server.passwords import Password
from domain.access import HolderId

router = router_of_pages()


class SigningIn(Fields):
    """Who somebody is, what only he knows, and where he was going."""

    user_id: HolderId
    password: Password
    to: str = FIRST_PAGE


class SigningOut(Fields):
    """Nothing more."""


@router.get(SIGN_IN)
@needs(PUBLIC)
async def sign_in_page(request: Request, to: str = FIRST_PAGE) -> Response:
    """Where a name and a password are asked for."""
    return page(request, "sign_in.html", to=own_path(to))


@router.post(SIGN_IN)
@needs(PUBLIC)
async def sign_in(request: Request, house: InHouse) -> Response:
    """Sign in, and go where one was going."""
    asked = await form(request, SigningIn)
    answer = next_page(own_path(asked.to))
    said = sessions.SignIn(user_id=asked.user_id, password=asked.password)
    await sessions.sign_in(said, request, answer, house)
    return answer


@router.get(invitation.INVITED_PATH)
@needs(PUBLIC)
async def invitation_page() -> Response:
    """The page that a link of an invitation opens: there a person chooses a password."""
    return HTMLResponse(invitation.PAGE, headers=invitation.HEADERS)


@router.post("/sign-out")
@needs(SIGNED_IN)
async def sign_out(request: Request, who: Who, house: InHouse) -> Response:
    """Sign out."""
    await form(request, SigningOut)
    answer = next_page(SIGN_IN)
    await sessions.sign_out(request, answer, who, house)
    return answer
