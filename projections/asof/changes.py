"""What changed from one moment to another, and the events between that it comes from.

A measure is a sum over events: its difference between two moments is the sum over the events that
only one of them holds. Its two values come from the folded answers and its causes from the typed
events, so that each checks the other: they *foot*.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import Field

from projections.asof import pairs
from projections.engine.answer import Answer, Moment, Number
from projections.engine.connection import Conn
from projections.engine.event_tables import WRONG, typed_tables
from projections.engine.postings import EACH, NETS, SUMS, movers
from projections.figures.report import Figure, difference


@dataclass(frozen=True, slots=True)
class Part:
    """What the events of a topic add to a measure: the key, and how much, in SQL.

    `held`: the key is what a member holds from then on. He counts under the one that happened
    last, so that what an event adds hangs on the others.
    """

    topic: str
    amount: str
    key: str = "''"
    held: bool = False


@dataclass(frozen=True, slots=True)
class Measure:
    """`values`: a query on the answers for (key, value); `parts`: what makes it of events."""

    values: str
    parts: tuple[Part, ...]


def _points(column: str) -> Measure:
    """Of all events that have postings, those which move what is measured."""
    wanted = f"(SELECT sum({column}) FROM (SELECT {NETS} FROM {EACH}) nets)"
    parts = [Part(topic, wanted, f"CASE WHEN {wanted} <> 0 THEN '' END") for topic in movers()]
    return Measure(f"SELECT '', sum({column}) FROM account", tuple(parts))


def _enrolments(column: str, amount: str) -> Measure:
    return Measure(
        f"SELECT campaign_id, sum({column}) FROM campaign_use GROUP BY 1",
        (Part("campaign.enrolled", amount, "campaign_id"),),
    )


MEASURES: dict[str, Measure] = {
    **{f"points.{name}": _points(column) for name, column in SUMS.items()},
    "tiers.{}": Measure(
        "SELECT tier, sum(delta) FROM tier_day GROUP BY 1",
        (Part("tier.changed", "1", "tier", held=True),),
    ),
    "clubs.{}.visits": Measure(
        "SELECT club_id, sum(visits) FROM club_use GROUP BY 1",
        (Part("visit.recorded", "1", "club_id"), Part("visit.undone", "-1", "club_id")),
    ),
    "campaigns.{}.participants": _enrolments("participants", "1"),
    "campaigns.{}.prepaid_fen": _enrolments("prepaid_fen", "prepaid_fen"),
    "bindings.{}.started": Measure(
        "SELECT policy, count(*) FROM binding GROUP BY 1",
        (Part("binding.started", "1", "policy"),),
    ),
}
"""By the pattern of their names; the key takes the place of {}."""


@dataclass(frozen=True, slots=True)
class State:
    """The figures and the measures as of a moment."""

    figures: list[Figure]
    measures: Mapping[str, int]


class FigureChange(Answer):
    """A figure that is another one at the later moment; null where it has no value."""

    figure_id: str
    unit: str
    before: Number | None
    after: Number | None
    difference: Number | None = Field(description="between days, in days")


class Cause(Answer):
    """The events of a topic that only one of the moments holds, and what they add to a sum."""

    topic: str
    events: int
    amount: int


class SumChange(Answer):
    """A sum over events at the two moments, and the events between that make the difference."""

    name: str = Field(examples=["points.balance", "clubs.health.visits"])
    before: int
    after: int
    difference: int
    causes: list[Cause]
    foots: bool = Field(description="whether the causes add up to the difference; they must")


class Between(Answer):
    """How many events of a topic only the later, and only the earlier moment holds."""

    topic: str
    added: int
    dropped: int


class Changes(Answer):
    """What changed from one moment to another."""

    before: Moment
    after: Moment
    figures: list[FigureChange]
    sums: list[SumChange]
    events: list[Between]
    foots: bool = Field(description="whether every sum changed by what its events add up to")


def state(conn: Conn, moment: Moment) -> State:
    """The figures and measures as of the moment of this snapshot."""
    found = {}
    for pattern, measure in MEASURES.items():
        for key, value in conn.execute(measure.values).fetchall():
            found[pattern.format(key)] = int(value or 0)
    return State(pairs.all_figures(conn, moment), found)


def changes(conn: Conn, earlier: tuple[Moment, State], later: tuple[Moment, State]) -> Changes:
    """What changed between two moments with these states, by the live events between them."""
    (before, was), (after, now) = earlier, later
    causes = _causes(conn, before, after)
    names = dict.fromkeys([*was.measures, *now.measures, *causes])
    sums = [
        _sum(name, was.measures.get(name, 0), now.measures.get(name, 0), causes[name])
        for name in sorted(names)
    ]
    return Changes(
        before=before,
        after=after,
        figures=list(_figures(was.figures, now.figures)),
        sums=[each for each in sums if each.difference or each.causes],
        events=_between(conn, before, after),
        foots=all(each.foots for each in sums),
    )


def _sum(name: str, before: int, after: int, causes: list[Cause]) -> SumChange:
    difference = after - before
    foots = sum(cause.amount for cause in causes) == difference
    return SumChange(
        name=name, before=before, after=after, difference=difference, causes=causes, foots=foots
    )


def _figures(was: Iterable[Figure], now: Iterable[Figure]) -> Iterable[FigureChange]:
    for one, other in zip(was, now, strict=True):
        before, after = one.derived, other.derived
        if before != after:
            yield FigureChange(
                figure_id=one.figure_id,
                unit=one.unit,
                before=before,
                after=after,
                difference=difference(one.unit, before, after),
            )


def _only_one(before: Moment, after: Moment) -> str:
    return f"({before.condition}) <> ({after.condition})"


def _causes(conn: Conn, before: Moment, after: Moment) -> defaultdict[str, list[Cause]]:
    """Of each measure's name, what the events add to it that only one of the moments holds."""
    found: defaultdict[str, list[Cause]] = defaultdict(list)
    for pattern, measure in MEASURES.items():
        for part in measure.parts:
            rows = conn.execute((_held if part.held else _added)(part, before, after)).fetchall()
            for key, events, amount in rows:
                cause = Cause(topic=part.topic, events=events, amount=amount)
                found[pattern.format(key)].append(cause)
    return found


def _added(part: Part, before: Moment, after: Moment) -> str:
    """(key, events, amount) of the events that only one of the moments holds; of those that can be
    corrected, that count at only one of them."""
    table = typed_tables()[part.topic]
    if table.named_by:
        one, other = (
            f"(({moment.condition}) AND NOT {table.corrected('e', moment.known(f'{WRONG}.'))})"
            for moment in (before, after)
        )
        return f"""
            SELECT key, count(*), sum(CASE WHEN counts THEN amount ELSE -amount END)
            FROM (
                SELECT {part.key} AS key, {part.amount} AS amount, {other} AS counts,
                    {one} <> {other} AS moved
                FROM {table.name} e
            ) events
            WHERE moved AND key IS NOT NULL
            GROUP BY 1
        """
    return f"""
        SELECT {part.key}, count(*),
            sum(CASE WHEN {after.condition} THEN {part.amount} ELSE -({part.amount}) END)
        FROM {table.name} e
        WHERE {_only_one(before, after)} AND {part.key} IS NOT NULL
        GROUP BY 1
    """


def _held(part: Part, before: Moment, after: Moment) -> str:
    """The same of what the members whom such an event is about hold at the one and the other."""
    table = typed_tables()[part.topic].name
    one, other = (
        f"(SELECT DISTINCT ON (member_id) member_id, bucket, events, {part.key} AS key,"
        f" {sign}{part.amount} AS amount FROM {table} JOIN moved USING (member_id, bucket)"
        f" WHERE {moment.condition} ORDER BY member_id, occurred_at DESC, position DESC)"
        for moment, sign in ((before, "-"), (after, ""))
    )
    return f"""
        WITH moved AS (
            SELECT member_id, bucket, count(*) AS events FROM {table}
            WHERE {_only_one(before, after)} GROUP BY 1, 2
        )
        SELECT key, sum(events)::bigint, sum(amount) FROM (
            SELECT member_id, key, max(events) AS events, sum(amount) AS amount
            FROM ({one} UNION ALL {other}) holds WHERE key IS NOT NULL GROUP BY 1, 2
        ) members
        WHERE amount <> 0 GROUP BY 1
    """


def _between(conn: Conn, before: Moment, after: Moment) -> list[Between]:
    parts = " UNION ALL ".join(
        f"SELECT '{topic}' AS topic,"
        f" count(*) FILTER (WHERE {after.condition_of(topic)}) AS added,"
        f" count(*) FILTER (WHERE {before.condition_of(topic)}) AS dropped"
        f" FROM {table.name}"
        f" WHERE ({before.condition_of(topic)}) <> ({after.condition_of(topic)})"
        for topic, table in typed_tables().items()
    )
    rows = conn.execute(f"{parts} ORDER BY topic").fetchall()
    return [
        Between(topic=topic, added=added, dropped=dropped)
        for topic, added, dropped in rows
        if added or dropped
    ]
