"""Who is at a page: what he asks in his own name, what would come of it, and whom he may see."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, TypeVar
from unicodedata import normalize
from uuid import uuid4

from fastapi import Request
from pydantic import TypeAdapter, ValidationError

from api.doors import DOOR_OF, Need
from api.http.server.inputs import House
from api.http.server.rates import LOOK_UP
from api.runtime.problems import DoorProblem
from api.runtime.rights import ANYBODY
from domain.access import Principal
from domain.kernel.command import Command
from domain.kernel.refusal import Refusal
from domain.kernel.values import Id
from domain.members import UnknownMember
from ledger.log import persons
from ledger.log.batcher import CommandFailed
from ledger.log.receipts import Receipt, Trial
from projections import members
from projections.engine.connection import Conn
from projections.members import Member, MemberLine

C = TypeVar("C", bound=Command)
OF_ONE = Need("members.read", unit="member_id")
MOST_SHOWN, MOST_MEANT = 30, 2_000
"""Whom one name finds at most; of so many, those of one's own units."""
_ID: TypeAdapter[str] = TypeAdapter(Id)


@dataclass(frozen=True)
class AtPage:
    """Somebody at a page."""

    request: Request
    house: House
    who: Principal

    async def asked(self, kind: type[C], **said: Any) -> C:
        """The command in the name of who asks, if he may."""
        return kind(actor=await self.actor(kind, said), **said)

    async def actor(self, kind: type[Command], said: Mapping[str, Any]) -> str:
        """Who asks, as events name him, if he may ask it of what this says."""
        return await admitted(self.house, self.who, DOOR_OF[kind.called].need, said)

    async def may(self, kind: type[Command], said: Mapping[str, Any]) -> bool:
        """Whether he may."""
        try:
            await self.actor(kind, said)
        except (DoorProblem, UnknownMember):
            return False
        return True

    async def tried(self, *commands: Command) -> list[Trial | Refusal]:
        """What would come of each, were it the only one."""
        found: list[Trial | Refusal] = []
        for trial in await self.house.ledger.attempt(*commands, apart=True):
            if isinstance(trial, CommandFailed):
                raise trial
            found.append(trial)
        return found

    def looks_up(self, said: str) -> None:
        """Count what could be guessed at, if this is a number. Raises `too_many_requests`."""
        if self.who is not ANYBODY and persons.phone_of(said) is not None:
            self.house.rates.spend(LOOK_UP, self.who.name)

    async def own(self, found: Iterable[Member]) -> list[Member]:
        """Those of these members whom he may see; refuses if there is none."""
        own = [each for each in found if await self.house.access.may(self.who, OF_ONE, each)]
        if not own:
            raise UnknownMember("")
        return own

    async def by_name(self, said: str) -> list[MemberLine]:
        """Those whom he may see and may mean by a part of a name, or by first letters."""
        if self.who is not ANYBODY:
            self.house.rates.spend(LOOK_UP, self.who.name)
        grants = self.who.granted("members.read")
        everywhere = any(each.reach("members.read") == "all" for each in grants)
        own = None if everywhere else {unit for each in grants for unit in each.units}
        ids = await self.house.names.found(said, MOST_SHOWN if everywhere else MOST_MEANT)
        return await self.house.reads(
            partial(members.lines, member_ids=ids, units=own, limit=MOST_SHOWN)
        )

    async def meant_by(self, said: str) -> Sequence[Member | MemberLine]:
        """Those whom he may see and may mean by a card, a number or a name; refuses if there is
        none."""
        self.looks_up(said)
        found = await self.house.reads(partial(found_by, said=said, now=self.house.clock.now()))
        meant = [] if found else await self.by_name(said)
        return meant or await self.own(found)


async def admitted(house: House, who: Principal, need: Need, said: Mapping[str, Any]) -> str:
    """The actor, if he may. To whose are the members of some units, anybody else is nobody, whether
    there is such a member or not: he is told that nobody is called so, and not what he may."""
    try:
        return await house.access.admit(who, need, said, key=said.get("key"))
    except DoorProblem as problem:
        reaches = {grant.reach(need.scope or "") for grant in who.granted(need.scope or "")}
        if problem.code != "not_allowed" or need.unit != "member_id" or "units" not in reaches:
            raise
        raise UnknownMember(said.get("member_id", "")) from None


def found_by(conn: Conn, said: str, now: datetime) -> list[Member]:
    """The member with this card, else those with this phone number. A keyboard in capitals or in
    full width means the same card, unless there is one that is written so."""
    said = normalize("NFKC", said).strip()
    card = partial(members.member, at=now)
    for spelling in dict.fromkeys((said, said.lower(), said.upper())):
        found = card(conn, spelling) if is_id(spelling) else None
        if found is not None:
            return [found]
    phone = persons.phone_of(said)
    return [] if phone is None else members.members_with_phone(conn, phone, card)


def is_id(said: str) -> bool:
    """Whether something may be called so."""
    try:
        return bool(_ID.validate_python(said))
    except ValidationError:
        return False


def new_key(console: str) -> str:
    """A key for what a form will ask once."""
    return f"{console}-{uuid4().hex}"


def place(receipt: Receipt) -> str:
    """Where the log holds what was written, as `wait_for` has it."""
    return f"{receipt.bucket}:{receipt.position}"
