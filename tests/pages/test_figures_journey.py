"""Somebody who looks up figures, in a browser, in both languages: from the overview to the events
behind a number, and a report taken in, held against the ledger, and looked at as of then."""

import re

from playwright.sync_api import expect

from api.http.pages.page import FIGURES
from tests.pages.conftest import House, Visitor

REPORT = """
[report]
id = "{id}"
title = "A year <b>of</b> tea"
source = "page 1"
dated_on = 2020-12-31
first = 2020-01-01
last = 2020-12-31
[[target]]
id = "kept.{spoken}"
title = "On the network"
measure = "members.on_net_rate"
first = 2020-01-01
last = 2020-12-31
level = "basic"
at_least = 77
source = "plan"
[[claim]]
id = "members.vips"
section = "Members"
title = "VIP customers"
zh = "VIP客户"
measure = "members.vips"
value = 0
unit = "customers"
[[claim]]
id = "members.double"
title = "Twice as many"
value = 7
unit = "customers"
formula = "vips * 2"
"""


def looked_at(visitor: Visitor) -> None:
    """Nothing is cut off on a desk or in a hand; and axe is content, with the light colours in one
    language and the dark ones in the other."""
    page = visitor.page
    page.emulate_media(color_scheme="light" if visitor.spoken.startswith("zh") else "dark")
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, (page.url, width, wide)
    visitor.accessible()


def test_a_number_leads_to_its_events_and_a_report_is_held_against_the_ledger(
    visitor: Visitor, house: House
) -> None:
    page, report = visitor.page, f"tea-{visitor.spoken[:2]}"
    house.customers((f"0-looker-{visitor.spoken[:2]}", 10))
    page.goto(FIGURES)
    for part in ("members", "targets", "bindings", "clubs", "campaigns"):
        expect(page.locator(f"[hx-get*='parts/{part}'] .quiet a")).to_have_count(0)
    looked_at(visitor)
    page.locator("[hx-get*='parts/members'] .total a").last.click()
    expect(page).to_have_url(re.compile("members.vips/contributions"))
    expect(page.locator("tbody")).to_contain_text(f"0-looker-{visitor.spoken[:2]}")
    looked_at(visitor)
    page.locator(f"a[href='{FIGURES}/measures/members.vips']").first.click()
    page.locator("[name=by][value=tier]").check()
    page.locator("form.sheet button").click()
    expect(page.locator("table")).to_be_visible()
    looked_at(visitor)
    page.goto(f"{FIGURES}/measures")
    looked_at(visitor)
    page.goto(f"{FIGURES}/enter")
    page.locator("#report_text").fill("[report]\nid = 1")
    page.locator("#entering button").click()
    expect(page.locator("#outcome table")).to_be_visible()
    looked_at(visitor)
    page.locator("#report_text").fill(REPORT.format(id=report, spoken=visitor.spoken[:2]))
    page.locator("#entering button").click()
    expect(page.locator("#outcome .odd")).to_have_count(1)
    looked_at(visitor)
    for key, problems in (("", 1), (f"again-{report}", 0)):
        page.locator("#entering [name=key]").evaluate(f"each => {{ each.value = '{key}'; }}")
        page.locator("#entering button").click()
        expect(page.locator("#problem [data-code]")).to_have_count(problems)
        expect(page.locator("#outcome .main")).to_have_count(1 - problems)
    page.locator("#outcome .main").click()
    expect(page).to_have_url(re.compile(f"reports/{report}"))
    expect(page.locator("h1")).to_have_text("A year <b>of</b> tea")
    expect(page.locator("tr.odd")).to_have_count(1)
    expect(page.locator(".against")).to_have_count(1)
    looked_at(visitor)
    page.locator("tr.odd a").first.click()
    expect(page).to_have_url(re.compile("claims/members.double"))
    looked_at(visitor)
    page.goto(f"{FIGURES}/targets")
    looked_at(visitor)
