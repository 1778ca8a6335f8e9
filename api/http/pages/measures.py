"""Measures at the pages: the catalogue with its values, what one comes to with its parameters, and
the rows that make it up, which lead to their events."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from inspect import Parameter
from typing import Any

from fastapi import Request
from fastapi.responses import Response

from api import answers
from api.doors import PREFIX, Need
from api.http import figures
from api.http.measures import (
    OF_ITS_ROWS,
    OF_ITS_VALUE,
    After,
    By,
    asked_with,
    said_of,
)
from api.http.pages import words
from api.http.pages.page import AUDIT, FIGURES, language_of, page, router_of_pages
from api.http.server.access import Who, needs
from api.http.server.inputs import AsOf, Awaited, House, InHouse, Limit, several
from api.runtime.rights import at_the_door
from domain.access import Principal
from projections.engine import contributions, measure
from projections.engine.answer import Moment
from projections.engine.connection import Conn
from projections.engine.measure import (
    DAY,
    DAYS,
    MEASURES,
    Described,
    Measure,
    Measured,
    UnknownMeasure,
    described,
)
from projections.engine.moments import Asked
from projections.engine.names import ANYBODY, NOBODY, choices

router = router_of_pages()
_NAME = re.compile(r"[a-z_][a-z0-9_]*")
_SIGNS = {"*": "×", "/": "÷", "-": "−"}
Titles = Mapping[str, Mapping[str, str]]
"""What ids are called, by the name of the id."""


# ------------------------------------------------------------------------------------- words
def in_words(language: words.Language, of: Measure) -> str:
    """A formula as readers read it."""
    told = _NAME.sub(lambda found: input_word(language, of, found[0]), of.formula.text)
    return re.sub(r" ([*/-]) ", lambda found: f" {_SIGNS[found[1]]} ", told)


def input_word(language: words.Language, of: Measure, name: str) -> str:
    """What a sum is called: as the table of names has it, else as the measure that is that sum."""
    if name in words.words()["names"]:
        return words.named(language, name)
    alone = (each for each in MEASURES.values() if each.rows is of.rows)
    found = next((each for each in alone if each.formula.text == name), None)
    return name if found is None else words.title(language, found)


def valued(value: Any, unit: str, digits: int | None = None) -> str:
    """A value of a measure without its unit."""
    if value is not None and unit == DAY:
        return measure.day_of(value).isoformat()
    return words.number(value, digits)


def group_key(key: Mapping[str, str | None]) -> dict[str, str]:
    """The filters that leave the rows of a group alone."""
    return {name: NOBODY if value is None else value for name, value in key.items()}


TITLED = ("unit_id", "club_id", "cohort_id", "campaign_id")
"""The ids that figures and their targets are of, which readers know by titles."""


def titles_of(conn: Conn, names: Iterable[str]) -> dict[str, dict[str, str]]:
    """What ids of these names are called, where they are few enough to choose from."""
    found = ((name, choices(conn, name)) for name in dict.fromkeys(names))
    return {name: known for name, known in found if known is not None}


# -------------------------------------------------------------------------------------- form
def fields_of(of: Described, said: Mapping[str, Any], titles: Titles) -> list[dict[str, Any]]:
    """What the form of a measure asks for, each with what was said."""
    usual = MEASURES[of.measure_id].rows.may
    made = []
    for name in of.takes:
        options = dict(titles[name]) if name in titles else None
        value = str(said.get(name, ""))
        if options is not None and name in of.by:
            options |= {NOBODY: NOBODY, ANYBODY: ANYBODY}
        if options is not None and value:
            options.setdefault(value, value)
        kind = "date" if name in DAYS else "number" if isinstance(usual.get(name), int) else "text"
        made.append(
            {
                "name": name,
                "kind": kind,
                "options": options,
                "value": value,
                "usual": usual.get(name),
                "required": name in of.needs,
            }
        )
    return made


async def _form(
    house: House, of: Measure, said: Mapping[str, Any], by: Sequence[str], asked: Asked | None
) -> dict[str, Any]:
    """What both pages of a measure show of it."""
    known = described(of)
    titles = await house.reads(partial(titles_of, names=known.takes))
    of_today = asked is None and "on" not in said
    return {
        "of": known,
        "measure": of,
        "fields": fields_of(known, said, titles),
        "titles": titles,
        "said": said,
        "by": by,
        "kept": {**said, "by": ",".join(by)},
        "idle": await figures.since_when_idle(house) if of_today else None,
    }


# ------------------------------------------------------------------------------------- routes
@router.get(f"{FIGURES}/measures")
@needs(Need("figures.read"))
async def catalogue(request: Request, house: InHouse, wait_for: Awaited, asked: AsOf) -> Response:
    """Every measure, with its value now or as of a moment."""
    if asked is None:
        found, _ = await figures.live_figures(house, wait_for)
    else:
        found = await house.ask(
            lambda conn, moment: answers.all_figures(conn, house.meta, moment), wait_for, asked
        )
    nouns: dict[str, list[answers.MeasureFigure]] = {}
    for each in found.figures:
        nouns.setdefault(each.measure_id.partition(".")[0], []).append(each)
    return _page(request, "figures/catalogue.html",
        nouns=nouns, moment_of=found.moment, idle=found.idle_since,
    )  # fmt: skip


def in_words_of(request: Request) -> Callable[[Measure], str]:
    """How formulas are told in the language of a page."""
    return partial(in_words, language_of(request))


def input_word_of(request: Request) -> Callable[[Measure, str], str]:
    """What sums are called in the language of a page."""
    return partial(input_word, language_of(request))


def _page(request: Request, template: str, **values: Any) -> Response:
    return page(
        request,
        template,
        base=FIGURES,
        api=PREFIX,
        in_words=in_words_of(request),
        input_word=input_word_of(request),
        valued=valued,
        group_key=group_key,
        **values,
    )


@needs(OF_ITS_VALUE)
async def measure_page(
    request: Request,
    measure_id: str,
    house: House,
    who: Principal,
    wait_for: tuple[int, int] | None,
    asked: Asked | None,
    by: list[str],
    **taken: Any,
) -> Response:
    """What a measure comes to with its parameters, and by columns of its rows."""
    of, said, now = _known(measure_id), said_of(taken), house.clock.now()
    found: Measured | None = None
    if all(name in said for name in of.needs):

        def ask(conn: Conn, moment: Moment | None) -> Measured:
            on = answers.day_asked(moment, now)
            return measure.measured(conn, measure_id, said, on, several(by))

        found = await house.ask(ask, wait_for, asked)
    shown = await _form(house, of, said, several(by), asked)
    rows_too = _may_see_rows(who, said)
    return _page(request, "figures/measure.html", found=found, rows_too=rows_too, **shown)


def _may_see_rows(who: Principal, said: Mapping[str, Any]) -> bool:
    return at_the_door(who, OF_ITS_ROWS, said, None) is not None


@needs(OF_ITS_ROWS)
async def rows_page(
    request: Request,
    measure_id: str,
    house: House,
    wait_for: tuple[int, int] | None,
    asked: Asked | None,
    limit: int,
    after: str | None,
    **taken: Any,
) -> Response:
    """The rows that make a measure up, page by page, each with its events."""
    of, said, now = _known(measure_id), said_of(taken), house.clock.now()

    def ask(conn: Conn, moment: Moment | None) -> contributions.Contributions:
        on = answers.day_asked(moment, now)
        return contributions.contributions(conn, measure_id, said, on, limit, after)

    found = await house.ask(ask, wait_for, asked)
    shown = await _form(house, of, said, [], asked)
    return _page(
        request,
        "figures/rows.html",
        found=found.measured,
        moment_of=found.moment,
        rows=found.contributions,
        columns=of.rows.columns,
        adds=sums_of(of, found.contributions),
        next=found.next,
        after=after,
        event_address=event_address,
        **shown,
    )


def sums_of(of: Measure | None, rows: Sequence[contributions.Contribution]) -> dict[str, int]:
    """What these rows add to each input."""
    return {name: sum(row.adds[name] for row in rows) for name in (of.added if of else ())}


def event_address(place: str) -> str:
    """The page of an event."""
    bucket, _, position = place.partition(":")
    return f"{AUDIT}/events/{bucket}/{position}"


def _known(measure_id: str) -> Measure:
    if measure_id not in MEASURES:
        raise UnknownMeasure
    return MEASURES[measure_id]


def _open(path: str, ask: Callable[..., Any], **more: tuple[Any, Any]) -> None:
    """A page that takes every parameter that some measure takes."""
    request = {"request": (Request, Parameter.empty)}
    ask.__dict__["__signature__"] = asked_with(**request, **more)
    router.add_api_route(path, ask)


_MEASURE = f"{FIGURES}/measures/{{measure_id}}"
_open(_MEASURE, measure_page, who=(Who, Parameter.empty), by=(By, []))
_open(f"{_MEASURE}/contributions", rows_page, limit=(Limit, 50), after=(After, None))
