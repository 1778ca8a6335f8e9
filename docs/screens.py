"""Makes docs/desk.png: the desk of a demo that is served, as a browser shows it.

`python -m docs.screens http://127.0.0.1:8000/desk/health/1 m000001`
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.pages.conftest import CHROMIUM, QUIET

PICTURE = Path(__file__).parent / "desk.png"


def main(desk: str, *cards: str) -> None:
    """Scan these cards at this desk, admit the first, and keep what is seen then."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=QUIET.split()
        )
        page = browser.new_page(viewport={"width": 1040, "height": 660}, locale="zh-CN")
        page.goto(desk)
        for place, card in enumerate(cards):
            page.keyboard.type(card)
            page.keyboard.press("Enter")
            page.locator(".card").wait_for()
            if place == 0 and len(cards) > 1:
                page.locator("[data-key='1']").click()
                page.locator("#today li").first.wait_for()
        page.screenshot(path=PICTURE)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
