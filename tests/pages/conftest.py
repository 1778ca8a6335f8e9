"""A branch of its own behind a server, and a browser."""

import asyncio
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from api.http.server.passwords import HASHER
from api.runtime.clock import Clock
from domain.access import SCOPES
from domain.kernel.command import Command
from ledger import credentials, sessions
from ledger.database import connect
from ledger.embedded import EmbeddedServer
from ledger.log.batcher import Ledger
from tests.addresses import at
from tests.api.running import serving, stopped
from tests.api.story import PREPARED
from tests.ledger.facts import command
from tests.patience import PATIENCE_S, eventually
from tests.places import empty_directory

WEIGHT = "page_weight"
"""Under which a test tells what a page weighs."""
SIZES: tuple[tuple[int, Literal["dark", "light"]], ...] = ((390, "dark"), (1280, "light"))
PASSWORD = "correct horse battery"
CHROMIUM = shutil.which("chromium")
collect_ignore = (
    []
    if CHROMIUM
    else [
        "test_administration_journey.py",
        "test_audit_journey.py",
        "test_campaigns_journey.py",
        "test_desk.py",
        "test_every_page.py",
        "test_figures_journey.py",
        "test_files_journey.py",
        "test_signing.py",
    ]
)
"""A machine with Python and make alone has no browser; .ci/run installs one."""
QUIET = (
    "--no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic --no-first-run"
    " --disable-background-networking --disable-component-update --disable-sync"
)
"""What keeps Debian's Chromium from asking anybody but us."""


def pytest_report_header() -> list[str]:
    """Says what is left out, if it is."""
    return [] if CHROMIUM else ["journeys at the pages are left out: chromium is not installed"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what each page weighs with all that it loads, when pages were looked at."""
    reports = terminalreporter.stats.get("passed", [])
    told = [said for each in reports for name, said in each.user_properties if name == WEIGHT]
    if told:
        terminalreporter.section("what pages weigh")
        terminalreporter.write("\n".join(told) + "\n")


BRANCH: list[dict[str, object]] = [
    {"command": "unit.open", "unit_id": "east", "title": "东区"},
    {
        "command": "club.open",
        "club_id": "tea",
        "title": "茶室",
        "opens_on": "2020-01-01",
        "tiers": ["gold"],
    },
    {
        "command": "service.price",
        "club_id": "tea",
        "service_id": "cup",
        "title": "清茶",
        "points": 200,
        "companion_points": 50,
    },
    {
        "command": "service.price",
        "club_id": "tea",
        "service_id": "room",
        "title": "包间",
        "points": 900,
        "free_visits": {"gold": 1},
    },
]


def customer(member_id: str, points: int, **said: str) -> list[dict[str, object]]:
    """A customer of the tea room with so many points."""
    return [
        {"command": "member.join", "member_id": member_id, "unit_id": "east", **said},
        {"command": "tier.change", "member_id": member_id, "tier": "gold", "reason": "contract"},
        {
            "command": "points.credit",
            "member_id": member_id,
            "points": points,
            "source": "bill",
            "rule": "r1",
        },
    ]


def launch(campaign_id: str, **said: object) -> dict[str, object]:
    """A campaign of the branch, for gold and for those without a tier."""
    return {
        "command": "campaign.launch",
        "campaign_id": campaign_id,
        "title": "预存送话费",
        "kind": "prepay",
        "opens_on": "2020-01-01",
        "closes_on": "2099-12-31",
        "tiers": ["gold"],
        "untiered": True,
        "prepaid_min_fen": 60_000,
        "gift_bp": 1_000,
        "months_bound": 12,
        **said,
    }


@dataclass
class House:
    """A server on the branch."""

    address: str
    told: int = 0

    def tell(self, *commands: dict[str, object]) -> None:
        """Have facts written."""
        self.told += 1
        keyed = [{"key": f"told-{self.told}-{n}", **each} for n, each in enumerate(commands)]
        answer = httpx.post(
            f"{self.address}/v1/commands", json={"commands": keyed}, timeout=PATIENCE_S
        )
        refused = [each for each in answer.json()["outcomes"] if each["status"] != 201]
        assert not refused, refused

    def customers(self, *said: tuple[str, int]) -> None:
        """Have customers join, and wait until answers know them."""
        self.tell(*(each for member_id, points in said for each in customer(member_id, points)))
        self.settle()

    def settle(self) -> None:
        """Wait until the answers hold all that was written."""
        assert eventually(lambda: self.ask("/status")["behind"] == 0)

    def spendable(self, member_id: str) -> int:
        """A member's points by the log itself."""
        self.settle()
        return int(self.ask(f"/members/{member_id}")["spendable_points"])

    def ask(self, path: str) -> Any:
        """What the API answers."""
        return httpx.get(self.address + at(path), timeout=PATIENCE_S).json()


@pytest.fixture(scope="session")
def house() -> Iterator[House]:
    """One server for all pages."""
    with empty_directory() as path, EmbeddedServer(path):
        running = serving(path)
        try:
            made = House(running.address)
            made.tell(*BRANCH)
            yield made
        finally:
            assert stopped(running).code == 0


@dataclass
class Claimed:
    """A ledger with a clerk of its tea room, `li`, who signs in by PASSWORD, with keys that open
    the desks for members of the unit `west` alone and its figures, everything, and what a
    campaigner of that unit does. Two members have one number, one of them there; beside them there
    is all that the examples of the commands speak of."""

    address: str
    key_of_west: str
    key_of_all: str
    key_of_campaigner: str
    path: Path
    dsn: str

    def told(self, *facts: Command) -> None:
        """Have these written today."""

        async def write() -> None:
            async with Ledger(self.dsn, now=Clock().now) as ledger:
                for each in facts:
                    await ledger.execute(each)

        with ThreadPoolExecutor() as beside:  # the browser's loop runs in this thread
            beside.submit(asyncio.run, write()).result()

    def key_of(self, name: str, **scopes: str) -> str:
        """A key of this name for a role of this name, with these scopes alone."""
        self.told(
            command("role.define", role_id=name, scopes=scopes),
            command("apikey.issue", role_id=name, api_key_id=name),
        )
        with connect(self.dsn) as connection:
            key = credentials.mint(connection, f"apikey:{name}", 1)
        assert key is not None
        return key


SHARED = {"phone": "13912345678"}


@pytest.fixture(scope="session")
def claimed() -> Iterator[Claimed]:
    """One server on it."""
    with empty_directory() as path, EmbeddedServer(path) as database:
        running = serving(path)
        try:
            house = House(running.address)
            house.tell(*BRANCH, {"command": "unit.open", "unit_id": "west", "title": "西区"})
            house.tell(*PREPARED, launch("own"))
            for unit, name in (("east", "尉迟恭"), ("west", "尉迟敬")):
                joins = {"command": "member.join", "member_id": f"n-{unit}", "unit_id": unit}
                house.tell({**joins, "name": name})
            house.tell(*customer("a-poor", 1, **SHARED), *customer("b-rich", 500, **SHARED))
            house.tell(
                {
                    "command": "member.move",
                    "member_id": "b-rich",
                    "unit_id": "west",
                    "reason": "moved",
                }
            )
            house.settle()
            scopes = {
                "members.read": "units",
                "visits.write": "all",
                "clubs.read": "all",
                "figures.read": "units",
                "lists.read": "units",
            }
            of_west = {"role_id": "teller", "units": ("west",), "api_key_id": "west"}
            holds = {"user_id": "li", "role_id": "clerk", "clubs": ("tea",)}
            facts = (
                command("user.add", user_id="li"),
                command("user.grant", **holds),
                command("role.define", role_id="teller", scopes=scopes),
                command("apikey.issue", **of_west),
                command("role.define", role_id="everything", scopes=dict.fromkeys(SCOPES, "all")),
                command("apikey.issue", api_key_id="all", role_id="everything"),
                command("apikey.issue", role_id="campaigner", units=("west",), api_key_id="sells"),
            )
            made = Claimed(running.address, "", "", "", path, database.dsn)
            made.told(*facts)
            with connect(database.dsn) as connection:
                sessions.set_password(connection, "li", HASHER.hash(PASSWORD))
                minted = [
                    credentials.mint(connection, f"apikey:{each}", 1)
                    for each in ("west", "all", "sells")
                ]
            keys = [each for each in minted if each is not None]
            assert eventually(lambda: httpx.get(f"{running.address}/v1/clubs").status_code == 401)
            made.key_of_west, made.key_of_all, made.key_of_campaigner = keys
            yield made
        finally:
            assert stopped(running).code == 0


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for the pages of a file: while it is there a loop runs in this thread, in which no
    other test may find itself."""
    expect.set_options(timeout=PATIENCE_S * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, chromium_sandbox=False, args=QUIET.split()
        )
        yield browser
        browser.close()


CUT = """
    () => [...document.querySelectorAll("input[placeholder]")].filter((each) => {
        const pen = document.createElement("canvas").getContext("2d");
        const own = getComputedStyle(each), text = getComputedStyle(each, "::placeholder");
        pen.font = `${text.fontSize} ${text.fontFamily}`;
        const room = each.clientWidth - parseFloat(own.paddingLeft) - parseFloat(own.paddingRight);
        return each.clientWidth && pen.measureText(each.placeholder).width > room + 1;
    }).map((each) => each.placeholder)
"""
"""What is written in boxes that are too narrow for it."""
VIOLATIONS = "axe.run({resultTypes: ['violations']}).then((found) => found.violations)"
"""What axe finds wrong. All that it finds right besides is not brought here: that takes longer."""


LAGGING = "the server responded with a status of 504"
"""What the browser itself tells where answers lag behind: what it asked for is asked for again."""


@dataclass
class Visitor:
    """Somebody at a page: what he sees, and what it did that no page may."""

    page: Page
    context: BrowserContext
    address: str
    spoken: str = "zh-CN"
    wrong: list[str] = field(default_factory=list)
    weight: int = 0

    @property
    def language(self) -> str:
        """`zh` or `en`, as it was asked for."""
        return self.spoken[:2]

    def asked(self, request: Request) -> None:
        """Nothing is loaded from elsewhere."""
        if urlsplit(request.url).hostname != urlsplit(self.address).hostname:
            self.wrong.append(f"asked {urlsplit(request.url).netloc}")

    def said(self, line: ConsoleMessage) -> None:
        """Nothing is wrong by the browser's console."""
        if line.type in ("error", "warning") and LAGGING not in line.text:
            self.wrong.append(line.text)

    def accessible(self) -> None:
        """No violation that axe knows of."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE_SCRIPT)
        found = AxeResults({"violations": self.page.evaluate(VIOLATIONS)})
        assert found.violations_count == 0, found.generate_report()

    def shown(self, width: int, scheme: Literal["dark", "light"]) -> None:
        """So wide, in light or in dark, nothing is wider than the page."""
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size({"width": width, "height": 800})
        wide = self.page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, f"{wide} px at {width}"
        assert self.page.evaluate(CUT) == [], f"placeholders are cut at {width}"

    def fits(self) -> None:
        """At a desk and in a hand."""
        for width, scheme in SIZES:
            self.shown(width, scheme)
            self.accessible()


def watched(visitor: Visitor) -> Visitor:
    """The same, whose page has all told that it does and no page may."""
    page, wrong = visitor.page, visitor.wrong
    page.set_default_timeout(PATIENCE_S * 1000)
    page.on("request", visitor.asked)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", visitor.said)
    return visitor


@pytest.fixture(params=["zh-CN", "en-GB"])
def visitor(request: pytest.FixtureRequest, chromium: Browser, house: House) -> Iterator[Visitor]:
    """Somebody who speaks this language; in the end nothing was wrong with any of his pages."""
    context = chromium.new_context(
        base_url=house.address, locale=request.param, bypass_csp=False, service_workers="block"
    )
    made = watched(Visitor(context.new_page(), context, house.address, request.param))
    yield made
    context.close()
    assert made.wrong == []
