"""Makes pictures of the pages of a demo that is served, as a browser shows them.

`python -m docs.screens http://127.0.0.1:8000/desk/health/1 m000001` makes docs/desk.png; without a
card any page is taken: that of `/figures` makes docs/figures-zh.png and docs/figures-en.png.
"""

import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Browser, sync_playwright

from tests.pages.conftest import CHROMIUM, QUIET

DOCS = Path(__file__).parent


def desk(browser: Browser, address: str, *cards: str) -> None:
    """Scan these cards at this desk, admit the first, and keep what is seen then."""
    page = browser.new_page(viewport={"width": 1040, "height": 660}, locale="zh-CN")
    page.goto(address)
    for place, card in enumerate(cards):
        page.keyboard.type(card)
        page.keyboard.press("Enter")
        page.locator(".card").wait_for()
        if place == 0 and len(cards) > 1:
            page.locator("[data-key='1']").click()
            page.locator("#today li").first.wait_for()
    page.screenshot(path=DOCS / "desk.png")


def any_page(browser: Browser, address: str) -> None:
    """What is seen of a page first, in both languages."""
    name = urlsplit(address).path.rpartition("/")[2]
    for language in ("zh-CN", "en-GB"):
        page = browser.new_page(viewport={"width": 1040, "height": 1000}, locale=language)
        page.goto(address, wait_until="networkidle")
        page.screenshot(path=DOCS / f"{name}-{language[:2]}.png")


def main(address: str, *cards: str) -> None:
    """Keep what is seen there."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=QUIET.split()
        )
        if cards:
            desk(browser, address, *cards)
        else:
            any_page(browser, address)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
