"""An administrator opens a club, in a browser, in both languages: shown first, then done."""

from typing import Literal

from playwright.sync_api import Page, expect

from tests.pages.conftest import House, Visitor

WIDTHS = (1280, 390)


def looked_at(visitor: Visitor, scheme: Literal["dark", "light"]) -> None:
    """No violation that axe knows of, and nothing cut off, wide and narrow."""
    for width in WIDTHS:
        visitor.page.set_viewport_size({"width": width, "height": 800})
        wider = visitor.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wider <= 0, (visitor.page.url, width)
    visitor.page.emulate_media(color_scheme=scheme)
    visitor.accessible()


def press(page: Page) -> None:
    """The form's own button: what it would do."""
    page.locator("form.fields button.main").click()


def test_a_club_is_opened_as_it_was_shown(visitor: Visitor, house: House) -> None:
    page, club_id = visitor.page, f"reading-{visitor.language}"
    page.goto("/administration")
    looked_at(visitor, "light")
    page.locator("a[href$='/club.open']").click()
    press(page)
    expect(page.locator("#in-title")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("[id='wrong-title']")).to_be_visible()
    looked_at(visitor, "dark")
    page.locator("#in-club_id").fill(club_id)
    page.locator("#in-title").fill("<i>读书</i>")
    page.locator("#in-opens_on").fill("2031-01-02")
    page.locator("input[name=tiers][value=gold]").check()
    page.locator("#in-opens_minute").fill("7:30")
    press(page)
    shown = page.locator(".outcome .said")
    expect(shown).to_contain_text("<i>读书</i>")
    expect(shown).to_contain_text("07:30")
    looked_at(visitor, "light")
    assert house.ask(f"/clubs/{club_id}")["code"] == "unknown_club"
    page.locator(".outcome button.main").dblclick()
    expect(page.locator("[data-place]")).to_be_visible()
    house.settle()
    assert house.ask(f"/clubs/{club_id}")["opens_minute"] == 450
    page.goto("/administration/lists/clubs")
    expect(page.locator("table")).to_contain_text(club_id)
    looked_at(visitor, "dark")
    page.locator(f"a[href$='service.price?of={club_id}']").click()
    expect(page.locator("#in-club_id")).to_have_value(club_id)
    page.goto("/administration/commands/campaign.launch")
    page.locator("button[data-more]").click()
    expect(page.locator("[name^='costs.'][name$='.item']")).to_have_count(6)
    looked_at(visitor, "light")
