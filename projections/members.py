"""Members: their card, their tiers through time, and how many hold which tier at any date."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TypeAlias

from psycopg.rows import dict_row
from pydantic import Field

from domain.kernel.personal import Sealed
from domain.kernel.values import Tier
from domain.members import (
    MemberJoined,
    MemberLeft,
    MemberMarkedImportant,
    MemberMoved,
    MemberReturned,
    TierChanged,
    UnknownMember,
)
from domain.persons import MemberErased
from ledger.log import persons
from projections import bindings, free_visits, points, spans
from projections.bindings import Binding
from projections.engine.answer import Answer, Dated
from projections.engine.connection import Conn
from projections.engine.event_tables import counted
from projections.engine.measure import Events, Rows, measure
from projections.engine.names import named
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Stored, folded
from projections.engine.views import view
from projections.free_visits import FreeVisits
from projections.points import Account, Lot

MAX_SHARED = 20
"""How many members are shown for one phone number."""

AWAY = """
    LEFT JOIN absence away ON away.member_id = {0}.member_id AND away.bucket = {0}.bucket
        AND away.left_at < {1} AND (away.returned_at IS NULL OR away.returned_at >= {1})
"""
"""Beside a row of a member, his absence at an instant, if he was off the network; at most one."""


ON_NETWORK = """
    NOT EXISTS (
        SELECT FROM absence a_ WHERE a_.member_id = {0}.member_id AND a_.bucket = {0}.bucket
            AND a_.left_at < {1} AND (a_.returned_at IS NULL OR a_.returned_at >= {1})
    )
"""
"""Whether he was on it."""


class Members(Projection):
    """A row a customer as he is now, a row an absence from the network, a row a span of a unit.

    Now is the latest by when it happened, not the last that was told; so with spans."""

    tables = (
        """
        CREATE TABLE member (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            unit_id text NOT NULL,
            unit_since timestamptz NOT NULL,
            joined_at timestamptz NOT NULL,
            tier text,
            tier_since timestamptz,
            important boolean NOT NULL DEFAULT false,
            important_since timestamptz,
            left_at timestamptz,
            erased_at timestamptz,
            PRIMARY KEY (member_id, bucket)
        ) WITH (fillfactor = 80)
        """,
        """
        CREATE TABLE absence (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            period bigint NOT NULL,
            left_at timestamptz NOT NULL,
            returned_at timestamptz,
            PRIMARY KEY (member_id, period, bucket)
        )
        """,
        """
        CREATE TABLE unit_span (
            bucket smallint NOT NULL,
            member_id text NOT NULL,
            position bigint NOT NULL,
            unit_id text NOT NULL,
            since timestamptz NOT NULL,
            until timestamptz,
            PRIMARY KEY (member_id, position, bucket)
        ) WITH (fillfactor = 90)
        """,
    )
    indexes = ("CREATE INDEX ON member (left_at) WHERE left_at IS NOT NULL",)
    fold = (
        """
        INSERT INTO member (bucket, member_id, unit_id, unit_since, joined_at)
        SELECT bucket, member_id, unit_id, occurred_at, occurred_at FROM {member_joined}
        """,
        """
        DELETE FROM unit_span s USING {member_returned} e
        WHERE e.sign < 0 AND s.member_id = e.member_id AND s.position = e.position
            AND s.bucket = e.bucket
        """,
        """
        INSERT INTO unit_span (bucket, member_id, position, unit_id, since)
        SELECT bucket, member_id, position, unit_id, occurred_at FROM {member_joined} e
        UNION ALL
        SELECT bucket, member_id, position, unit_id, occurred_at FROM {member_moved} e
        UNION ALL
        SELECT bucket, member_id, position, unit_id, occurred_at FROM {member_returned} e
        WHERE sign > 0
        """,
        """
        UPDATE unit_span s SET until = t.until
        FROM (
            SELECT bucket, member_id, position,
                lead(since) OVER (PARTITION BY member_id ORDER BY since, position) AS until
            FROM unit_span
            WHERE (member_id, bucket) IN (
                SELECT member_id, bucket FROM {member_moved} e
                UNION SELECT member_id, bucket FROM {member_returned} e
            )
        ) t
        WHERE s.member_id = t.member_id AND s.position = t.position AND s.bucket = t.bucket
            AND s.until IS DISTINCT FROM t.until
        """,
        """
        UPDATE member m SET unit_id = u.unit_id, unit_since = u.since
        FROM unit_span u
        WHERE m.member_id = u.member_id AND m.bucket = u.bucket AND u.until IS NULL
            AND (u.member_id, u.bucket) IN (
                SELECT member_id, bucket FROM {member_moved} e
                UNION SELECT member_id, bucket FROM {member_returned} e
            )
        """,
        """
        UPDATE member m SET tier = t.tier, tier_since = t.occurred_at
        FROM (
            SELECT DISTINCT ON (member_id) bucket, member_id, tier, occurred_at
            FROM {tier_changed} e ORDER BY member_id, occurred_at DESC, position DESC
        ) t
        WHERE m.member_id = t.member_id AND m.bucket = t.bucket
            AND (m.tier_since IS NULL OR m.tier_since <= t.occurred_at)
        """,
        """
        UPDATE member m SET important = i.important, important_since = i.occurred_at
        FROM (
            SELECT DISTINCT ON (member_id) bucket, member_id, important, occurred_at
            FROM {member_marked_important} e ORDER BY member_id, occurred_at DESC, position DESC
        ) i
        WHERE m.member_id = i.member_id AND m.bucket = i.bucket
            AND (m.important_since IS NULL OR m.important_since <= i.occurred_at)
        """,
        """
        UPDATE member m SET erased_at = e.occurred_at
        FROM {member_erased} e
        WHERE m.member_id = e.member_id AND m.bucket = e.bucket
        """,
        """
        DELETE FROM absence a USING {member_left} e
        WHERE e.sign < 0 AND a.member_id = e.member_id AND a.bucket = e.bucket
            AND a.period = coalesce(e.period, 1)
        """,
        """
        INSERT INTO absence (bucket, member_id, period, left_at)
        SELECT bucket, member_id, coalesce(period, 1), occurred_at FROM {member_left} e
        WHERE sign > 0
        """,
        """
        UPDATE absence a SET returned_at = r.returned_at
        FROM (
            SELECT bucket, member_id, period,
                max(occurred_at) FILTER (WHERE sign > 0) AS returned_at
            FROM {member_returned} e GROUP BY 1, 2, 3
        ) r
        WHERE a.member_id = r.member_id AND a.bucket = r.bucket AND a.period = r.period - 1
        """,
        """
        UPDATE member m SET left_at = a.left_at
        FROM (
            SELECT bucket, member_id FROM {member_left} e
            UNION SELECT bucket, member_id FROM {member_returned} e
        ) e
        LEFT JOIN absence a
        ON a.member_id = e.member_id AND a.bucket = e.bucket AND a.returned_at IS NULL
        WHERE m.member_id = e.member_id AND m.bucket = e.bucket
        """,
    )


class Member(Dated):
    """A member's card. The phone number is shown with its middle hidden."""

    member_id: str
    name: str | None
    phone: str | None = Field(examples=["138****1234"])
    number_of: list[str] = Field(
        description="other members whose phone number looks like this member's id; mostly none"
    )
    unit_id: str
    unit_title: str | None
    tier: Tier | None
    tier_since: datetime | None
    important: bool
    joined_at: datetime
    left_at: datetime | None
    erased_at: datetime | None = Field(
        description="since when nobody knows who this is any more; null: not erased"
    )
    visits: int
    last_visit_at: datetime | None
    spendable_points: int
    points: Account
    lots: list[Lot] = Field(description="those with points left")
    bindings: list[Binding]
    free_visits: list[FreeVisits] = Field(description="of this year, by club and service")


Card: TypeAlias = Callable[[Conn, str], Member | None]


def member(conn: Conn, member_id: str, at: datetime) -> Member | None:
    """One customer's card; spendable points at this instant."""
    cursor = conn.cursor(row_factory=dict_row)
    found = cursor.execute(
        """
        SELECT m.member_id, m.unit_id, u.title AS unit_title, m.tier, m.tier_since, m.important,
            m.joined_at, m.left_at, m.erased_at, v.visits, v.last_visit_at
        FROM member m
        LEFT JOIN unit u ON u.unit_id = m.unit_id
        CROSS JOIN LATERAL (
            SELECT count(*) AS visits, max(occurred_at) AS last_visit_at
            FROM visit WHERE visit.member_id = m.member_id AND undone_at IS NULL
        ) v
        WHERE m.member_id = %s
        """,
        (member_id,),
    ).fetchone()
    if found is None:
        return None
    person = persons.NOBODY if found["erased_at"] else persons.person(conn, member_id)
    account = points.account(conn, member_id, at)
    return Member(
        **found,
        name=person.name,
        phone=person.phone,
        number_of=number_of(conn, member_id),
        spendable_points=account.spendable,
        points=account,
        lots=points.lots(conn, member_id),
        bindings=bindings.bindings(conn, member_id),
        free_visits=free_visits.free_visits(conn, member_id, found["tier"], at),
    )


class MemberLine(Answer):
    """A member in a list of those who may be meant."""

    member_id: str
    name: str | None
    phone: str | None
    tier: Tier | None
    unit_title: str | None


def lines(
    conn: Conn, member_ids: Sequence[str], units: Collection[str] | None, limit: int
) -> list[MemberLine]:
    """Those of these members who are on the network, in this order; of these units alone, unless
    that is null."""
    found = conn.execute(
        """
        SELECT m.member_id, m.tier, u.title
        FROM unnest(%(those)s::text[]) WITH ORDINALITY a(member_id, place)
        JOIN member m ON m.member_id = a.member_id
        LEFT JOIN unit u ON u.unit_id = m.unit_id
        WHERE m.erased_at IS NULL AND m.left_at IS NULL
            AND (%(units)s::text[] IS NULL OR m.unit_id = ANY(%(units)s))
        ORDER BY a.place LIMIT %(limit)s
        """,
        {
            "those": [*member_ids],
            "units": None if units is None else [*units],
            "limit": limit,
        },
    ).fetchall()
    people = persons.people(conn, [member_id for member_id, *_ in found])
    return [
        MemberLine(
            member_id=each,
            name=people[each].name,
            phone=people[each].phone,
            tier=tier,
            unit_title=unit,
        )
        for each, tier, unit in found
    ]


def number_of(conn: Conn, member_id: str) -> list[str]:
    """The other members whose phone number this id is a spelling of."""
    phone = persons.phone_of(member_id)
    found = [] if phone is None else persons.members_with_phone(conn, phone, MAX_SHARED)
    return [each for each in found if each != member_id]


def members_with_phone(conn: Conn, phone: Sealed, card: Card) -> list[Member]:
    """The cards of the members with this number, however it was spelt."""
    ids = persons.members_with_phone(conn, phone, MAX_SHARED)
    cards = (card(conn, member_id) for member_id in ids)
    return [card for card in cards if card is not None and card.erased_at is None]


named("member_id", UnknownMember)


# ----------------------------------------------------------------------------------- measures
HOLDERS = Rows(
    """
    SELECT s.bucket, s.member_id, s.position, u.position AS unit_position, s.tier, u.unit_id,
        s.since, s.until, away.left_at,
        held.now::int AS vips, held.before::int AS before,
        (held.now AND away.left_at IS NOT NULL)::int AS left
    FROM tier_span s
    JOIN unit_span u ON u.member_id = s.member_id AND u.bucket = s.bucket
    """
    + AWAY.format("s", "%(end)s")
    + """
    CROSS JOIN LATERAL (
        SELECT greatest(s.since, u.since) AS since, least(s.until, u.until) AS until
    ) both_
    CROSS JOIN LATERAL (
        SELECT both_.since < %(end)s AND coalesce(both_.until >= %(end)s, true) AS now,
            both_.since < %(start)s AND coalesce(both_.until >= %(start)s, true) AS before
    ) held
    WHERE s.tier IS NOT NULL AND (held.now OR held.before)
    """,
    key=("member_id", "position", "unit_position"),
    dims=("tier", "unit_id"),
    decided=("since", "until", "left_at"),
    sums=("vips", "before", "left"),
    events=(
        Events("tier.changed", by=("member_id", "position")),
        Events("member.moved", where="occurred_at < %(end)s"),
        Events("member.left", where="occurred_at < %(end)s"),
        Events("member.returned", where="occurred_at < %(end)s"),
    ),
    days=("before",),
    what="Who holds a tier at the end of `on`, those who left among them, or held it before "
    "`first`; each in the unit of that day.",
)

CUSTOMERS = Rows(
    """
    SELECT m.bucket, m.member_id, m.tier, u.unit_id, m.important, m.joined_at, away.left_at,
        (away.left_at IS NULL)::int AS on_network,
        (m.joined_at >= %(start)s)::int AS joined,
        EXISTS (SELECT FROM absence a WHERE a.member_id = m.member_id AND a.bucket = m.bucket
            AND a.left_at >= %(start)s AND a.left_at < %(end)s)::int AS left
    FROM member m
    JOIN unit_span u ON u.member_id = m.member_id AND u.bucket = m.bucket
        AND u.since < %(end)s AND (u.until IS NULL OR u.until >= %(end)s)
    """
    + AWAY.format("m", "%(end)s")
    + """
    WHERE m.joined_at < %(end)s
    """,
    key=("member_id",),
    dims=("tier", "unit_id"),
    decided=("important", "joined_at", "left_at"),
    sums=("on_network", "joined", "left"),
    events=(
        Events("member.joined", where="occurred_at < %(end)s"),
        Events("member.left", where="occurred_at < %(end)s"),
        Events("member.returned", where="occurred_at < %(end)s"),
    ),
    days=("joined", "left"),
    what="Whoever joined by the end of `on`, in the unit of that day. The tier is the latest that "
    "is known. Who left on some of the days counts as one who left, came he back since or not.",
)

measure("members.vips", "Customers who hold a tier", "VIP客户数", "customers", HOLDERS, "vips",
        note="those who left the network among them")  # fmt: skip
measure("members.growth", "More of them than before", "VIP客户净增", "customers", HOLDERS,
        "vips - before", note="against the day before `first`")  # fmt: skip
measure("members.growth_rate", "Growth rate", "VIP客户增幅", "%", HOLDERS,
        "100 * (vips - before) / before", digits=2)  # fmt: skip
measure("members.on_net_rate", "On-net rate", "在网率", "%", HOLDERS,
        "100 * (vips - left) / vips", digits=2)  # fmt: skip
measure("members.on_network", "Customers on the network", "在网客户数", "customers", CUSTOMERS,
        "on_network")  # fmt: skip
measure("members.joined", "Customers who joined", "新增客户数", "customers", CUSTOMERS, "joined")
measure("members.left", "Customers who left", "离网客户数", "customers", CUSTOMERS, "left")


view(
    "members",
    "Every customer as he is now, with his points and visits; who left, too.",
    """
    SELECT m.member_id, m.unit_id, u.title AS unit_title, m.tier, m.tier_since, m.important,
        m.joined_at, m.left_at, m.left_at IS NULL AS on_network, m.erased_at,
        coalesce(a.spendable, 0) AS balance, coalesce(-a.outside, 0) AS credited,
        coalesce(a.spent, 0) AS debited, coalesce(a.expired, 0) AS expired,
        coalesce(a.reversed, 0) AS reversed, v.visits, v.last_visit_at
    FROM member m
    LEFT JOIN unit u ON u.unit_id = m.unit_id
    LEFT JOIN account a ON a.member_id = m.member_id AND a.bucket = m.bucket
    CROSS JOIN LATERAL (
        SELECT count(*) AS visits, max(occurred_at) AS last_visit_at
        FROM visit WHERE visit.member_id = m.member_id AND undone_at IS NULL
    ) v
    """,
    """
    member_id text
    unit_id text: his unit
    unit_title text?: what it is called
    tier text?: his tier; null: none
    tier_since timestamptz?: since when
    important boolean: whether he is marked so
    joined_at timestamptz: when he joined
    left_at timestamptz?: when he left the network; null: he is on it
    on_network boolean: whether he is on it
    erased_at timestamptz?: since when nobody knows who he is; null: not erased
    balance bigint: points that he has, available or not yet, written off or not yet
    credited bigint: points that he ever got
    debited bigint: points that he paid, but for what was given back
    expired bigint: points that were written off
    reversed bigint: credits that were taken back
    visits bigint: how often he came, but for what was undone
    last_visit_at timestamptz?: when he last came
    """,
    key=("member_id",),
    same=("unit_id", "tier", "important", "on_network"),
    least=("balance", "visits"),
    day="joined_at",
    within={
        "cohort_id": "v.member_id IN (SELECT member_id FROM cohort_member"
        " WHERE cohort_id = ANY (%(cohort_id)s))",
        "campaign_id": "v.member_id IN (SELECT member_id FROM"
        f" {counted('campaign.enrolled')} e WHERE campaign_id = ANY (%(campaign_id)s))",
        "club_id": "v.member_id IN (SELECT member_id FROM visit"
        " WHERE club_id = ANY (%(club_id)s) AND undone_at IS NULL)",
    },
)
view(
    "tiers",
    "Every span of time in which a customer held a tier, or none.",
    """
    SELECT member_id, tier, unit_id, since, until, until IS NULL AS holds, reason, bucket, position
    FROM tier_span
    """,
    """
    member_id text
    tier text?: the tier; null: none
    unit_id text
    since timestamptz: from then on
    until timestamptz?: to before then; null: still
    holds boolean: whether it still does
    reason text: why it was given
    bucket smallint
    position bigint
    """,
    key=("member_id", "bucket", "position"),
    same=("member_id", "tier", "unit_id", "holds"),
    day="since",
)


# ----------------------------------------------------------------------- the same in plain Python
@folded(MemberJoined)
def _member_joined(fold: ReferenceFold, at: Stored, event: MemberJoined) -> None:
    fold.add("member", (at.id,), bucket=at.bucket, member_id=at.id, unit_id=event.unit_id,
             unit_since=event.occurred_at, joined_at=event.occurred_at, tier=None, tier_since=None,
             important=False, important_since=None, left_at=None, erased_at=None)  # fmt: skip
    spans.in_unit(fold, at, event, sign=1)


@folded(MemberMarkedImportant)
def _member_marked_important(fold: ReferenceFold, at: Stored, event: MemberMarkedImportant) -> None:
    row = fold.row("member", at.id)
    fold.latest(row, "important_since", event, important=event.important)


@folded(MemberLeft)
def _member_left(fold: ReferenceFold, at: Stored, event: MemberLeft, sign: int = 1) -> None:
    period = event.period or 1
    fold.row("member", at.id)["left_at"] = event.occurred_at if sign > 0 else None
    if sign < 0:
        del fold.tables["absence"][at.id, period]
        return
    fold.add("absence", (at.id, period), bucket=at.bucket, member_id=at.id, period=period,
             left_at=event.occurred_at, returned_at=None)  # fmt: skip


@folded(MemberErased)
def _member_erased(fold: ReferenceFold, at: Stored, event: MemberErased) -> None:
    fold.row("member", at.id)["erased_at"] = event.occurred_at


@folded(MemberReturned)
def _member_returned(fold: ReferenceFold, at: Stored, event: MemberReturned, sign: int = 1) -> None:
    absence = fold.row("absence", at.id, event.period - 1)
    absence["returned_at"] = event.occurred_at if sign > 0 else None
    fold.row("member", at.id)["left_at"] = None if sign > 0 else absence["left_at"]
    _in_unit(fold, at, event, sign)


@folded(MemberMoved)
def _member_moved(fold: ReferenceFold, at: Stored, event: MemberMoved) -> None:
    _in_unit(fold, at, event)


def _in_unit(
    fold: ReferenceFold, at: Stored, event: MemberMoved | MemberReturned, sign: int = 1
) -> None:
    now = spans.in_unit(fold, at, event, sign)
    fold.row("member", at.id).update(unit_id=now["unit_id"], unit_since=now["since"])


@folded(TierChanged)
def _tier_changed(fold: ReferenceFold, at: Stored, event: TierChanged) -> None:
    fold.latest(fold.row("member", at.id), "tier_since", event, tier=event.tier)
    spans.in_tier(fold, at, event)
