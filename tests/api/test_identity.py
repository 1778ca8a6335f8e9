"""Signing in at an identity provider: over HTTP, by one that runs beside; and who attacks it."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from api.http.pages.page import FIRST_PAGE
from api.http.server import identity, issuers
from api.http.server.access import FROM_HERE_HEADER, from_here
from api.http.server.identity import Attempt, Metadata, Provider, Refused
from api.http.server.issuers import user_of
from api.runtime.failures import CannotOpen
from api.runtime.settings import Settings
from ledger import sessions
from ledger.database import connect
from tests.api.provider import CLIENT_ID, SECRET, Running, running
from tests.api.running import asked
from tests.ledger.facts import command, executed

LEAVE, RETURN = "/sign-in/provider", identity.RETURN_PATH
COOKIE, ATTEMPT, ELSEWHERE = "clubledger", "clubledger_sign_in", "clubledger_elsewhere"
Browser = httpx.AsyncClient


@pytest.fixture(scope="module")
def provider() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture
def dsn(ledger_dsn: str) -> str:
    """A ledger with an auditor, `li`, without a password, and with who left, `gone`."""
    executed(
        ledger_dsn,
        command("user.add", user_id="li"),
        command("user.grant", user_id="li", role_id="auditor"),
        command("user.add", user_id="gone"),
        command("user.disable", user_id="gone"),
    )
    return ledger_dsn


def browsing(client: httpx.AsyncClient) -> Browser:
    """A browser of the same application, that asks for what it says."""
    return httpx.AsyncClient(transport=client._transport, base_url="http://here")


def told(
    dsn: str, provider: Running, story: Callable[[Browser], Awaitable[None]], **settings: Any
) -> None:
    """Tell a story to an application whose people sign in there."""

    async def tell() -> None:
        said = {
            "oidc_issuer": provider.address,
            "oidc_client_id": CLIENT_ID,
            "oidc_client_secret": SECRET,
            "public_address": "http://127.0.0.1:1",
            **settings,
        }
        async with asked(dsn, **said) as client, browsing(client) as browser:
            await story(browser)

    asyncio.run(tell())


async def led_back(browser: Browser, to: str = "/desk") -> str:
    """Leave for the provider, and be sent back: the address here."""
    left = await browser.get(LEAVE, params={"to": to})
    assert left.status_code == 303, left.text
    async with httpx.AsyncClient() as elsewhere:
        answer = await elsewhere.get(left.headers["location"])
    assert answer.status_code == 303, answer.text
    return str(answer.headers["location"]).removeprefix("http://127.0.0.1:1")


def code_of(answer: httpx.Response) -> str:
    """The code of the problem that a page tells of; nothing, if it tells of none."""
    return answer.text.partition('data-code="')[2].partition('"')[0]


def cookies_of(answer: httpx.Response) -> dict[str, str]:
    """What is set, by its name."""
    return {each.partition("=")[0]: each for each in answer.headers.get_list("set-cookie")}


def test_who_is_a_user_signs_in_and_gets_a_session_that_is_new(dsn: str, provider: Running) -> None:
    provider.tell()

    async def story(browser: Browser) -> None:
        assert (await browser.get("/v1/clubs")).status_code == 401, "nobody enters without"
        shown = await browser.get("/sign-in", params={"to": "/desk"})
        assert f'href="{LEAVE}?to=%2Fdesk"' in shown.text
        fixed = f"{'0' * 16}_{'0' * 64}"  # which an attacker has planted
        browser.cookies.set(COOKIE, fixed)
        back = await led_back(browser, "/desk/tea/d1")
        came = await browser.get(back)
        assert (came.status_code, code_of(came)) == (200, "")
        assert 'content="0; url=/desk/tea/d1"' in came.text
        assert came.headers["referrer-policy"] == "no-referrer"
        assert "no-store" in came.headers["cache-control"]
        set_here = cookies_of(came)
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(set_here[COOKIE].split("; "))
        assert fixed[:16] not in set_here[COOKIE]
        assert set_here[ATTEMPT].startswith(f'{ATTEMPT}="";')
        session = set_here[COOKIE].partition("=")[2].partition(";")[0]
        browser.cookies.clear()
        answer = await browser.get("/v1/session", headers={"Cookie": f"{COOKIE}={session}"})
        assert answer.json()["user_id"] == "li"
        refused = await browser.get("/v1/session", headers={"Cookie": f"{COOKIE}={fixed}"})
        assert refused.status_code == 401
        ours = {"Cookie": f"{COOKIE}={session}", FROM_HERE_HEADER: from_here(session)}
        ours |= {"Sec-Fetch-Site": "same-origin"}
        assert (await browser.post("/sign-out", headers=ours)).status_code == 200
        assert (await browser.get("/v1/session", headers=ours)).status_code == 401

    told(dsn, provider, story)


LIES: list[tuple[dict[str, Any], str]] = [
    ({"claims": {"sub": "nobody"}}, "not_a_user"),
    ({"claims": {"sub": "gone"}}, "not_a_user"),
    ({"claims": {"sub": "Li"}}, "not_a_user"),
    ({"claims": {"sub": "li:x"}}, "not_a_user"),
    ({"claims": {"sub": "-"}}, "not_a_user"),
    ({"claims": {"sub": ["li"]}}, "not_confirmed"),
    ({"claims": {"sub": None}}, "not_confirmed"),
    ({"claims": {"sub": "li", "nonce": "another"}}, "not_confirmed"),
    ({"claims": {"sub": "li", "nonce": None}}, "not_confirmed"),
    ({"claims": {"sub": "li", "aud": "another"}}, "not_confirmed"),
    ({"claims": {"sub": "li", "aud": None}}, "not_confirmed"),
    ({"claims": {"sub": "li", "aud": [CLIENT_ID, "another"]}}, "not_confirmed"),
    ({"claims": {"sub": "li", "azp": "another"}}, "not_confirmed"),
    ({"claims": {"sub": "li", "iss": "https://id.example"}}, "not_confirmed"),
    ({"claims": {"sub": "li", "exp": 1_000_000_000}}, "not_confirmed"),
    ({"claims": {"sub": "li", "exp": None}}, "not_confirmed"),
    ({"claims": {"sub": "li", "exp": "tomorrow"}}, "not_confirmed"),
    ({"claims": {"sub": "li", "iat": 9_000_000_000}}, "not_confirmed"),
    ({"claims": {"sub": "li", "auth_time": 1_000_000_000}}, "not_confirmed"),
    ({"alg": "none"}, "not_confirmed"),
    ({"alg": "HS256"}, "not_confirmed"),
    ({"key": "stranger"}, "not_confirmed"),
    ({"key": "k2"}, "not_confirmed"),
    ({"answer": {"state": "another"}}, "not_confirmed"),
    ({"answer": {"state": ""}}, "not_confirmed"),
    ({"answer": {"code": "another"}}, "not_confirmed"),
    ({"answer": {"code": ""}}, "not_confirmed"),
    ({"answer": {"error": "access_denied"}}, "not_confirmed"),
    ({"answer": {"iss": "https://id.example"}}, "not_confirmed"),
    ({"answer": {"iss": ""}}, "not_confirmed"),
]


def test_what_does_not_hold_signs_nobody_in(dsn: str, provider: Running) -> None:
    async def story(browser: Browser) -> None:
        for how, code in LIES:
            provider.tell(**how)
            came = await browser.get(await led_back(browser))
            assert (came.status_code, code_of(came)) == (403, code), how
            assert set(cookies_of(came)) == {ATTEMPT}, "the attempt has ended, and no session begun"

    told(dsn, provider, story)
    with connect(dsn) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone() == (0,)


def test_a_code_is_of_one_browser_and_opens_once(dsn: str, provider: Running) -> None:
    """However sloppy the provider is."""
    provider.tell(sloppy=True)

    async def story(browser: Browser) -> None:
        back = await led_back(browser)
        kept = str(browser.cookies[ATTEMPT])
        browser.cookies.clear()
        assert code_of(await browser.get(back)) == "not_confirmed", "another browser"
        begun, secret, to = kept.split(".")
        for forged in (
            f"{int(begun) + 1}.{secret}.{to}",
            f"{int(begun) - identity.ATTEMPT_S - 1}.{secret}.{to}",
            f"{begun}.{'0' * 64}.{to}",
            f"{begun}.{secret}.",
            f"{begun}.{secret}.____",
            f"{begun}.{secret}.A",
            "x",
            f"{kept}; {ATTEMPT}={kept}",
        ):
            answer = await browser.get(back, headers={"Cookie": f"{ATTEMPT}={forged}"})
            assert code_of(answer) == "not_confirmed", forged
        brought = {"Cookie": f"{ATTEMPT}={kept}"}
        came = await asyncio.gather(*(browser.get(back, headers=brought) for _ in range(2)))
        assert sorted(code_of(each) for each in came) == ["", "not_confirmed"]
        assert code_of(await browser.get(back, headers=brought)) == "not_confirmed"

    told(dsn, provider, story)
    with connect(dsn) as connection:
        assert len(sessions.of_user(connection, "li")) == 1


def test_what_browsers_bring_beside_is_passed_over_but_nothing_twice(
    dsn: str, provider: Running
) -> None:
    provider.tell()

    async def story(browser: Browser) -> None:
        back = await led_back(browser)
        assert code_of(await browser.get(f"{back}&code=x")) == "not_confirmed"
        back = await led_back(browser)
        assert code_of(await browser.get(f"{back}&session_state=x&hd=y")) == ""
        assert (await browser.get(f"{LEAVE}?prompt=none")).status_code == 422

    told(dsn, provider, story)


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_who_signs_in_is_led_to_pages_of_ours_alone(dsn: str, provider: Running, to: str) -> None:
    provider.tell()

    async def story(browser: Browser) -> None:
        came = await browser.get(await led_back(browser, to))
        assert f'url={FIRST_PAGE}"' in came.text
        assert "evil" not in came.text
        elsewhere = {"Sec-Fetch-Site": "cross-site"}
        left = await browser.get(LEAVE, headers=elsewhere)
        assert code_of(left) == "not_from_here", "no other site begins an attempt"

    told(dsn, provider, story)


@pytest.mark.parametrize("offered", ["/end", "/end?realm=a", None, "file:///etc/passwd"])
def test_who_signs_out_does_so_at_the_provider_as_well_if_it_was_there(
    dsn: str, provider: Running, offered: str | None
) -> None:
    """Where it offers that; a session that began by a password ends here alone."""
    ends = provider.address + offered if offered and offered[0] == "/" else offered
    provider.tell(metadata={"end_session_endpoint": ends} if ends else {})

    async def left(browser: Browser) -> str:
        ours = {FROM_HERE_HEADER: from_here(str(browser.cookies[COOKIE]))}
        answer = await browser.post("/sign-out", headers={**ours, "Sec-Fetch-Site": "same-origin"})
        assert (await browser.get("/v1/session")).status_code == 401
        return str(answer.headers["hx-redirect"])

    async def story(browser: Browser) -> None:
        if ends == offered and ends is not None:
            answer = await browser.get(LEAVE)
            assert code_of(answer) == "provider_away", "nobody is sent where it is not safe"
            return
        await browser.get(await led_back(browser))
        kept = str(browser.cookies[ELSEWHERE])
        to = await left(browser)
        assert ELSEWHERE not in browser.cookies
        if ends is None:
            assert to == "/sign-in"
        else:
            said = dict(parse_qsl(urlsplit(to).query))
            assert to.startswith(ends)
            assert said.pop("realm", None) == ("a" if "realm" in ends else None)
            assert said == {
                "client_id": CLIENT_ID,
                "post_logout_redirect_uri": "http://127.0.0.1:1/sign-in",
            }
        with connect(dsn) as connection:
            browser.cookies.set(COOKIE, sessions.begin(connection, "li"))
        browser.cookies.set(ELSEWHERE, kept)  # of the session before
        assert await left(browser) == "/sign-in"

    told(dsn, provider, story)


def test_whom_no_id_here_can_be_called_is_known_by_a_digest(dsn: str, provider: Running) -> None:
    """And whoever calls himself as one of these is another."""
    subject = "auth0|" + "x" * 249
    hashed = user_of(provider.address, subject)
    assert hashed is not None
    executed(
        dsn,
        command("user.add", user_id=hashed),
        command("user.grant", user_id=hashed, role_id="auditor"),
    )

    async def story(browser: Browser) -> None:
        for sub, code in ((subject, ""), (hashed, "not_a_user"), (subject + "x", "not_a_user")):
            provider.tell(claims={"sub": sub})
            came = await browser.get(await led_back(browser))
            assert code_of(came) == code, sub
        provider.tell(claims={"sub": "Li"})
        came = await browser.get(await led_back(browser))
        assert str(user_of(provider.address, "Li")) in came.text, "an administrator asks for it"

    told(dsn, provider, story)
    assert user_of("https://id.example", subject) != hashed, "another's is another"
    assert [user_of("", each) for each in ("li", "", None, 1, "x" * 256)] == ["li", *[None] * 4]
    assert len({user_of("", each) for each in ("Li", "li ", "lI", "s-" + "0" * 30)}) == 4


def test_the_provider_may_change_its_keys(
    dsn: str, provider: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "SOONER_S", 0.0)
    provider.tell()

    async def story(browser: Browser) -> None:
        assert code_of(await browser.get(await led_back(browser))) == ""
        provider.tell(key="k2", published=["k1", "k2"])
        assert code_of(await browser.get(await led_back(browser))) == ""
        provider.tell(key="k1", published=["k2"])
        assert code_of(await browser.get(await led_back(browser))) == "", "known for a while"
        monkeypatch.setattr(identity, "READ_AGAIN_S", 0.0)
        assert code_of(await browser.get(await led_back(browser))) == "not_confirmed"

    told(dsn, provider, story)


def test_under_tls_the_attempt_is_of_this_host_alone(dsn: str, provider: Running) -> None:
    provider.tell()

    async def story(browser: Browser) -> None:
        said = cookies_of(await browser.get(LEAVE))[f"__Host-{ATTEMPT}"].split("; ")
        assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= set(said)
        assert not [each for each in said if each.startswith("Domain")]

    told(dsn, provider, story, tls_in_front=True)


def test_a_provider_that_is_away_or_calls_itself_otherwise_is_told_of(
    dsn: str, provider: Running
) -> None:
    async def story(browser: Browser) -> None:
        answer = await browser.get(LEAVE)
        assert (answer.status_code, code_of(answer)) == (503, "provider_away")
        again = await browser.get(LEAVE)
        assert code_of(again) == "provider_away"

    provider.tell(metadata={"issuer": "https://id.example"})
    told(dsn, provider, story)
    assert provider.asked().count(identity.DISCOVERY_PATH) == 1, "it is not asked again at once"
    told(dsn, provider, story, oidc_issuer="http://127.0.0.1:9")


def test_without_a_provider_nothing_is_offered(ledger_dsn: str) -> None:
    async def story() -> None:
        async with asked(ledger_dsn) as client, browsing(client) as browser:
            assert LEAVE not in (await browser.get("/sign-in")).text
            for path in (LEAVE, RETURN):
                assert (await browser.get(path)).status_code == 404

    asyncio.run(story())


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"oidc_client_id": None}, "CLUBLEDGER_OIDC_CLIENT_ID"),
        ({"public_address": None}, "CLUBLEDGER_PUBLIC_ADDRESS"),
        ({"oidc_issuer": "http://id.example"}, "https"),
        ({"public_address": "http://clubs.example"}, "https"),
        ({"oidc_client_secret_file": "/nowhere/secret"}, "cannot be read"),
    ],
)
def test_settings_that_are_half_said_are_refused(more: dict[str, Any], why: str) -> None:
    said: dict[str, Any] = {"oidc_issuer": "https://id.example", "oidc_client_id": CLIENT_ID}
    said |= {"public_address": "https://clubs.example"}
    assert Provider.of(Settings(**said)) is not None
    with pytest.raises(CannotOpen, match=why):
        Provider.of(Settings(**{**said, **more}))


@pytest.mark.parametrize(
    "more",
    [
        {"token_endpoint": "http://id.example/token"},
        {"jwks_uri": "http://127.0.0.1/keys"},
        {"jwks_uri": "/etc/passwd"},
        {"jwks_uri": "file:///etc/passwd"},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"issuer": "https://id.example/"},
        {"token_endpoint": None},
    ],
)
def test_a_provider_sends_nobody_where_it_is_not_safe(more: dict[str, Any]) -> None:
    here = "https://id.example"
    said = {
        "issuer": here,
        "authorization_endpoint": f"{here}/authorize",
        "token_endpoint": f"{here}/token",
        "jwks_uri": f"{here}/keys",
    }
    assert Metadata.of(json.dumps(said).encode(), here).token == f"{here}/token"
    with pytest.raises(issuers.UNREADABLE):
        Metadata.of(json.dumps({**said, **more}).encode(), here)


def test_what_the_provider_learns_of_an_attempt_tells_no_other_part_of_it() -> None:
    one, other = Attempt.begin("/desk"), Attempt.begin("/desk")
    parts = [each for a in (one, other) for each in (a.state, a.nonce, a.verifier)]
    assert len(set(parts)) == 6
    assert all(len(each) == 43 for each in parts)
    assert Attempt.of(one.cookie) == one
    assert Attempt.of(Attempt.begin("/x" * 1000).cookie).to == ""
    with pytest.raises(Refused):
        Attempt.of(f"{one.cookie}!")
