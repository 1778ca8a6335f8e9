"""Lists: each view of the catalogue as pages, and all of it as a file."""

from functools import partial
from inspect import Parameter, Signature
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import create_model

from api import answers
from api.doors import PREFIX, Need
from api.http.server.access import SIGNED_IN, needs
from api.http.server.documented import refuses
from api.http.server.downloads import DOWNLOAD, Download, Wanted, download
from api.http.server.inputs import PAST, AsOf, Awaited, House, InHouse, Limit
from api.http.server.paging import NEXT, Pages, Paging
from domain.kernel.values import ONE_LINE
from projections.engine import views
from projections.engine.answer import Answer, Dated, Moment
from projections.engine.catalogue import NOUNS
from projections.engine.connection import Conn
from projections.engine.moments import Asked
from projections.engine.names import codes_of
from projections.engine.views import View

assert NOUNS, "they make the catalogue"

router = APIRouter(prefix=PREFIX, tags=["lists"])


class Listed(Answer):
    """A list: what it holds, and by what it can be filtered."""

    view: str
    about: str
    filters: list[str]


class Lists(Answer):
    """Every list."""

    lists: list[Listed]


@router.get("/lists", response_model=Lists)
@needs(SIGNED_IN)
async def all_lists() -> Lists:
    """Every list: what it holds, and by what it can be filtered."""
    found = (
        Listed(view=of.name, about=of.about, filters=[*of.filters]) for of in views.catalogue()
    )
    return Lists(lists=list(found))


def _page_model(of: View) -> type[Dated]:
    rows: Any = list[of.row]  # type: ignore[name-defined]
    fields: dict[str, Any] = {of.name: (rows, ...), "next": (str | None, NEXT)}
    name = of.row.__name__.removesuffix("Row")
    return create_model(f"{name}List", __base__=Dated, __doc__=of.about, **fields)


def _open(of: View) -> None:
    """The route of a list."""
    model = _page_model(of)
    club, unit = (each if each in of.filters else None for each in ("club_id", "unit_id"))

    @needs(Need("lists.read", club, unit))
    async def ask(
        house: House,
        wait_for: tuple[int, int] | None,
        asked: Asked | None,
        wanted: Download | None,
        limit: int,
        pages: Paging,
        **said: str | None,
    ) -> Answer | Response:
        def page(conn: Conn, _: Moment | None) -> Dated:
            found = views.page(conn, of, said, limit, pages.after)
            told: dict[str, Any] = {of.name: found.rows, "next": pages.named(found.next)}
            return model(**told)

        views.read(of, said)  # before anything is waited for
        if wanted is None:
            return await house.ask(page, wait_for, asked)
        whole = partial(answers.list_export, meta=house.meta, of=of, said=said, by=wanted.by)
        return await download(
            house, wanted, lambda conn, moment: whole(conn, moment=moment), wait_for, asked
        )

    kind = Parameter.KEYWORD_ONLY
    fixed = {
        "house": InHouse,
        "wait_for": Awaited,
        "asked": AsOf,
        "wanted": Wanted,
        "pages": Pages,
    }
    words = {
        each.name: Annotated[
            str | None,
            Query(
                pattern=ONE_LINE,
                max_length=views.CHARACTERS,
                description=each.about,
                json_schema_extra=dict(each.form),
            ),
        ]
        for each in of.filters.values()
    }
    ask.__dict__["__signature__"] = Signature(  # which FastAPI goes by
        [
            *(Parameter(name, kind, annotation=each) for name, each in fixed.items()),
            Parameter("limit", kind, annotation=Limit, default=50),
            *(Parameter(name, kind, annotation=each, default=None) for name, each in words.items()),
        ]
    )
    codes = codes_of((*of.same, *of.within), of.name)
    router.add_api_route(
        f"/lists/{of.name}",
        ask,
        name=f"list_of_{of.name}",
        description=f"{of.about} In the order of {', '.join(of.key)}.",
        response_model=model,
        responses={**DOWNLOAD, **refuses(*codes, "wrong_parameters", "too_large_a_sheet", *PAST)},
    )


for _view in views.catalogue():
    _open(_view)
