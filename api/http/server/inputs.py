"""What requests bring: path ids, headers, pages; and the installation they are asked of."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from difflib import get_close_matches
from email.message import Message
from typing import Annotated, Any, TypeAlias, TypeVar, get_origin

from fastapi import Depends, Header, Path, Query, Request, params
from fastapi.dependencies.utils import get_flat_params

from api.answers import Figures
from api.http.server.access import Access
from api.http.server.asof import Builds
from api.http.server.calls import Calls
from api.http.server.identity import Provider
from api.http.server.names import Names
from api.http.server.passwords import Passwords
from api.http.server.probing import Probe
from api.http.server.rates import Rates
from api.http.server.reads import MOST_WAITING, Reads
from api.http.server.turns import Turns
from api.runtime import metrics, moments, spans
from api.runtime.clock import Clock
from api.runtime.problems import DoorProblem, cannot_be_read, invalid
from api.runtime.settings import Settings
from domain.kernel.command import NO_KEY, AskedKey, Command
from domain.kernel.refusal import Refusal
from domain.kernel.values import Actor, Id
from ledger import strict_json
from ledger.log.batcher import Ledger
from ledger.log.receipts import Receipt
from projections.engine.answer import Dated, Moment, dated
from projections.engine.connection import Conn
from projections.engine.moments import Asked, of_live

T = TypeVar("T")
KEY_HEADER, ACTOR_HEADER = "Idempotency-Key", "Clubledger-Actor"
PREFER_HEADER = "Prefer"
KNOWN_THEN = ("unknown_position", "dated_in_future", "unknown_by_then")
PAST = (*KNOWN_THEN, "not_caught_up", "building")
"""Why what is asked as of a moment may be refused."""


@dataclass
class KnownFigures:
    """All figures as they were at some positions: seconds of work on a full year, done once for
    all who ask meanwhile, by one of the connections."""

    positions: dict[int, int] = field(default_factory=dict)
    found: Figures | None = None
    turns: Turns = field(default_factory=lambda: Turns("figures", 1, MOST_WAITING))


@dataclass
class KnownLast:
    """The day of the last fact as it was at some positions: where that is long ago, all are looked
    at for it."""

    positions: dict[int, int] = field(default_factory=dict)
    day: date | None = None


@dataclass
class House:
    """What one worker of the server holds: opened at its start, closed at its end."""

    dsn: str  # holds a password: never shown
    settings: Settings
    meta: dict[str, str]
    clock: Clock
    ledger: Ledger
    reads: Reads
    files: Reads  # for whole lists, which take long
    past: Builds
    probe: Probe
    supposing: Calls
    sending: Turns  # downloads that wait, are written or are being read
    following: Turns  # streams of the log
    access: Access
    passwords: Passwords
    rates: Rates
    names: Names
    provider: Provider | None
    figures: KnownFigures = field(default_factory=KnownFigures)
    last_fact: KnownLast = field(default_factory=KnownLast)

    async def execute(self, command: Command, seen: int | None = None) -> Receipt:
        """Have it carried out, and count what came of it."""
        outcome = ""
        with spans.command(command.called) as span:
            try:
                receipt = await self.ledger.execute(command, seen)
                outcome = "replayed" if receipt.replayed else "written"
            except Refusal as refusal:
                outcome = refusal.code
                raise
            except Exception:
                outcome = "failed"
                raise
            finally:
                if outcome:  # else who asked is gone
                    metrics.command(command.called, outcome).inc()
                    spans.came_to(span, outcome)
        return receipt

    async def ask(
        self,
        question: Callable[[Conn, Moment | None], T],
        wait_for: tuple[int, int] | None,
        asked: Asked | None,
        reads: Reads | None = None,
    ) -> T:
        """question(connection, moment), of the live answers where that is None.

        `reads` are the connections for the live ones, unless they are those of the pages.
        """
        await self.reads.reach(wait_for)
        if asked is None:
            return await (reads or self.reads)(lambda conn: question(conn, None))
        now = self.clock.now()
        moment = await self.past.moment(asked, now)
        if asked.is_now(now):  # nothing has to be folded for that
            for lane in moment.positions:
                await self.reads.reach(lane)

            def at_once(conn: Conn) -> T:
                held = of_live(conn, asked, self.clock.now)
                found = question(conn, held)
                return dated(found, held) if isinstance(found, Dated) else found

            return await (reads or self.reads)(at_once)
        then = await self.past(lambda conn: question(conn, moment), moment, reads or self.reads)
        return dated(then, moment) if isinstance(then, Dated) else then

    async def ask_live(
        self,
        question: Callable[[Conn, Moment | None], T],
        wait_for: tuple[int, int] | None,
        asked: Asked | None,
        reads: Reads | None = None,
    ) -> T:
        """question(connection, moment) of the live answers, which hold the moment and may hold
        more: it leaves out the rest itself."""
        await self.reads.reach(wait_for)
        moment = None if asked is None else await self.past.moment(asked, self.clock.now())
        for lane in moment.positions if moment else ():
            await self.reads.reach(lane)
        found = await (reads or self.reads)(lambda conn: question(conn, moment))
        return dated(found, moment) if isinstance(found, Dated) else found

    def at(self, asked: Asked | None) -> datetime:
        """The time for which is asked: now, unless a moment is named by its time."""
        return (asked and asked.at) or self.clock.now()


async def house(request: Request) -> House:
    """The installation that this worker serves."""
    found: House = request.app.state.house
    return found


F = TypeVar("F", bound=Callable[..., Any])


def takes_any_query(endpoint: F) -> F:
    """Says that others add to the query of this route what they like, and it reads it itself."""
    endpoint.__dict__["takes_any_query"] = True
    return endpoint


def _taken_by(route: Any) -> tuple[frozenset[str], frozenset[str]]:
    """The parameters that the query of a route may have, and those of them that may come again."""
    found: tuple[frozenset[str], frozenset[str]] | None = route.endpoint.__dict__.get("query")
    if found is None:
        fields = [
            field
            for field in get_flat_params(route.dependant)
            if isinstance(field.field_info, params.Query)
        ]
        several = {f.alias for f in fields if get_origin(f.field_info.annotation) is list}
        found = frozenset(field.alias for field in fields), frozenset(several)
        route.endpoint.__dict__["query"] = found
    return found


async def known_query(request: Request) -> None:
    """Refuses a query parameter that the address does not take, or takes once.

    Left out, `known-at` for `known_at` would give today's answer to a question about the past.
    """
    if getattr(request.scope["route"].endpoint, "takes_any_query", False):
        return
    known, several = _taken_by(request.scope["route"])
    sent = [name for name, _ in request.query_params.multi_items()]
    if known.issuperset(sent) and (len(sent) < 2 or len({*sent}) == len(sent)):
        return
    counts = Counter(sent)
    places = dict(zip(reversed(sent), reversed(range(len(sent))), strict=True))  # where it is first
    told = []
    for name in counts:
        if name not in known:
            near = get_close_matches(name.lower().replace("-", "_"), known, 1)
            meant = f": perhaps `{near[0]}` is meant" if near else ""
            detail = f"This address takes no such parameter{meant}."
            where = f"query.[{places[name]}]"
            told.append({"field": where, "code": "unknown_parameter", "detail": detail})
        elif counts[name] > 1 and name not in several:
            detail = "It is there more than once."
            where = f"query.{name}"
            told.append({"field": where, "code": "repeated_parameter", "detail": detail})
    if told:
        raise invalid(told)


def sends_json(request: Request) -> bool:
    """Whether the body says of itself that it is JSON, in the one encoding that JSON has."""
    said = Message()
    said["content-type"] = request.headers.get("content-type", "text/plain")
    if said.get_content_charset("utf-8") not in ("utf-8", "utf8", "us-ascii"):
        raise DoorProblem("not_json")
    media_type = said.get_content_type()
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )


async def strict_body(request: Request) -> None:
    """Refuses a body that readers of JSON understand differently: see ledger/strict_json.py.

    FastAPI has parsed it by now, and left what is no JSON by its media type unread.
    """
    if request.scope["route"].dependant.body_params and sends_json(request):
        try:
            strict_json.check(await request.body())
        except strict_json.NotStrict as error:
            raise DoorProblem("malformed", cannot_be_read(error)) from None


async def _key(
    request: Request,
    key: Annotated[
        AskedKey | None,
        Header(
            alias=KEY_HEADER,
            description="Yours, one for each intent. Sent again with the same request it changes"
            " nothing and gets the first answer; with another request it is refused.",
        ),
    ] = None,
) -> str:
    for header in (KEY_HEADER, ACTOR_HEADER):
        if len(request.headers.getlist(header)) > 1:
            raise DoorProblem("header_repeated", f"{header} is there twice.")
    if key in (None, NO_KEY):  # The ledger writes a key that is not there as NO_KEY.
        raise DoorProblem("key_missing", f"A write needs an idempotency key: {KEY_HEADER}.")
    return key


async def _dry_run(
    request: Request,
    prefer: Annotated[
        str | None,
        Header(
            alias=PREFER_HEADER,
            pattern=r"^[\t\x20-\x7e]{0,1000}$",
            description="`dry-run`: try it and write nothing (RFC 7240). Other preferences are"
            " passed over.",
            examples=["dry-run"],
        ),
    ] = None,
) -> bool:
    del prefer  # It may be there several times, as one list.
    said = ",".join(request.headers.getlist(PREFER_HEADER))
    return any(name.lower() == "dry-run" for name in _PREFERENCE.findall(said))


_PREFERENCE = re.compile(r"""(?:^|,)\s*([^\s,;="]+)(?:"(?:[^"\\]|\\.)*"|[^,"])*""")
"""The name of each preference; what it is worth and its parameters may hold commas in quotes."""

WaitFor = Annotated[
    str | None,
    Query(
        pattern=r"^([0-9]{1,2}:)?[0-9]{1,18}$",
        description="`<bucket>:<position>` of a receipt: answer once that is taken in"
        " (at most 2 s, else 504). The bucket may be left out if it is 0.",
        examples=["0:1000"],
    ),
]


async def _position(wait_for: WaitFor = None) -> tuple[int, int] | None:
    if wait_for is None:
        return None
    bucket, _, position = wait_for.rpartition(":")
    return int(bucket or 0), int(position)


KNOWN = (
    "As it was known then: a day (its end in the programme's zone; today up to now), an instant"
    " with its offset, or positions of the log (`<bucket>:<position>`, by commas)."
)
EFFECTIVE = (
    "By what had happened until then, a day (its end; today up to now) or an instant: what was told"
    " late counts if it is known."
)
KNOWN_FORM: dict[str, Any] = {"pattern": moments.MOMENT_PATTERN}
EFFECTIVE_FORM: dict[str, Any] = {"pattern": moments.TIME_PATTERN}


def read_moment(
    known_at: str | None,
    effective_at: str | None,
    names: tuple[str, str] = ("known_at", "effective_at"),
) -> Asked:
    """The moment that these parameters name."""
    try:
        return moments.asked(known_at, effective_at, names)
    except moments.Unreadable as error:
        told = {"field": f"query.{error.name}", "code": "moment", "detail": error.detail}
        raise invalid([told]) from None


async def _asked(
    known_at: Annotated[
        str | None,
        Query(
            description=KNOWN,
            examples=["2008-12-31", "2008-12-31T18:00:00+08:00", "0:1000"],
            json_schema_extra=KNOWN_FORM,
        ),
    ] = None,
    effective_at: Annotated[
        str | None,
        Query(
            description=EFFECTIVE,
            examples=["2008-12-31"],
            json_schema_extra=EFFECTIVE_FORM,
        ),
    ] = None,
) -> Asked | None:
    return None if known_at is None is effective_at else read_moment(known_at, effective_at)


InHouse: TypeAlias = Annotated[House, Depends(house)]
WriteKey: TypeAlias = Annotated[str, Depends(_key)]
DryRun: TypeAlias = Annotated[bool, Depends(_dry_run)]
AsOf: TypeAlias = Annotated[Asked | None, Depends(_asked)]
Awaited: TypeAlias = Annotated[tuple[int, int] | None, Depends(_position)]
WriteActor: TypeAlias = Annotated[
    Actor | None,
    Header(
        alias=ACTOR_HEADER,
        description="For whom who is asking acts, as `role:id`: in a role of his own. The event"
        " names both: `clerk:li@cl_desk-1`.",
        examples=["clerk:li", "supervisor:wang"],
    ),
]
MemberPath: TypeAlias = Annotated[Id, Path(examples=["m000001"])]
CampaignPath: TypeAlias = Annotated[Id, Path(examples=["spring-2009"])]
ClubPath: TypeAlias = Annotated[Id, Path(examples=["health"])]
Limit: TypeAlias = Annotated[int, Query(ge=1, le=1000, description="how many at most")]
Position: TypeAlias = Annotated[int, Query(ge=0, le=2**62)]


def several(said: Iterable[str]) -> list[str]:
    """Names that were told by commas, or one by one."""
    return list(dict.fromkeys(name for each in said for name in each.split(",")))


def place_of(after: str | None) -> tuple[int, int] | None:
    """The lane and position behind which a page begins."""
    if after is None:
        return None
    bucket, _, position = after.partition(":")
    return int(bucket), int(position)
