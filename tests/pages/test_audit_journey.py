"""An auditor in a browser, in both languages: from a member's timeline to an event and what it came
with, and from one moment to another."""

import re

from playwright.sync_api import expect

from api.http.pages.page import AUDIT
from tests.pages.conftest import House, Visitor


def test_an_auditor_follows_a_member_and_compares_two_moments(
    visitor: Visitor, house: House
) -> None:
    page, member = visitor.page, f"followed-{visitor.language}"
    house.customers((member, 10))
    page.goto(AUDIT)
    page.locator("[name=stream_id]").fill(member)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(member)
    visitor.fits()
    page.locator(f"a[href^='{AUDIT}/events/']").last.click()
    expect(page.locator("h1")).to_have_text(re.compile(r"\d+:\d+"))
    expect(page.locator("dl.said").first).to_contain_text(member)
    visitor.fits()
    page.goto(f"{AUDIT}/compare?from=0:3")
    expect(page.locator("#measures tbody tr").first).to_be_visible()
    expect(page.locator("#events .total")).to_be_visible()
    visitor.fits()
