"""Two members in one command: a noun that only a test has, in a process of its own.

`python -m tests.ledger.family DSN live|import` gives points of one member to another and back.
"""

import asyncio
import json
import sys
from collections.abc import Iterator
from datetime import datetime
from io import BytesIO
from typing import Any, ClassVar, Literal

from domain.kernel.command import Command, Decided, To
from domain.kernel.postings import Posting
from domain.kernel.refusal import Refusal
from domain.kernel.values import MemberId, PositivePoints
from domain.members import Membership, require_on_network
from domain.points.lots import Points
from domain.points.movements import PointsCredited, lapsed, pay


class GivePoints(Command):
    """Give points to another member of the family: a debit of one is the credit of the other."""

    command: Literal["family.give"] = "family.give"
    writes: ClassVar[dict[str, Any]] = {
        "member": "member_id",
        "receiver": ("member", "receiver_id"),
    }
    member_id: MemberId
    receiver_id: MemberId
    points: PositivePoints

    def decide(
        self,
        at: datetime,
        membership: Membership,
        points: Points,
        receiver_membership: Membership,
        receiver_points: Points,
    ) -> Decided:
        require_on_network(membership, self.member_id, at)
        require_on_network(receiver_membership, self.receiver_id, at)
        expiries, points = lapsed(self, points, at)
        before, debit = pay(self, points, at, self.points, "given")
        lot = receiver_points.lots_opened + 1
        credit = self.event(
            PointsCredited,
            at,
            postings=(Posting(lot, "outside", "spendable", self.points),),
            source=self.member_id,
            rule="family",
        )
        return [*expiries, *before, debit, To("receiver", credit)]

    def receipt(self, events: list[Any], **parts: Any) -> Any:
        return {"lots": [parts["points"].lots_opened, parts["receiver_points"].lots_opened]}


from ledger.importing import Importer  # noqa: E402 - it reads which commands there are
from tests.ledger.facts import MOMENT, NOW, a_member, command, executed  # noqa: E402

MEMBERS = ("m1", "m2", "m3", "m4")
POINTS = 40


def gifts() -> Iterator[dict[str, Any]]:
    """Everybody gives everybody else, over and over; some cannot afford it."""
    for turn in range(3):
        for giver in MEMBERS:
            for receiver in MEMBERS:
                if giver != receiver:
                    said = {"member_id": giver, "receiver_id": receiver, "points": 7 + turn}
                    yield {"actor": "clerk:li", "key": f"{giver}-{receiver}-{turn}", **said}


async def live(dsn: str) -> list[str]:
    """Send them all at once; the codes of the refusals."""
    from ledger.log.batcher import Ledger

    async with Ledger(dsn, now=lambda: NOW) as ledger:
        sent = [ledger.execute(GivePoints(**said, at=MOMENT)) for said in gifts()]
        answers = await asyncio.gather(*sent, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException) and not isinstance(answer, Refusal):
            raise answer
    return [answer.code for answer in answers if isinstance(answer, Refusal)]


def imported(dsn: str) -> list[str]:
    """The same as a file."""
    from ledger.rejects import Rejects

    lines = [
        json.dumps({"command": "family.give", "at": MOMENT.isoformat(), **said}).encode() + b"\n"
        for said in gifts()
    ]
    done = Importer(dsn, now=NOW).load(lambda: lines, key="gifts", rejects=Rejects(BytesIO()))
    return [rejection.code for rejection in done.rejections]


if __name__ == "__main__":
    dsn, how = sys.argv[1:]
    executed(dsn, command("unit.open", unit_id="u1", title="城南"))
    for member in MEMBERS:
        executed(dsn, *a_member(member, POINTS))
    refused = asyncio.run(live(dsn)) if how == "live" else imported(dsn)
    print(json.dumps(refused))  # noqa: T201 - to who started it
