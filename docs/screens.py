"""Makes the pictures of the pages: each console of the demo in both languages, as a browser shows
it to whom of the demo's people it is for.

`make screens` loads the demo into build/demo (or DATA_DIR), where afterwards nobody enters without
signing in, and makes docs/screens/. To look at all of each page, wide and narrow, light and dark:
`make screens ARGS="--look build/screens"`.
"""

import argparse
import asyncio
import base64
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from api.http.pages.page import CONSOLES, LANGUAGE
from api.http.server.access import COOKIE
from api.runtime.demonstration import invitations
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from demo import STAFF
from domain.access import Principal
from ledger import credentials, sessions
from ledger.database import connect
from tests.api.running import serving, stopped
from tests.pages.conftest import CHROMIUM, QUIET
from tests.patience import PATIENCE_S

SCREENS = Path(__file__).parent / "screens"
LANGUAGES = {"zh": "zh-CN", "en": "en-GB"}
WIDTH, HEIGHT, NARROW = 1280, 800, 390
MOST_BYTES = 60_000
QUALITIES = (0.9, 0.8, 0.7, 0.6, 0.5)
"""Of WebP, the first that is small enough."""
AS_WEBP = """async ([png, quality]) => {
  const image = new Image();
  image.src = "data:image/png;base64," + png;
  await image.decode();
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [image.width, image.height];
  canvas.getContext("2d").drawImage(image, 0, 0);
  return canvas.toDataURL("image/webp", quality);
}"""
LOADED = """() => [...document.querySelectorAll("[hx-trigger=load]")]
  .every((part) => !part.querySelector(":scope > p:only-child > a"))"""
NO_PASSWORD = "none fits"
DESK = "/desk/health/1"
ADMITTED, OPEN = "m000004", "m000001"
"""Whose card is scanned first, and admitted; and whose stays open."""


@dataclass(frozen=True)
class House:
    """The demo as it is served, and what lets each of its people in."""

    address: str
    people: dict[str, Principal]
    cookies: dict[str, str]

    def visits(self, browser: Browser, user_id: str, language: str, width: int) -> BrowserContext:
        """This one at a screen of this width."""
        made = browser.new_context(
            base_url=self.address,
            viewport={"width": width, "height": HEIGHT},
            locale=LANGUAGES[language],
        )
        said = {COOKIE: self.cookies[user_id], LANGUAGE: language}
        made.add_cookies(
            [{"name": name, "value": value, "url": self.address} for name, value in said.items()]
        )
        return made


@contextmanager
def served(settings: Settings) -> Iterator[House]:
    """The demo of this data directory."""
    with opened(settings) as database:
        asyncio.run(invitations(database.dsn, database.clock))
        with connect(database.dsn) as connection:
            users = [each.user_id for each in STAFF]
            if not credentials.claimed(connection):
                sessions.set_password(connection, users[0], NO_PASSWORD)
            people = sessions.principals(connection, users)
            cookies = {each: sessions.begin(connection, each) for each in users}
        server = serving(settings.data_dir)
        try:
            yield House(server.address, people, cookies)
        finally:
            stopped(server)


# ------------------------------------------------------------------------------- what is seen
def at_the_desk(page: Page) -> None:
    """Somebody was admitted, and the next card is open."""
    page.goto(DESK)
    for card in (ADMITTED, OPEN):
        page.locator("#box").fill(card)
        page.keyboard.press("Enter")
        page.locator(f".card[data-member={card}]").wait_for()
        if card == ADMITTED:
            page.keyboard.type("1")
            page.keyboard.press("Enter")
            page.locator("#today li").first.wait_for()
            page.keyboard.press("Escape")  # if there was no button for him any more


def first_seen(page: Page, path: str) -> None:
    """What is seen of a page first, once its parts are there."""
    page.goto(path)
    page.wait_for_function(LOADED)


def scenes() -> dict[str, Callable[[Page], None]]:
    """What leads to each picture, by its name: a console a picture."""
    found = {each.name: partial(first_seen, path=each.path) for each in CONSOLES}
    return {**found, CONSOLES[0].name: at_the_desk}


def user_of(house: House, name: str) -> str:
    """Whose work a console is most: of the demo's people who begin it, who has the fewest."""

    def given(who: Principal) -> list[str]:
        return [each.name for each in CONSOLES if each.open_to(who)]

    (scope,) = (each.scope for each in CONSOLES if each.name == name)
    found = [who for who in house.people.values() if who.granted(scope)]
    return min(found, key=lambda who: len(given(who))).name


# ---------------------------------------------------------------------------------------- pictures
def webp(browser: Browser, png: bytes) -> bytes:
    """The same picture, small."""
    page = browser.new_page()
    try:
        said = base64.b64encode(png).decode()
        for quality in QUALITIES:
            url: str = page.evaluate(AS_WEBP, [said, quality])
            made = base64.b64decode(url.partition(",")[2])
            if len(made) <= MOST_BYTES:
                return made
    finally:
        page.close()
    raise SystemExit(f"{len(made):,} bytes are too many: show less of the page")


def keep(house: House, browser: Browser, wanted: list[str]) -> None:
    """The pictures of the documentation."""
    SCREENS.mkdir(exist_ok=True)
    for name in wanted:
        for language in LANGUAGES:
            with house.visits(browser, user_of(house, name), language, WIDTH) as context:
                page = context.new_page()
                page.set_default_timeout(PATIENCE_S * 1000)
                scenes()[name](page)
                made = webp(browser, page.screenshot())
            path = SCREENS / f"{name}-{language}.webp"
            path.write_bytes(made)
            sys.stdout.write(f"{path.name:28} {len(made):7,} bytes\n")


def look(house: House, browser: Browser, wanted: list[str], folder: Path) -> None:
    """All of each page, in every size, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in wanted:
        for language in LANGUAGES:
            with house.visits(browser, user_of(house, name), language, WIDTH) as context:
                page = context.new_page()
                page.set_default_timeout(PATIENCE_S * 1000)
                scenes()[name](page)
                for width in (WIDTH, NARROW):
                    page.set_viewport_size({"width": width, "height": HEIGHT})
                    for scheme in ("light", "dark"):
                        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
                        to = folder / f"{name}-{language}-{width}-{scheme}.png"
                        page.screenshot(path=to, full_page=True)


def main() -> None:
    """Make all pictures, or those that are named."""
    known = [each.name for each in CONSOLES]
    parser = argparse.ArgumentParser(prog="python -m docs.screens")
    parser.add_argument("consoles", nargs="*", help=f"of {', '.join(known)}; else all")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--look", type=Path, help="write everything there is to look at there")
    asked = parser.parse_args()
    wanted = [each for each in known if each in asked.consoles or not asked.consoles]
    settings = Settings() if asked.data_dir is None else Settings(data_dir=asked.data_dir)
    with served(settings) as house, sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=QUIET.split()
        )
        if asked.look:
            look(house, browser, wanted, asked.look)
        else:
            keep(house, browser, wanted)
        browser.close()


if __name__ == "__main__":
    main()
