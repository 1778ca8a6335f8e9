"""The same command as the eventsourcing library is ordinarily used: load, decide, save.

An aggregate with its events, an application on PostgreSQL with the library's defaults, a
synchronous endpoint in FastAPI's thread pool. No snapshots and no cache: neither is on by default.
Generous to it: no idempotency key is kept, and the club's rules are constants.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import psycopg
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import IntegrityError
from eventsourcing.utils import get_topic
from fastapi import FastAPI, Response
from psycopg.conninfo import conninfo_to_dict

from api.http.server.inputs import MemberPath
from api.runtime.clock import Clock
from bench import population
from bench.requests import VisitRequest

TRIES = 10


class RefusedError(Exception):
    """The rule says no."""


class Account(Aggregate):
    """A member's points, as far as a visit asks for them."""

    @event("Opened")
    def __init__(self, tier: str, lots: list[list[Any]]) -> None:
        self.tier = tier
        self.lots = lots
        self.visits = 0

    @event("Visited")
    def visited(
        self, club: str, service: str, tier: str, points: int, uses: list[list[int]], desk: str
    ) -> None:
        """Apply what was decided."""
        self.visits += 1
        for number, used in uses:
            self.lots[number][0] -= used

    def visit(self, visit: VisitRequest, at: datetime) -> None:
        """Tier, price and points, soonest expiring first."""
        if self.tier not in ("diamond", "gold"):
            raise RefusedError("tier")
        price = population.PRICE_POINTS
        if visit.shown_points != price:
            raise RefusedError("price")
        left, uses = price, []
        now = at.isoformat()
        for number, (points, expires) in sorted(enumerate(self.lots), key=lambda lot: lot[1][1]):
            used = min(points, left) if expires > now else 0
            if used:
                uses.append([number, used])
                left -= used
        if left:
            raise RefusedError("points")
        self.visited(visit.club_id, visit.service_id, self.tier, price, uses, visit.desk)


def id_of(member: str) -> UUID:
    """The aggregate of a member."""
    return uuid5(NAMESPACE_URL, f"/members/{member}")


class Desk(Application[UUID]):
    """The library's application, with its defaults."""

    def visit(self, member: str, visit: VisitRequest) -> int:
        """Load, decide, save; again if somebody else was faster. Returns the new version."""
        for attempt in range(TRIES):
            account: Account = self.repository.get(id_of(member))
            account.visit(visit, Clock().now())
            try:
                self.save(account)
            except IntegrityError:
                if attempt == TRIES - 1:
                    raise
            else:
                return account.version
        raise AssertionError("the last try returns or raises")


def desk(dsn: str) -> Desk:
    """The application on its database."""
    known = conninfo_to_dict(dsn)
    return Desk(
        env={
            "PERSISTENCE_MODULE": "eventsourcing.postgres",
            "POSTGRES_DBNAME": str(known["dbname"]),
            "POSTGRES_HOST": str(known["host"]),
            "POSTGRES_PORT": str(known["port"]),
            "POSTGRES_USER": str(known["user"]),
            "POSTGRES_PASSWORD": str(known["password"]),
        }
    )


def open_accounts(dsn: str, members: int, now: datetime) -> None:
    """An event of its own for every member, by COPY: one by one would take minutes."""
    application = desk(dsn)
    table = "desk_events"
    lots = [
        [population.LOT_POINTS, (now + timedelta(days=180 * (n + 1))).isoformat()]
        for n in range(population.LOTS)
    ]

    def rows() -> Iterator[tuple[Any, ...]]:
        for number in range(1, members + 1):
            opened: Any = Account.Opened(  # type: ignore[attr-defined]
                originator_id=id_of(population.member_id("m", number)),
                originator_version=1,
                originator_topic=get_topic(Account),
                timestamp=now,
                tier="gold",
                lots=lots,
            )
            stored = application.mapper.to_stored_event(opened)
            yield stored.originator_id, 1, stored.topic, stored.state

    try:
        with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
            columns = "originator_id, originator_version, topic, state"
            with cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
                for row in rows():
                    copy.write_row(row)
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute(f"VACUUM ANALYZE {table}")
    finally:
        application.close()


def app(dsn: str) -> FastAPI:
    """The synchronous endpoint."""
    application = desk(dsn)
    served = FastAPI(docs_url=None, redoc_url=None)

    @served.post("/members/{member_id}/visits", status_code=201)
    def record_visit(member_id: MemberPath, visit: VisitRequest) -> Response:
        version = application.visit(member_id, visit)
        return Response(b'{"version":%d}' % version, 201, media_type="application/json")

    return served
