"""What forms offer where an id is asked for: ids that exist, each with its title, to whoever may
read of them."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from api.doors import QUESTIONS, Question
from domain.access import Principal
from domain.catalogue import CATALOGUE
from projections.engine.answer import Answer
from projections.engine.connection import Conn
from projections.engine.measure import MEASURES
from projections.engine.names import titled

MOST_OFFERED = 500
LISTS = {each.name: each for each in QUESTIONS if not each.words}
TITLED = {
    "club_id": "clubs.read",
    "service_id": "clubs.read",
    "campaign_id": "campaigns.read",
    "cohort_id": "figures.read",
    "unit_id": "members.read",
}
"""What is offered where such an id is asked for, to who may read of it."""
SEVERAL = {"clubs": "club_id", "campaigns": "campaign_id", "units": "unit_id"}
"""Fields that hold several of an id."""
STANDING: dict[str, Mapping[str, Any]] = {"measure": MEASURES, "topics": CATALOGUE}
"""What is offered without asking the ledger."""


def _own(who: Principal, scope: str, name: str) -> set[str] | None:
    """The clubs or units in which alone he was given this scope; None: in all."""
    grants = who.granted(scope)
    reaches = {grant.reach(scope) for grant in grants}
    if reaches == {"clubs"} and name == "club_id":
        return {each for grant in grants for each in grant.clubs}
    if reaches == {"units"} and name == "unit_id":
        return {each for grant in grants for each in grant.units}
    return None


def offers(conn: Conn, who: Principal, scope: str, names: Iterable[str]) -> dict[str, Any]:
    """Ids that exist, each with its title, by the name of the id; for what needs this scope."""
    found = dict[str, list[tuple[str, str]]]()
    for name in names:
        if name in TITLED and who.granted(TITLED[name]):
            own = _own(who, scope, name)
            known = titled(conn, name, MOST_OFFERED)
            found[name] = [each for each in known if own is None or each[0] in own]
        for question in LISTS.values():
            if name not in TITLED and id_of(question) == name and who.granted(question.scope):
                rows = getattr(question(conn), question.name)[:MOST_OFFERED]
                found[name] = [(getattr(r, name), getattr(r, "title", "")) for r in rows]
    return found


def row_of(question: Question) -> type[Answer]:
    """The class of the rows of a list."""
    row: type[Answer]
    (row,) = get_args(question.answer.model_fields[question.name].annotation)
    return row


def id_of(question: Question) -> str:
    """The name of the id of each row of a list."""
    return next(iter(row_of(question).model_fields))
