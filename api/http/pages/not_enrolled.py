"""Who is offered a campaign and has not enrolled yet, page by page: what the API lists, of all
units or of one's own."""

from functools import partial
from typing import Annotated

from fastapi import Query
from fastapi.responses import Response

from api.doors import PREFIX, Need
from api.http.pages.campaigns import ONE, Here, running
from api.http.pages.measures import titles_of
from api.http.pages.page import everywhere, router_of_pages
from api.http.server.access import needs
from api.http.server.inputs import AsOf, Awaited
from projections.engine import views
from projections.engine.answer import Moment
from projections.engine.connection import Conn

OF = views.VIEWS["not_enrolled"]
OF_ITS_ROWS = Need("lists.read", unit="unit_id")
SHOWN = 50

router = router_of_pages()


def _asked(
    conn: Conn, _: Moment | None, said: dict[str, str | None], after: str | None
) -> tuple[views.Page, dict[str, str]]:
    units = titles_of(conn, ("unit_id",)).get("unit_id", {})
    return views.page(conn, OF, said, SHOWN, after), units


@router.get(f"{ONE}/not-enrolled")
@needs(OF_ITS_ROWS, by_itself=True)
async def not_enrolled(
    here: Here,
    wait_for: Awaited,
    asked: AsOf,
    after: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """Customers who may be asked again."""
    said: dict[str, str | None] = {"campaign_id": here.campaign_id}
    if not everywhere(here.who, "lists.read"):
        grants = here.who.granted("lists.read")
        said["unit_id"] = ",".join(sorted({unit for each in grants for unit in each.units}))
    await here.house.access.admit(here.who, OF_ITS_ROWS, said)
    campaign = await here.house.reads(running(here))
    question = partial(_asked, said=said, after=after)
    found, units = await here.house.ask(question, wait_for, asked)
    now = here.house.clock.now()
    return here.page(
        "campaigns/not_enrolled.html",
        campaign=campaign,
        found=found,
        after=after,
        units=units,
        said=said,
        file=f"{PREFIX}/lists/{OF.name}",
        moment_of=None if asked is None else await here.house.past.moment(asked, now),
    )
