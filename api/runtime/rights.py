"""Rights: whether a principal may do something, and who events say that he is. Whoever decides it,
a door or a job, decides it here.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from api.doors import Need
from api.runtime.clock import Clock
from api.runtime.problems import DoorProblem
from domain.access import SCOPES, Grant, Principal
from domain.members import unit_at
from domain.visits import VISITS, VisitRecorded
from ledger.commands import asked_under
from ledger.log.states import states
from projections.engine.connection import Conn

DEFAULT_ACTOR = "clerk:desk"
ANY_ROLE = "*"

ANYBODY = Principal(
    "", (Grant(ANY_ROLE, dict.fromkeys((s for s in SCOPES if s != "access.write"), "all")),)
)
"""Whoever reaches a ledger for which no key was ever made: `serve` lets only its own machine reach
it. He may do what is done at desks, and give nobody a right."""


def at_the_door(
    who: Principal, need: Need, said: Mapping[str, Any], actor: str | None
) -> str | None:
    """The same without asking the database; None if that cannot be said without it, or not."""
    role = actor and actor.partition(":")[0]
    for grant in _in_order(who.grants, need):
        reach = grant.scopes.get(need.scope or "")
        if reach is None or (role is not None and grant.role_id not in (role, ANY_ROLE)):
            continue
        if reach == "clubs":
            there = need.club == "club_id" and _within(said, "club_id", grant.clubs)
        elif reach == "units":
            there = need.unit == "unit_id" and _within(said, "unit_id", grant.units)
        else:
            there = reach == "all"
        if there:
            return _actor(who, grant, actor)
    return None


def admitted(
    conn: Conn,
    clock: Clock,
    who: Principal,
    need: Need,
    said: Mapping[str, Any],
    actor: str | None = None,
    key: str | None = None,
) -> str:
    """The actor, by what the ledger says of the member or visit that it is about. Under the `key`
    of a command is answered again what he has done, though he may do it no more: the member may be
    another unit's since, by that very command. Raises `not_allowed`."""
    named = at_the_door(who, need, said, actor)
    if named is not None:
        return named
    if not _in_role(list(who.grants), actor):
        raise DoorProblem("not_in_your_name")
    for grant in _in_order(_in_role(who.granted(need.scope or ""), actor), need):
        there = False
        if grant.reach(need.scope or "") == "units":
            if need.unit == "member_id":
                there = unit_of(conn, said["member_id"], clock) in grant.units
        elif need.club == "visit":
            there = club_of(conn, said["member_id"], said["visit"]) in grant.clubs
        if there:
            return _actor(who, grant, actor)
    done_by = None if key is None else _done_by(conn, key, said)
    for grant in _in_role(who.granted(need.scope or ""), actor):
        if done_by == _actor(who, grant, actor):
            return done_by
    raise DoorProblem("not_allowed")


def _done_by(conn: Conn, key: str, said: Mapping[str, Any]) -> str | None:
    """Who has carried out a command about this member under this key, as events name him; None:
    nobody, or it shows what may be seen no more."""
    for command in asked_under(conn, key):
        if getattr(command, "member_id", "") == said.get("member_id") and not command.discloses:
            return command.actor
    return None


def unit_of(conn: Conn, member_id: str, clock: Clock) -> str | None:
    """The unit of a member now, as the ledger has it; None if there is no such member."""
    if (
        "\0" in member_id
    ):  # An address is looked at for rights first, and no text of PostgreSQL has it.
        return None
    stream = f"member:{member_id}"
    membership = states(conn, [stream])[stream]["membership"]
    return unit_at(membership, clock.now()) or None


def club_of(conn: Conn, member_id: str, visit: int) -> str | None:
    """The club of a visit, undone or not; None if there is no such visit."""
    stream = f"member:{member_id}"
    visits = states(conn, [stream])[stream]["visits"]
    latest = (each for each in VISITS.opened(visits.latest) if each.id == visit)
    if (found := next(latest, None)) is not None:
        return found.club_id
    return _club_in_the_log(conn, stream, visit) if visit <= visits.made else None


def _club_in_the_log(conn: Conn, stream: str, visit: int) -> str | None:
    """The same of a visit of long ago. Visits are numbered in the order of their stream, so it is
    halved until it is found: a refusal costs hardly more after 20,000 of them."""
    last = conn.execute(
        "SELECT max(originator_version) FROM ledger.stored_events WHERE originator_id = %s",
        (stream,),
    ).fetchone()
    low, high = visit, 0 if last is None else last[0] or 0
    while low <= high:
        middle = (low + high) // 2
        found = _next_visit(conn, stream, middle, high)
        if found is None or found[1] > visit:
            high = middle - 1
        elif found[1] < visit:
            low = found[0] + 1
        else:
            return found[2]
    return None


def _next_visit(conn: Conn, stream: str, first: int, last: int) -> tuple[int, int, str] | None:
    """(version, number, club) of the first visit among these versions of a stream; None: none."""
    some = 8
    while first <= last:
        found = conn.execute(
            "SELECT originator_version, convert_from(state, 'UTF8')::json"
            " FROM ledger.stored_events WHERE originator_id = %s"
            " AND originator_version BETWEEN %s AND %s AND topic = %s"
            " ORDER BY originator_version LIMIT 1",
            (stream, first, min(first + some - 1, last), VisitRecorded.topic),
        ).fetchone()
        if found is not None:
            return found[0], found[1]["visit"], found[1]["club_id"]
        first, some = first + some, some * 2
    return None


def _within(said: Mapping[str, Any], field: str, own: Collection[str]) -> bool:
    """Whether what is asked for lies in clubs or units of one's own: each, where there are several
    by commas."""
    value = said.get(field)
    return isinstance(value, str) and all(each in own for each in value.split(","))


def _in_order(grants: Sequence[Grant], need: Need) -> Sequence[Grant]:
    """Of several grants he acts by the first that lets him: that of the role which may do more."""
    if not need.stronger or len(grants) < 2:
        return grants
    return sorted(grants, key=lambda grant: grant.role_id != need.stronger)


def _in_role(grants: list[Grant], actor: str | None) -> list[Grant]:
    """The grants by which he may be this actor: those of its role."""
    if actor is None:
        return grants
    role = actor.partition(":")[0]
    return [grant for grant in grants if grant.role_id in (role, ANY_ROLE)]


def _actor(who: Principal, grant: Grant, named: str | None) -> str:
    """As events name him. Who acts for another is named behind him: `clerk:li@cl_desk-1`."""
    if grant.role_id == ANY_ROLE:
        return named or DEFAULT_ACTOR
    own = f"{grant.role_id}:{who.name}"
    if named is None or named == own:
        return own
    if "@" in named or len(f"{named}@{who.name}") > 64 + len(grant.role_id) + 1:
        raise DoorProblem("not_in_your_name")
    return f"{named}@{who.name}"


def signed(who: Principal, named: str | None) -> str:
    """Whose name a file bears that he takes along."""
    grants = _in_role(list(who.grants), named)
    if not grants:
        raise DoorProblem("not_in_your_name")
    return _actor(who, grants[0], named)
