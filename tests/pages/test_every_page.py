"""Every page that there is, looked at as a browser shows it: what answers with one and is forgotten
here is noticed."""

from collections.abc import Callable

import pytest
from fastapi.routing import iter_route_contexts
from playwright.sync_api import Browser, Response

from api.http import create_app
from api.http.pages.page import CONSOLES, FIGURES, PageRoute
from api.runtime.settings import Settings
from tests.pages.conftest import SIZES, WEIGHT, Claimed, Visitor, watched
from tests.patience import PATIENCE_S

MOST_BYTES = 100_000
NAMED = {
    "club_id": "tea", "desk": "d1", "user_id": "li", "campaign_id": "spring",
    "measure_id": "members.vips", "report_id": "annual-2008", "claim_id": "members.vip_total",
    "bucket": "0", "position": "1",
}  # fmt: skip
PAGES = {
    "/sign-in",
    "/sign-in/password",
    "/invitations/take",
    "/desk",
    "/desk/{club_id}/{desk}",
    "/administration",
    "/administration/lists/{name}",
    "/administration/users/{user_id}",
    "/administration/commands/{name}",
    "/campaigns",
    "/campaigns/{campaign_id}",
    "/campaigns/{campaign_id}/file",
    "/campaigns/{campaign_id}/not-enrolled",
    "/campaigns/-/bindings",
    FIGURES,
    f"{FIGURES}/measures",
    f"{FIGURES}/measures/{{measure_id}}",
    f"{FIGURES}/measures/{{measure_id}}/contributions",
    f"{FIGURES}/reports",
    f"{FIGURES}/reports/{{report_id}}",
    f"{FIGURES}/reports/{{report_id}}/claims/{{claim_id}}",
    f"{FIGURES}/targets",
    f"{FIGURES}/outside-values",
    f"{FIGURES}/enter",
    "/files",
    "/audit",
    "/audit/events/{bucket}/{position}",
    "/audit/compare",
    "/audit/doubts",
    "/audit/exceptions",
    "/audit/corrections",
    "/audit/what-if",
    "/audit/health",
    "/docs",
    "/docs/operations/{name}",
    "/docs/models/{name}",
}
NAMES = {
    "/administration/lists/{name}": "clubs",
    "/administration/commands/{name}": "club.open",
    "/docs/operations/{name}": "record_visit",
    "/docs/models/{name}": "RecordVisitRequest",
}
PARTS = {
    "/desk/{club_id}/{desk}/today": "a part of the desk",
    "/campaigns/{campaign_id}/progress": "a part of a campaign's page",
    f"{FIGURES}/parts/{{part}}": "a part of the overview",
    "/files/jobs/{job_id}": "looked at in the journey that begins a job",
    "/files/jobs/{job_id}/state": "a part of it",
    "/static/{digest}/{name}": "what pages load",
    "/start": "leads to a console",
    "/sign-in/provider": "leads to the provider",
    "/sign-in/return": "leads back from it",
}


def test_no_page_is_forgotten() -> None:
    app = create_app("dbname=nowhere", Settings())
    told = [e for e in iter_route_contexts(app.routes) if isinstance(e.original_route, PageRoute)]
    there = {each.path for each in told if "GET" in (each.methods or ())}
    assert there == PAGES | PARTS.keys()
    assert {each.path for each in CONSOLES} <= PAGES


def test_what_is_not_accessible_is_named(chromium: Browser) -> None:
    page = chromium.new_page()
    page.set_content("<html lang='en'><title>T</title><main><h1>T</h1><img src='data:,'></main>")
    with pytest.raises(AssertionError, match="image-alt"):
        Visitor(page, page.context, "").accessible()
    page.close()


def test_every_page_is_light_accessible_and_whole_and_asks_nobody_else(
    chromium: Browser, claimed: Claimed, record_property: Callable[[str, object], None]
) -> None:
    """As who may everything sees it."""
    context = chromium.new_context(
        base_url=claimed.address,
        locale="zh-CN",
        extra_http_headers={"Authorization": f"Bearer {claimed.key_of_all}"},
    )
    page = context.new_page()
    visitor = watched(Visitor(page, context, claimed.address))
    loaded: list[Response] = []

    def loads(answer: Response) -> None:
        loaded.append(answer)

    page.on("response", loads)
    for number, path in enumerate(sorted(PAGES)):
        loaded.clear()
        answer = page.goto(path.format_map({**NAMED, "name": NAMES.get(path, "")}))
        assert answer is not None
        assert answer.status == 200, path
        page.wait_for_load_state("networkidle", timeout=PATIENCE_S * 1000)
        assert page.title()
        assert page.locator("h1, h2").count(), path
        for size in (SIZES, SIZES[::-1])[number % 2]:
            visitor.shown(*size)
        visitor.accessible()  # in one of them: journeys look at both
        weight = sum(len(each.body()) for each in loaded if each.ok)
        record_property(WEIGHT, f"{weight:7,} bytes  {path}")
        assert weight < MOST_BYTES, path
    context.close()
    assert visitor.wrong == []
