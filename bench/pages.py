"""The desk's pages, as a clerk has them: from scan to receipt, and a name among all members."""

import html
import http.client
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import cycle
from statistics import median, quantiles
from urllib.parse import urlencode

from api.http.pages.page import SIGN_IN
from api.http.server.access import COOKIE, FROM_HERE_HEADER, SITE_HEADER, from_here
from api.http.server.rates import LOOK_UP
from api.runtime.clock import Clock
from api.runtime.pinyin import initials
from bench.children import START_S, Child
from bench.doors import told
from bench.ground import Ground
from bench.parts import Outcome, Subject, part
from bench.reads import demo
from bench.tail import Rebuilds
from bench.words import FaultError
from domain.kernel.values import local_date
from ledger import sessions
from ledger.database import connect, meta
from ledger.log import persons
from projections import clubs
from projections.engine.schemas import LIVE, look_at

SERVE = (sys.executable, "-c", "from api.cli import main; main()", "serve", "--json", "--port", "0")
CLERKS = 40
"""So many that nobody of them asks for names more often than a clerk may."""
PAUSE_S = 1.25 * LOOK_UP.window_s / (LOOK_UP.most * CLERKS)
CARDS, NAMES = 5_000, 400
"""How many are drawn; then the same again."""
DESK = "bench"
NO_PASSWORD = "none fits"
LEARNED_S = 600
"""How long the first search may take, which opens all names."""
FEWEST = 10
_BUTTON = re.compile(r"<form [^>]*data-pays>(.*?)</form>", re.DOTALL)
_FIELD = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')
_SERVES = re.compile(rb'"serves": "http://([^"]+)"')
_CODE = re.compile(r'data-code="([^"]*)"')


class Desk:
    """Clerks at the desk of a club, each with a session of his own, who ask over one connection."""

    def __init__(self, address: str, base: str, cookies: Iterator[str]) -> None:
        self.base, self._cookies = base, cookies
        self.asking = http.client.HTTPConnection(address, timeout=LEARNED_S)

    def post(self, what: str, said: Mapping[str, str]) -> tuple[str, float]:
        """What the desk shows when a form of it was sent, as `ask` tells it."""
        return self.ask("POST", f"{self.base}/{what}", urlencode(said))

    def ask(self, method: str, path: str, body: str | None = None) -> tuple[str, float]:
        """A page, or a part of one, and the milliseconds until all of it was here."""
        cookie = next(self._cookies)
        headers = {
            "Cookie": f"{COOKIE}={cookie}",
            "Content-Type": "application/x-www-form-urlencoded",
            "HX-Request": "true",
            SITE_HEADER: "same-origin",
            FROM_HERE_HEADER: from_here(cookie),
        }
        start = time.perf_counter()
        self.asking.request(method, path, body, headers)
        answer = self.asking.getresponse()
        said = answer.read().decode()
        took_ms = (time.perf_counter() - start) * 1e3
        if answer.status != http.client.OK:
            raise FaultError(f"a page was answered with {answer.status}")
        return said, took_ms


@part("pages", arena="pages", always=False)
def pages(ground: Ground, stack: ExitStack) -> list[Subject]:
    """From scan to receipt, and names among all members, alone and beside a rebuild (--scale)."""
    dsn = demo(ground, stack)
    club, cards, names = _drawn(dsn)
    staff = [f"{DESK}-{number}" for number in range(CLERKS)]
    told(
        dsn,
        *(("user.add", {"user_id": each}) for each in staff),
        *(
            ("user.grant", {"user_id": each, "role_id": "clerk", "clubs": (club,)})
            for each in staff
        ),
    )
    with connect(dsn) as connection:
        sessions.set_password(connection, staff[0], NO_PASSWORD)  # nobody enters without a session
        cookies = [sessions.begin(connection, each) for each in staff]
    server, address = serving(ground, stack, dsn)
    desk = Desk(address, f"/desk/{club}/{DESK}", cycle(cookies))
    stack.callback(desk.asking.close)
    desk.ask("GET", desk.base)
    _, took_ms = desk.post("card", {"said": names[0]})
    ground.tell(f"The first search, which opens all names, took {took_ms / 1e3:.1f} s")
    rebuilds = Rebuilds(ground, dsn)
    watch = {"app": [server.pid], "postgres": [ground.postgres]}
    admits, finds = _admits(desk, cycle(cards)), _finds(desk, cycle(names))
    floor = Subject("pages.floor", "a page that asks nothing", _floor(desk), "pages", watch=watch)
    asked = {
        "pages.desk": ("from scan to receipt", admits, "visits"),
        "pages.search": (f"a name or first letters among {_members(dsn):,}", finds, "searches"),
    }
    subjects = [floor]
    for name, (title, run, counts) in asked.items():
        subjects += [
            Subject(name, title, run, counts, watch=watch, beside=floor.name),
            Subject(f"{name}.rebuild", f"{title}, while the answers are rebuilt", run, counts,
                    before=rebuilds.start, after=rebuilds.stop, watch=watch, beside=name),
        ]  # fmt: skip
    return subjects


def serving(ground: Ground, stack: ExitStack, dsn: str) -> tuple[Child, str]:
    """`serve` on this ledger, as an operator starts it, and where it says that it serves."""
    log = ground.scratch / "serve.log"
    child = stack.enter_context(Child(SERVE, {}, log, {"CLUBLEDGER_DATABASE_URL": dsn}))
    stack.callback(child.stop)
    while (said := _SERVES.search(child.line(START_S))) is None:
        pass
    return child, said[1].decode()


# ------------------------------------------------------------------------------------- who and what
def _drawn(dsn: str) -> tuple[str, list[str], list[str]]:
    """The club with the most services, cards that it admits, and what members are looked up by:
    all first letters of a name, the first two, and its beginning."""
    with connect(dsn) as connection, connection.transaction():
        look_at(connection, LIVE)
        today = local_date(Clock.of(meta(connection)).now())
        here = [each for each in clubs.clubs(connection) if each.opens_on <= today]
        club = max(here, key=lambda each: len(clubs.prices(connection, each.club_id)))
        drawn = connection.execute(
            "SELECT member_id FROM member WHERE tier = ANY(%s) AND left_at IS NULL"
            " ORDER BY md5(member_id) LIMIT %s",
            (club.tiers, CARDS),
        ).fetchall()
        cards = [member_id for (member_id,) in drawn]
        known = [name for _, name in persons.names(connection, cards[:NAMES]) if name]
    letters = [initials(name)[0] for name in known]
    said = zip(letters, (each[:2] for each in letters), (each[:2] for each in known), strict=True)
    return club.club_id, cards, [each for three in said for each in three]


def _members(dsn: str) -> int:
    with connect(dsn) as connection:
        text = f"SELECT count(*) FROM {LIVE.answers}.member"
        (number,) = connection.execute(text.encode()).fetchone() or (0,)
        return int(number)


# ---------------------------------------------------------------------------------------- runs
def _floor(desk: Desk) -> Callable[[int], Outcome]:
    def run(seconds: int) -> Outcome:
        return _timed(seconds, lambda: desk.ask("GET", SIGN_IN)[1])

    return run


def _admits(desk: Desk, cards: Iterator[str]) -> Callable[[int], Outcome]:
    """A card is scanned and its first button pressed; one without a button is laid aside."""

    def run(seconds: int) -> Outcome:
        scans, presses = list[float](), list[float]()

        def admitted() -> float:
            while True:
                card, scan_ms = desk.post("card", {"said": next(cards)})
                scans.append(scan_ms)
                button = _BUTTON.search(card)
                if button is not None:
                    break
            said = {name: html.unescape(value) for name, value in _FIELD.findall(button[1])}
            receipt, press_ms = desk.post("visits", said)
            _require("data-undo", receipt)
            presses.append(press_ms)
            return scan_ms + press_ms

        outcome = _timed(seconds, admitted)
        steps = {"scan_p99_ms": _p99(scans), "press_p99_ms": _p99(presses)}
        return replace(outcome, more={**outcome.more, **steps})

    return run


def _finds(desk: Desk, names: Iterator[str]) -> Callable[[int], Outcome]:
    """Who is meant by a name is found: one by his card, several by a list."""

    def run(seconds: int) -> Outcome:
        def found() -> float:
            time.sleep(PAUSE_S)
            card, took_ms = desk.post("card", {"said": next(names)})
            _require("data-open", card)
            return took_ms

        return _timed(seconds, found)

    return run


def _require(sign: str, shown: str) -> None:
    """What is shown is what was asked for, and no refusal."""
    if sign not in shown:
        code = _CODE.search(shown)
        raise FaultError(f"the desk refused: {code[1] if code else shown[:100]!r}")


def _timed(seconds: int, once: Callable[[], float]) -> Outcome:
    """The same again and again for so long; each says how many milliseconds the server took."""
    took_ms, until = list[float](), time.perf_counter() + seconds
    while time.perf_counter() < until or len(took_ms) < FEWEST:
        took_ms.append(once())
    more = {"p50_ms": median(took_ms), "p99_ms": _p99(took_ms), "slowest_ms": max(took_ms)}
    return Outcome(len(took_ms), sum(took_ms) / 1e3, more)


def _p99(took_ms: list[float]) -> float:
    return quantiles(took_ms, n=100, method="inclusive")[98]
