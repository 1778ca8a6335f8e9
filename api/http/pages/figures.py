"""The overview of figures: customers by tier and unit, targets, bindings, clubs by month, campaigns
beside each other. Each part is asked by itself, as of the page's moment, and of a unit if one is
said; every number leads to what makes it up.
"""

from calendar import monthrange
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple

from fastapi import Path, Query, Request
from fastapi.responses import RedirectResponse, Response

from api import answers
from api.doors import PREFIX, Need
from api.http.figures import since_when_idle
from api.http.measures import OF_ITS_ROWS, OF_ITS_VALUE
from api.http.pages.measures import TITLED, group_key, titles_of, valued
from api.http.pages.page import FIGURES, link, page, router_of_pages
from api.http.server.access import Who, needs
from api.http.server.inputs import AsOf, Awaited, House, InHouse
from api.runtime.problems import DoorProblem
from api.runtime.rights import at_the_door
from domain.access import Principal
from domain.kernel.values import ONE_LINE, PROGRAMME, add_months
from projections import clubs, reports, visits
from projections.engine import measure
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.measure import MEASURES, Measure, Measured
from projections.figures import targets
from projections.figures.asking import words_for
from projections.figures.claims import Document
from projections.figures.targets import TargetProgress

router = router_of_pages()
OF_CLUB = Need("clubs.read", "club_id")
VIPS, BOUND, BOUND_BY_POLICY = "members.vips", "bindings.rate", "bindings.active"
CAMPAIGN = "campaign_id"
MONTHS = 11
"""Before that of a day, of which visits are told."""
THOUSAND = 1000
"""What the length of a bar is told in."""
Part = Literal["members", "targets", "bindings", "clubs", "campaigns"]
PARTS: Mapping[str, tuple[str, ...]] = {
    "members": ("unit_id",),
    "targets": ("unit_id",),
    "bindings": ("unit_id",),
    "clubs": ("club_id",),
    "campaigns": ("unit_id",),
}
"""The parts of the overview, each with that of which it can be asked alone."""


# ----------------------------------------------------------------------- customers by tier and unit
@dataclass(frozen=True)
class Crossed:
    """A measure by two columns: each row's cells, and what all come to."""

    total: Measured
    columns: list[str | None]
    rows: list[tuple[str | None, list[tuple[dict[str, str], Decimal | None]]]]
    """(a row's key, (the filters of a cell, its value) of each column and of all of them)."""
    foot: list[tuple[dict[str, str], Decimal | None]]


def crossed(conn: Conn, of: str, down: str, across: str, said: Any, on: date) -> Crossed:
    """A measure by the values of `down`, each by those of `across`."""
    by = partial(measure.measured, conn, of, said, on)
    cells = {(each.key[down], each.key[across]): each.value for each in by((down, across)).groups}
    of_row = {each.key[down]: each.value for each in by((down,)).groups}
    whole = by((across,))
    of_column = {each.key[across]: each.value for each in whole.groups}
    columns = _in_order(across, of_column)

    def cell(key: dict[str, str | None], value: Decimal | None) -> tuple[Any, Decimal | None]:
        return {**said, **group_key(key)}, value

    rows = [
        (
            row,
            [
                *(cell({down: row, across: c}, cells.get((row, c), Decimal(0))) for c in columns),
                cell({down: row}, value),
            ],
        )
        for row, value in of_row.items()
    ]
    foot = [cell({across: each}, of_column[each]) for each in columns]
    return Crossed(whole, columns, rows, [*foot, (dict(said), whole.value)])


def _in_order(name: str, found: Mapping[str | None, Any]) -> list[str | None]:
    if name != "tier":
        return list(found)
    order = [*PROGRAMME.tiers, None]
    return sorted(found, key=lambda each: order.index(each) if each in order else len(order))


# ------------------------------------------------------------------------------------ targets
@dataclass(frozen=True)
class Gauge:
    """The targets of a measure for one scope and period, beside what it comes to."""

    targets: list[TargetProgress]
    of: Measure | None
    actual: Decimal | None
    length: int
    """Of the bar, in thousandths of the scale; so are the marks."""
    marks: list[tuple[str, int]]
    words: dict[str, Any]
    """With what the measure is asked."""
    why: str | None

    @property
    def first(self) -> TargetProgress:
        """Any of them: what it is of is the same of all."""
        return self.targets[0]


def gauges(conn: Conn, on: date | None = None, unit_id: str | None = None) -> list[Gauge]:
    """All targets; or those of the latest year up to `on` that has any, and those of a unit."""
    everything = Document([], reports.outside_values(conn), reports.targets(conn))
    those = [each for each in everything.targets if unit_id in (None, each.unit_id)]
    if on is not None:
        begun = [each for each in those if each.first <= on]
        year = max((min(each.last, on).year for each in begun), default=on.year)
        those = [each for each in begun if each.last.year >= year]
    return gauges_of(targets.progress(conn, everything, those))


def gauges_of(those: Iterable[TargetProgress]) -> list[Gauge]:
    """These targets by measure, scope and period, each beside what is."""
    found: dict[Any, list[TargetProgress]] = {}
    for each in those:
        of = (each.measure, tuple(sorted(each.parameters.items())), each.first, each.last)
        found.setdefault((*of, each.unit_id or ""), []).append(each)
    return [_gauge(each) for _, each in sorted(found.items(), key=lambda one: one[0])]


def _gauge(of: list[TargetProgress]) -> Gauge:
    one, known = of[0], MEASURES.get(of[0].measure)
    ways = [(each.level, way) for each in of for way in each.progress]
    plain = [(level, way) for level, way in ways if way.kind != "rank_at_most"]
    actual = next((way.actual for _, way in plain if way.actual is not None), None)
    bars = [(level, way.needed) for level, way in plain if way.needed is not None]
    highest = max(
        [Decimal(0), *([actual] if actual is not None else []), *(bar for _, bar in bars)]
    )
    scale = Decimal(100) if known and known.unit == "%" and highest <= 100 else highest
    of_unit = {} if one.unit_id is None else {"unit_id": one.unit_id}
    words: dict[str, Any] = {}
    if known is not None:
        words = {**words_for(one.measure, {**one.parameters, **of_unit}, one.first), "on": one.last}
    return Gauge(
        targets=of,
        of=known,
        actual=actual,
        length=share(actual, scale),
        marks=[(level, share(bar, scale)) for level, bar in bars],
        words=words,
        why=next((way.why for _, way in ways if way.why), None),
    )


def share(part: Decimal | int | None, whole: Decimal | int | None) -> int:
    """A part in thousandths of the whole, within it."""
    if not part or not whole or part < 0:
        return 0
    return min(THOUSAND, int(THOUSAND * Decimal(part) / Decimal(whole)))


# ----------------------------------------------------------------------------------- bindings
@dataclass(frozen=True)
class Bound:
    """A base of customers to be bound, and how many are; with its targets."""

    said: dict[str, str]
    rate: Measured
    gauges: list[Gauge]


def bindings(conn: Conn, on: date, said: Mapping[str, str]) -> tuple[list[Bound], Measured]:
    """Every base, and bindings in force by policy."""
    goals = [each for each in gauges(conn, on, said.get("unit_id")) if each.first.measure == BOUND]
    found = []
    for base in measure.known(conn, MEASURES[BOUND].rows.needs):
        rate = measure.measured(conn, BOUND, {**base, **said}, on)
        own = [each for each in goals if base.items() <= each.first.parameters.items()]
        found.append(Bound({**base, **said}, rate, own))
    return found, measure.measured(conn, BOUND_BY_POLICY, said, on, ("policy",))


# -------------------------------------------------------------------------------------- clubs
@dataclass(frozen=True)
class Months:
    """Visits of clubs, month by month."""

    clubs: list[clubs.Club]
    months: list[date]
    cells: dict[tuple[str, date], int]
    most: int

    def days(self, month: date) -> dict[str, str]:
        """With what a measure is asked of this month."""
        last = month.replace(day=monthrange(month.year, month.month)[1])
        return {"first": month.isoformat(), "on": last.isoformat()}


def by_month(conn: Conn, on: date, those: Sequence[clubs.Club]) -> Months:
    """The visits of each club in the twelve months up to a day."""
    first, cells = add_months(on.replace(day=1), -MONTHS), dict[tuple[str, date], int]()
    for each in those:
        use = visits.club_use(conn, each.club_id, first, on, ["month"], on)
        for row in use.rows if use else ():
            if row.month is not None:
                cells[each.club_id, row.month] = row.visits
    months = [add_months(first, n) for n in range(MONTHS + 1)]
    return Months(list(those), months, cells, max(cells.values(), default=0))


# ---------------------------------------------------------------------------------- campaigns
@dataclass(frozen=True)
class Compared:
    """Measures, each of several of a kind."""

    measures: list[Measure]
    cells: dict[tuple[str, str], Measured | measure.Group]
    """(id, measure) -> what it comes to."""

    @property
    def ids(self) -> list[str]:
        """Of what there is anything, in the order of their names."""
        return sorted({each for each, _ in self.cells})


def compared(conn: Conn, name: str, on: date, said: Mapping[str, str]) -> Compared:
    """Every measure of a noun that is asked, or grouped, by its id, of each of them."""
    noun = f"{name.removesuffix('_id')}s"
    of = [
        each
        for each in measure.catalogue()
        if each.id.startswith(f"{noun}.") and name in each.takes and {*said} <= {*each.takes}
    ]
    cells: dict[tuple[str, str], Measured | measure.Group] = {}
    for each in of:
        if name in each.rows.dims:
            for group in measure.measured(conn, each.id, said, on, (name,)).groups:
                cells[group.key[name] or "", each.id] = group
        else:
            for known in measure.known(conn, each.rows.needs):
                cells[known[name], each.id] = measure.measured(conn, each.id, {**known, **said}, on)
    return Compared(of, cells)


# ------------------------------------------------------------------------------------- routes
Scope = Annotated[str | None, Query(pattern=ONE_LINE, max_length=64)]


def _scope(who: Principal, unit_id: str | None, club_id: str | None) -> dict[str, str]:
    """Of what it is asked alone, if he may ask it."""
    told = {"unit_id": unit_id, "club_id": club_id}
    said = {name: value for name, value in told.items() if value is not None}
    if at_the_door(who, OF_ITS_VALUE, said, None) is None:
        raise DoorProblem("not_allowed")
    return said


@router.get(FIGURES)
@needs(OF_ITS_VALUE, by_itself=True)
async def overview(
    request: Request,
    house: InHouse,
    who: Who,
    asked: AsOf,
    unit_id: Scope = None,
    club_id: Scope = None,
) -> Response:
    """The parts of the overview that can be asked of what is said; whose are some units or clubs
    begins with the first of them."""
    try:
        said = _scope(who, unit_id, club_id)
    except DoorProblem:
        own = next(iter(_own(who)), None)
        if unit_id or club_id or own is None:
            raise
        return RedirectResponse(link(FIGURES, own, dict(request.query_params)), 303)
    moment = None if asked is None else await house.past.moment(asked, house.clock.now())
    idle = await since_when_idle(house) if asked is None else None
    shown = [name for name, takes in PARTS.items() if {*said} <= {*takes}]
    return page(
        request,
        "figures/overview.html",
        base=FIGURES,
        parts=shown,
        said=said,
        own=_own(who),
        moment_of=moment,
        idle=idle,
    )


def _own(who: Principal) -> list[dict[str, str]]:
    """The units and clubs alone of which somebody may ask."""
    grants = who.granted("figures.read")
    units = [{"unit_id": each} for grant in grants for each in grant.units]
    return [*units, *({"club_id": each} for grant in grants for each in grant.clubs)]


class _Seen(NamedTuple):
    """What a part of the overview shows, and what ids in it are called."""

    of: Any
    titles: dict[str, dict[str, str]]
    on: date


@router.get(f"{FIGURES}/parts/{{part}}")
@needs(OF_ITS_VALUE, by_itself=True)
async def one_part(
    request: Request,
    house: InHouse,
    who: Who,
    wait_for: Awaited,
    asked: AsOf,
    part: Annotated[Part, Path()],
    unit_id: Scope = None,
    club_id: Scope = None,
) -> Response:
    """A part of the overview."""
    said = _scope(who, unit_id, club_id)
    those = await _open_clubs(house, who, said) if part == "clubs" else []
    now = house.clock.now()
    question = partial(_seen, part=part, said=said, those=those, now=now)
    found = await house.ask(question, wait_for, asked)
    rows_too = at_the_door(who, OF_ITS_ROWS, said, None) is not None
    return page(
        request,
        f"figures/_{part}.html",
        base=FIGURES,
        api=PREFIX,
        found=found.of,
        titles=found.titles,
        on=found.on,
        said=said,
        rows_too=rows_too,
        rows_of=rows_of,
        valued=valued,
        share=share,
    )


async def _open_clubs(house: House, who: Principal, said: Mapping[str, str]) -> list[clubs.Club]:
    """The clubs whose use somebody may see."""
    known = await house.reads(clubs.clubs)
    wanted = [each for each in known if said.get("club_id") in (None, each.club_id)]
    return [each for each in wanted if await house.access.may(who, OF_CLUB, each)]


def _seen(
    conn: Conn,
    moment: Moment | None,
    part: Part,
    said: Mapping[str, str],
    those: Sequence[clubs.Club],
    now: datetime,
) -> _Seen:
    on = answers.day_asked(moment, now)
    of: Any
    match part:
        case "members":
            of = crossed(conn, VIPS, "unit_id", "tier", said, on)
        case "targets":
            of = gauges(conn, on, said.get("unit_id"))
        case "bindings":
            of = bindings(conn, on, said)
        case "clubs":
            of = by_month(conn, on, those)
        case "campaigns":
            of = compared(conn, CAMPAIGN, on, said)
    return _Seen(of=of, titles=titles_of(conn, TITLED), on=on)


def rows_of(measure_id: str) -> str:
    """The page of what makes a measure up."""
    return f"{FIGURES}/measures/{measure_id}/contributions"
