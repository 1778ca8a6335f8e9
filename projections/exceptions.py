"""Exceptions: facts of a history that broke a rule which protects a live desk, and which rule.

Whatever counts facts leaves them out by their place in the log, which typed events and visits have:
`WHERE NOT {excepted("e")}`.
"""

from collections.abc import Iterator
from datetime import date, datetime
from typing import NamedTuple

from psycopg.rows import class_row
from pydantic import Field

from domain.catalogue import CATALOGUE
from domain.kernel.event import Excusable
from domain.kernel.refusal import REFUSALS, DeskRule
from domain.kernel.values import start_of
from projections.engine.answer import Answer, Dated
from projections.engine.connection import Conn
from projections.engine.days import end_of
from projections.engine.event_tables import typed_tables
from projections.engine.names import closed, require_known
from projections.engine.projection import Projection
from projections.engine.reference import ReferenceFold, Stored, folded
from projections.engine.views import view


def _folds() -> Iterator[str]:
    """Of each event that may have broken rules, what takes it in, and out when it is corrected."""
    for topic, event in sorted(CATALOGUE.items()):
        if not issubclass(event, Excusable):
            continue
        table = typed_tables()[topic]
        source, correctable = f"{{{table.name}}} e", table.named_by is not None
        yield f"""
            INSERT INTO exception (bucket, position, nth, code, topic, stream, occurred_at, actor)
            SELECT e.bucket, e.position, c.nth, c.code, '{topic}',
                '{event.stream}:' || e.{table.id_column}, e.occurred_at, e.actor
            FROM {source}, json_array_elements_text(e.despite) WITH ORDINALITY c(code, nth)
            WHERE e.despite IS NOT NULL{" AND e.sign > 0" if correctable else ""}
        """
        if correctable:
            yield f"""
                DELETE FROM exception x USING {source} WHERE e.sign < 0
                    AND x.bucket = e.bucket AND x.position = e.position
            """


class Exceptions(Projection):
    """A row a fact and rule that it broke. What is corrected is taken out."""

    tables = (
        """
        CREATE TABLE exception (
            bucket smallint NOT NULL,
            position bigint NOT NULL,
            nth bigint NOT NULL,
            code text NOT NULL,
            topic text NOT NULL,
            stream text NOT NULL,
            occurred_at timestamptz NOT NULL,
            actor text NOT NULL,
            PRIMARY KEY (position, nth, bucket)
        )
        """,
    )
    fold = tuple(_folds())


class Excepted(Answer):
    """A fact that happened despite rules that protect a live desk."""

    bucket: int
    position: int
    topic: str = Field(examples=["campaign.enrolled"])
    stream: str
    member_id: str | None = Field(description="null: it is about no member")
    occurred_at: datetime
    actor: str
    despite: list[str] = Field(
        description="the rules that it broke, in the order in which they are asked",
        examples=[["in_control_group"]],
    )


class ExceptionPage(Dated):
    """A page of the exceptions, in the order of the log."""

    exceptions: list[Excepted]
    next: tuple[int, int] | None = Field(
        description="send it as `after=<bucket>:<position>` for the next page; null at the end"
    )


class Wanted(NamedTuple):
    """Which of them: of a member, a rule, a kind of fact, the days from `first` to `last`."""

    member_id: str | None = None
    code: str | None = None
    topic: str | None = None
    first: date | None = None
    last: date | None = None


ALL = Wanted()


def excepted(fact: str, *codes: str) -> str:
    """Whether the row `fact`, which has bucket and position, is an exception; of these rules alone,
    if any are named. SQL for a WHERE."""
    named = f" AND x_.code IN ({', '.join(map(repr, codes))})" if codes else ""
    return (
        f"EXISTS (SELECT FROM exception x_ WHERE x_.bucket = {fact}.bucket"
        f" AND x_.position = {fact}.position{named})"
    )


def page(
    conn: Conn, wanted: Wanted, limit: int, after: tuple[int, int] | None = None
) -> ExceptionPage:
    """Facts that broke a rule which protects a live desk, in the order of the log. Raises
    UnknownMember, UnknownValue."""
    said = {name: getattr(wanted, name) for name in ("member_id", "code", "topic")}
    require_known(conn, {name: [value] for name, value in said.items() if value is not None})
    bucket, position = after or (-1, 0)
    cursor = conn.cursor(row_factory=class_row(Excepted))
    found = cursor.execute(
        """
        SELECT bucket, position, topic, stream, substring(stream FROM '^member:(.*)') AS member_id,
            occurred_at, actor, array_agg(code ORDER BY nth) AS despite
        FROM exception
        WHERE (bucket, position) > (%(bucket)s, %(position)s)
            AND (%(member_id)s::text IS NULL OR stream = 'member:' || %(member_id)s)
            AND (%(topic)s::text IS NULL OR topic = %(topic)s)
            AND (%(since)s::timestamptz IS NULL OR occurred_at >= %(since)s)
            AND (%(end)s::timestamptz IS NULL OR occurred_at < %(end)s)
        GROUP BY 1, 2, 3, 4, 5, 6, 7
        HAVING %(code)s::text IS NULL OR bool_or(code = %(code)s)
        ORDER BY 1, 2 LIMIT %(limit)s
        """,
        {
            "bucket": bucket,
            "position": position,
            "member_id": wanted.member_id,
            "code": wanted.code,
            "topic": wanted.topic,
            "since": None if wanted.first is None else start_of(wanted.first),
            "end": None if wanted.last is None else end_of(wanted.last),
            "limit": limit + 1,
        },
    ).fetchall()
    more = found[limit - 1] if len(found) > limit else None
    next_ = None if more is None else (more.bucket, more.position)
    return ExceptionPage(exceptions=found[:limit], next=next_)


closed("code", sorted(code for code, rule in REFUSALS.items() if issubclass(rule, DeskRule)))
view(
    "exceptions",
    "What broke a rule that protects a live desk: a row a fact and rule.",
    """
    SELECT occurred_at, bucket, position, nth, code, topic, stream,
        substring(stream FROM '^member:(.*)') AS member_id, actor
    FROM exception
    """,
    """
    occurred_at timestamptz
    bucket smallint
    position bigint
    nth bigint: which of the rules that it broke, in the order of asking
    code text: of the rule, as a refusal has it
    topic text: what kind of event it is
    stream text: whom or what it is about
    member_id text?: whose; null: it is about no member
    actor text
    """,
    key=("occurred_at", "bucket", "position", "nth"),
    same=("code", "topic", "member_id"),
    day="occurred_at",
)


# ----------------------------------------------------------------------- the same in plain Python
@folded(Excusable)
def _excused(fold: ReferenceFold, at: Stored, event: Excusable, sign: int = 1) -> None:
    for nth, code in enumerate(event.despite or (), start=1):
        key = (at.bucket, at.position, nth)
        if sign < 0:
            del fold.tables["exception"][key]
            continue
        fold.add("exception", key, bucket=at.bucket, position=at.position, nth=nth, code=code,
                 topic=event.topic, stream=at.stream, occurred_at=event.occurred_at,
                 actor=event.actor)  # fmt: skip
