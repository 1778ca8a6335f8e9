"""An auditor in a browser, in both languages: a member's timeline, how he stood, an event; two
moments, the rows that make a figure differ; the answers proved."""

import re

from playwright.sync_api import expect

from api.http.pages.page import AUDIT
from tests.pages.conftest import House, Visitor

MOST_POINTS = 1_000_000
"""More than anybody else has: the rows of who differs most are told, and are his first."""


def test_an_auditor_follows_a_member_and_compares_two_moments(
    visitor: Visitor, house: House
) -> None:
    page, member = visitor.page, f"followed-{visitor.language}"
    house.customers((member, MOST_POINTS))
    page.goto(AUDIT)
    page.locator("[name=said]").fill(member)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_contain_text(member)
    visitor.fits()
    expect(page.locator("#then dd").first).to_be_visible()
    page.locator("[name=until]").focus()
    page.keyboard.press("Home")
    expect(page.locator("#then strong").first).to_have_text(re.compile(r"\b1\b"))
    visitor.fits()
    page.locator(f"td > a[href^='{AUDIT}/events/']").last.click()
    expect(page.locator("h1")).to_have_text(re.compile(r"\d+:\d+"))
    expect(page.locator("dl.said").first).to_contain_text(member)
    visitor.fits()
    for list_ in ("corrections", "doubts", "exceptions"):
        page.goto(f"{AUDIT}/{list_}")
        visitor.fits()
    page.goto(f"{AUDIT}/compare?from=0:3")
    expect(page.locator("#measures tbody tr").first).to_be_visible()
    expect(page.locator("#events .total")).to_be_visible()
    visitor.fits()
    page.locator("#measures button").first.click()
    expect(page.locator("#job [data-state=succeeded]")).to_be_visible()
    expect(page.locator("#job")).to_contain_text("✓")
    visitor.fits()
    page.goto(f"{AUDIT}/what-if")
    page.locator("[aria-labelledby=add-change] button").first.click()
    page.locator("[name='0.factor']").fill("1/2")
    page.keyboard.press("Enter")
    expect(page.locator(".outcome [data-state=succeeded]")).to_be_visible()
    expect(page.locator(".outcome")).to_contain_text(member)
    visitor.fits()
    page.goto(f"{AUDIT}/health")
    page.locator("[data-job=compare]").press("Enter")
    expect(page.locator("#job [data-state=succeeded]")).to_be_visible()
    visitor.fits()
