"""Signing in at the pages: by an invitation, with a password, at an identity provider."""

import re
import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from api.runtime.clock import Clock
from ledger import credentials
from ledger.database import connect
from tests.api.provider import CLIENT_ID, SECRET, Running
from tests.api.provider import running as providing
from tests.api.running import serving, stopped
from tests.ledger.facts import command
from tests.pages.conftest import Claimed, Visitor

DESK = "/desk/tea/d1"


def test_who_is_invited_chooses_a_password_and_later_another(
    visitor: Visitor, claimed: Claimed
) -> None:
    page = visitor.page
    user_id = f"new-{page.evaluate('navigator.language').lower()}"
    claimed.told(
        command("user.add", user_id=user_id),
        command("user.grant", user_id=user_id, role_id="clerk", clubs=("tea",)),
        command("user.invite", user_id=user_id, at=Clock().now()),
    )
    with connect(claimed.dsn) as connection:
        link = credentials.mint(connection, f"user:{user_id}", 1)
    page.goto(f"{claimed.address}/invitations/take#{link}")
    assert "#" not in page.url, "the secret is out of the address"
    visitor.accessible()
    expect(page.locator("[name=user_id]")).to_have_value(user_id)
    expect(page.locator("[name=password]")).to_be_focused()
    page.keyboard.type("correct horse battery")
    expect(page.locator("[name=password]")).to_have_attribute("type", "password")
    page.locator("[data-reveal]").check()
    expect(page.locator("[name=password]")).to_have_attribute("type", "text")
    page.locator("[name=password]").press("Enter")
    expect(page).to_have_url(re.compile("/desk$"))
    page.locator("a[href='/sign-in/password']").click()
    visitor.accessible()
    page.locator("[name=password]").fill("not the one it is")
    page.locator("[name=new_password]").fill("staple of batteries")
    page.keyboard.press("Enter")
    expect(page.locator("#problem [data-code=sign_in_refused]")).to_be_visible()
    page.locator("[name=password]").fill("correct horse battery")
    page.locator("[name=new_password]").fill("staple of batteries")
    page.keyboard.press("Enter")
    expect(page.locator("#chosen")).not_to_be_empty()
    visitor.accessible()


@pytest.fixture(scope="module")
def provider() -> Iterator[Running]:
    with providing() as found:
        yield found


@pytest.fixture(scope="module")
def elsewhere(claimed: Claimed, provider: Running) -> Iterator[str]:
    """Another server of the same ledger, whose people sign in at the provider."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    said = {"OIDC_ISSUER": provider.address, "OIDC_CLIENT_ID": CLIENT_ID}
    said |= {"OIDC_CLIENT_SECRET": SECRET, "PUBLIC_ADDRESS": address}
    environ = {f"CLUBLEDGER_{name}": value for name, value in said.items()}
    running = serving(claimed.path, "--port", str(port), environ=environ)
    yield running.address
    assert stopped(running).code == 0


def test_who_signs_in_at_the_provider_comes_back_to_his_desk(
    visitor: Visitor, elsewhere: str, provider: Running
) -> None:
    page = visitor.page
    provider.tell(claims={"sub": "nobody"})
    page.goto(elsewhere + DESK)
    visitor.accessible()
    page.locator("a[href^='/sign-in/provider']").click()
    expect(page.locator("[data-code=not_a_user]")).to_be_visible()
    visitor.accessible()
    visitor.wrong.clear()  # a browser tells of a status of 403
    provider.tell()
    page.goto(elsewhere + DESK)
    page.locator("a[href^='/sign-in/provider']").click()
    expect(page).to_have_url(re.compile(f"{DESK}$"))
    expect(page.locator("a[href='/sign-in/password']")).to_have_text("li")
    page.locator("form[hx-post='/sign-out'] button").click()
    expect(page).to_have_url(re.compile("/sign-in"))
