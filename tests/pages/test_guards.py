"""What pages refuse, and what they never do, whoever asks."""

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api.http.pages import (
    administration,
    audit,
    audit_lists,
    audit_work,
    binding_bulletin,
    campaigns,
    desk,
    enrolment_file,
    entering,
    figures,
    files,
    measures,
    not_enrolled,
    page,
    reports,
    signing,
    supposing,
    words,
)
from api.http.pages.page import AUDIT, FIGURES
from api.http.server.access import need_of
from api.runtime.clock import Clock
from domain.kernel.values import local_date
from tests.addresses import Patient
from tests.pages.conftest import SHARED, Claimed, House, customer
from tests.patience import PATIENCE_S

DESK = "/desk/tea/d1"
CONSOLES = (
    *(
        page,
        signing,
        desk,
        campaigns,
        enrolment_file,
        not_enrolled,
        binding_bulletin,
        administration,
    ),
    *(figures, measures, reports, entering, files),
    *(audit, audit_lists, audit_work, supposing),
)
NAMED = {
    "club_id": "tea", "desk": "d1", "name": "club.open", "user_id": "li", "session_id": "0" * 16,
    "campaign_id": "any", "job_id": "0" * 16,
}  # fmt: skip
OWN = {"Sec-Fetch-Site": "same-origin", "HX-Request": "true"}


@pytest.fixture
def pages(house: House) -> Iterator[httpx.Client]:
    """A client of the branch's server, whose first customer has 500 points."""
    if house.ask("/members/c1").get("code") == "unknown_member":
        house.tell(*customer("c1", 500, name="<b>李</b>", phone="13912345678"))
    house.settle()
    with Patient(base_url=house.address, timeout=PATIENCE_S) as client:
        yield client


def visit(**said: str) -> dict[str, str]:
    """A form of the card."""
    return {
        "member_id": "c1", "service_id": "cup", "companions": "0", "payment": "points",
        "shown_points": "200", "key": "desk-1", **said,
    }  # fmt: skip


def code_of(answer: httpx.Response) -> str:
    """The code that a page tells of."""
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'self';")
    return answer.text.partition('data-code="')[2].partition('"')[0]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1"},
        {"Origin": "http://127.0.0.1.evil"},
        {"Origin": "null"},
    ],
)
def test_a_form_of_another_site_writes_nothing(
    pages: httpx.Client, headers: dict[str, str]
) -> None:
    forms = [
        (f"{DESK}/visits", visit()),
        (f"{DESK}/undo", {"member_id": "c1", "visit": "1", "key": "k", "reason": "r"}),
        (f"{DESK}/emergency", {"key": "k", "reason": "r"}),
        (f"{DESK}/emergency/end", {"key": "k"}),
        (f"{DESK}/admissions", {"key": "k", "category": "other"}),
        (f"{DESK}/admissions/undo", {"key": "k", "admission": "1", "reason": "r"}),
        (f"{DESK}/card", {"said": "c1"}),
        ("/desk", {"club_id": "tea", "desk": "d1"}),
        ("/preferences", {"language": "en"}),
        ("/sign-in", {"user_id": "li", "password": "correct horse battery"}),
        ("/sign-out", {}),
        ("/sign-in/password", {"password": "old", "new_password": "correct horse battery"}),
        ("/invitations/choose", {"user_id": "li", "password": "correct horse battery"}),
        ("/administration/commands/club.open/try", {"key": "k", "club_id": "x"}),
        ("/administration/commands/club.open/do", {"key": "k", "club_id": "x"}),
        (f"{campaigns.BASE}/any/customer", {"said": "c1"}),
        (
            f"{campaigns.BASE}/any/enrolments",
            {"member_id": "c1", "prepaid_fen": "0", "shown_terms_version": "1", "key": "k"},
        ),
        (f"{campaigns.BASE}/any/corrections", {"member_id": "c1", "key": "k", "reason": "r"}),
        (f"{campaigns.BASE}/any/file/check", {"lines": "c1"}),
        (f"{campaigns.BASE}/any/file/enrolments", {"lines": "c1"}),
        (f"{FIGURES}/enter/try", {"content": "x", "key": "k"}),
        (f"{FIGURES}/enter/do", {"content": "x", "key": "k"}),
        (f"{AUDIT}/members", {"said": "c1"}),
        (f"{AUDIT}/jobs", {"key": "k", "asked": "{}"}),
        (f"{AUDIT}/what-if/try", {"key": "k", "add": "tier_rule"}),
        (f"{AUDIT}/what-if", {"key": "k"}),
        (f"{files.BASE}/parts", {"content": "x"}),
        (f"{files.BASE}/jobs", {"step": "guess", "file": f"{'0' * 16} x.csv"}),
        (f"{files.BASE}/jobs/{'0' * 16}/cancel", {}),
    ]
    before = (pages.get("/v1/status")).json()["events"]
    for path, form in forms:
        answer = pages.post(path, data=form, headers=headers)
        assert (answer.status_code, code_of(answer)) == (403, "not_from_here"), path
    assert (pages.get("/v1/status")).json()["events"] == before


def test_every_page_says_what_it_needs_and_every_form_is_guarded(pages: httpx.Client) -> None:
    routes = [route for each in CONSOLES for route in each.router.routes]
    assert all(need_of(getattr(route, "endpoint", None)) is not None for route in routes)
    posts = [route.path for route in routes if "POST" in getattr(route, "methods", ())]
    assert len(posts) == 30, "the test above names all but those of administrators"
    for path in posts:
        answer = pages.post(path.format(**NAMED), content=b"")
        assert answer.status_code == 403, path


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"\xff\xfe", "malformed"),
        (b"a" * 50, "malformed"),
        (b"&".join(b"a=1" for _ in range(100)), "malformed"),
        (b"", "invalid"),
        (b"said=", "invalid"),
        (b"said=c1&said2=x", "invalid"),
        (b"said=c1&companions=99", "invalid"),
        (b"said=" + b"x" * 101, "invalid"),
        (b"said=%00", "unknown_member"),
        (b"said=%ED%A0%80", "unknown_member"),
        (b"said='%3B--", "unknown_member"),
    ],
)
def test_a_scan_of_anything_is_told_in_place(pages: httpx.Client, body: bytes, code: str) -> None:
    answer = pages.post(f"{DESK}/card", content=body, headers=OWN)
    assert (answer.status_code, code_of(answer)) == (200, code)
    assert answer.headers["hx-retarget"] == "#problem"


@pytest.mark.parametrize("deep", ["[" * 19_000, "{a=" * 8_000, "[[a." + "a." * 9_000, '"' * 9_000])
def test_a_form_that_holds_what_is_deep_is_told_in_place(pages: httpx.Client, deep: str) -> None:
    """Reports, mappings and scenarios are read from texts of forms."""
    forms = {
        f"{FIGURES}/enter/try": {"content": f"a = {deep}", "key": "deep"},
        f"{files.BASE}/jobs": {"step": "check", "file": f"{'0' * 16} x.csv", "mapping": deep},
        "/administration/commands/role.define/try": {"key": "deep", "role_id": "x", "scopes": deep},
    }
    for path, form in forms.items():
        answer = pages.post(path, data=form, headers=OWN)
        assert answer.status_code == 200, path
        assert 'data-code="internal"' not in answer.text, path


def test_the_same_visit_twice_is_paid_for_once_and_another_price_is_refused(
    pages: httpx.Client,
) -> None:
    first = pages.post(f"{DESK}/visits", data=visit(), headers=OWN)
    again = pages.post(f"{DESK}/visits", data=visit(), headers=OWN)
    assert "500 → 300" in first.text
    assert "500 → 300" in again.text
    wrong = visit(key="desk-2", shown_points="1", confirm_repeat="true")
    answer = pages.post(f"{DESK}/visits", data=wrong, headers=OWN)
    assert code_of(answer) == "price_changed"


def test_what_people_are_called_is_text_and_a_number_shows_its_ends_alone(
    pages: httpx.Client,
) -> None:
    by_phone = pages.post(f"{DESK}/card", data={"said": "139 1234 5678"}, headers=OWN)
    assert "&lt;b&gt;李&lt;/b&gt;" in by_phone.text
    assert "<b>李" not in by_phone.text
    assert "139****5678" in by_phone.text
    assert "12345678" not in by_phone.text


def test_a_page_that_is_not_there_is_a_page(pages: httpx.Client) -> None:
    for path, code in [("/desk/nowhere/d1", "unknown_club"), ("/desk/tea/%20", "invalid")]:
        answer = pages.get(path)
        assert answer.status_code >= 400
        assert code_of(answer) == code
    assert (pages.get(f"{DESK}?x=1")).status_code == 422


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.parametrize(
    "path", ["/no-such-page", "/v1/nothing", "/v1/members/nobody", "/v1/clubs/x/"]
)
def test_whoever_looks_in_a_browser_is_told_in_a_page_with_a_way_home_and_a_program_as_ever(
    pages: httpx.Client, claimed: Claimed, path: str
) -> None:
    chinese = pages.get(path, headers={"Accept": BROWSER, "Accept-Language": "zh-CN"})
    english = pages.get(path, headers={"Accept": BROWSER, "Accept-Language": "en"})
    for each, said in ((chinese, "不能办理"), (english, "Not possible")):
        assert each.status_code == 404
        assert said in each.text
        assert 'href="/start"' in each.text
        assert each.headers["content-security-policy"] == page.POLICY
    for accept in ("*/*", "application/json", "application/json, text/html;q=0.5", ""):
        plain = pages.get(path, headers={"Accept": accept})
        assert (plain.status_code, plain.headers["content-type"]) == (
            404,
            "application/problem+json",
        )
    outside = httpx.get(f"{claimed.address}/no-such-page", headers={"Accept": BROWSER})
    assert 'href="/administration"' not in outside.text, "who is nobody is offered nothing"
    sign_in = httpx.get(f"{claimed.address}/v1/clubs", headers={"Accept": BROWSER})
    assert sign_in.headers["location"].startswith("/sign-in")


def test_an_asset_never_changes_at_its_address_and_nothing_else_is_served(
    pages: httpx.Client,
) -> None:
    for name in page.assets():
        answer = pages.get(page.address(name))
        assert answer.content == page.assets()[name]
        assert answer.headers.get_list("cache-control") == [page.FOR_EVER]
    digest = page.address("style.css").split("/")[2]
    for path in ("style.css/style.css", f"{digest}/words.py", f"{digest}/..%2Fpage.py"):
        assert (pages.get(f"/static/{path}")).status_code == 404


@pytest.mark.parametrize("here", ["//evil.example", "https://evil.example", "/\\evil.example"])
def test_a_preference_leads_nowhere_else(pages: httpx.Client, here: str) -> None:
    form = {"language": "en", "theme": "dark", "here": here}
    answer = pages.post("/preferences", data=form, headers=OWN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/start")
    assert (pages.get("/desk")).text.count('lang="en"') == 1
    begin = pages.get("/", headers={"accept": "text/html,*/*"})
    assert (begin.status_code, begin.headers["location"]) == (303, "/start")
    assert pages.get("/start").headers["location"] == "/desk"
    assert pages.get("/").json()["name"] == "clubledger"
    odd = pages.post("/preferences", data={"theme": "<x>"}, headers=OWN)
    assert "set-cookie" not in odd.headers


def test_pages_are_light_and_no_part_of_the_api(pages: httpx.Client) -> None:
    document: dict[str, Any] = (pages.get("/openapi.json")).json()
    assert not [
        path for path in document["paths"] if path.startswith(("/desk", "/static", FIGURES))
    ]
    answer = pages.get(DESK)
    weight = len(answer.content) + sum(map(len, page.assets().values()))
    assert weight < 100_000
    assert "no-store" in answer.headers["cache-control"]
    refused = pages.put(f"{DESK}/today")
    assert (refused.status_code, refused.headers["allow"]) == (405, "GET, HEAD")


def test_who_is_not_signed_in_is_led_to_the_page_or_told_in_place(claimed: Claimed) -> None:
    with Patient(base_url=claimed.address, timeout=PATIENCE_S) as client:
        whole = client.get(DESK)
        assert (whole.status_code, whole.headers["location"]) == (
            303,
            "/sign-in?to=%2Fdesk%2Ftea%2Fd1",
        )
        part = client.get(f"{DESK}/today", headers=OWN)
        assert (part.status_code, code_of(part)) == (200, "not_signed_in")
        assert part.headers["hx-retarget"] == "#problem"
        sent = client.post(f"{DESK}/card", data={"said": "b-rich"}, headers=OWN)
        assert (sent.status_code, code_of(sent)) == (200, "not_signed_in")


def test_of_several_with_one_number_only_ones_own_are_shown_and_offered(claimed: Claimed) -> None:
    headers = {**OWN, "Authorization": f"Bearer {claimed.key_of_west}"}
    with Patient(base_url=claimed.address, headers=headers, timeout=PATIENCE_S) as client:
        shown = client.post(f"{DESK}/card", data={"said": SHARED["phone"]})
        assert 'data-member="b-rich"' in shown.text
        assert "a-poor" not in shown.text
        assert 'name="shown_points" value="200"' in shown.text, "what he can pay, not the other"
        other = client.post(f"{DESK}/card", data={"said": "a-poor"})
        assert code_of(other) == "unknown_member"


def test_a_desk_offers_no_undo_that_would_be_refused(pages: httpx.Client, house: House) -> None:
    now = Clock().now()
    members = {"undo-old": now - timedelta(minutes=16), "undo-new": now - timedelta(minutes=5)}
    opened = (now - timedelta(days=1)).isoformat()
    facts: list[dict[str, object]] = [
        {"command": "club.open", "club_id": "undoing", "title": "候车室", "opens_on": "2020-01-01",
         "tiers": ["gold"], "at": opened},
        {"command": "service.price", "club_id": "undoing", "service_id": "cup", "title": "清茶",
         "points": 200, "at": opened},
    ]  # fmt: skip
    for member_id, at in members.items():
        facts += [{**each, "at": at.isoformat()} for each in customer(member_id, 900)]
        facts.append({"command": "visit.record", "at": at.isoformat(), "member_id": member_id,
                      "club_id": "undoing", "service_id": "cup", "desk": "d1"})  # fmt: skip
    here = {"club_id": "undoing", "desk": "d1", "category": "other"}
    facts.append({"command": "emergency.declare", "at": opened, "club_id": "undoing",
                  "reason": "snow"})  # fmt: skip
    facts += [
        {"command": "visit.admit_in_emergency", "at": at.isoformat(), **here}
        for at in members.values()
    ]
    house.tell(*facts)
    house.settle()
    shown = pages.get("/desk/undoing/d1/today", headers=OWN).text
    assert 'name="member_id" value="undo-old"' not in shown
    assert 'name="admission" value="1"' not in shown
    until = members["undo-new"] + timedelta(minutes=15)
    if local_date(members["undo-new"]) == local_date(until):  # else it was yesterday, or will be
        assert 'name="member_id" value="undo-new"' in shown
        assert 'name="admission" value="2"' in shown
        assert shown.count(words.moment(until)[11:]) >= 2
        left = re.findall(r'data-left-s="(\d+)"', shown)
        assert [int(each) <= 600 for each in left] == [True, True]
    asked = {"member_id": "undo-old", "visit": "1", "key": "undo-old-1", "reason": "r"}
    refused = pages.post("/desk/undoing/d1/undo", data=asked, headers=OWN)
    assert code_of(refused) == "undo_needs_supervisor"
    old = {"admission": "1", "key": "undo-old-2", "reason": "r"}
    refused = pages.post("/desk/undoing/d1/admissions/undo", data=old, headers=OWN)
    assert code_of(refused) == "undo_needs_supervisor"
