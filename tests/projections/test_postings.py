"""A new kind of movement costs its event and its rule, and no fold."""

import subprocess
import sys
from collections.abc import Callable

NEW_KIND = '''
import sys
from domain.catalogue import CATALOGUE
from domain.kernel.event import Event
from domain.points.movements import move
from domain.kernel.postings import MovesPoints, Posting, Postings

class PointsGivenBack(MovesPoints, Event, name="test.given_back", stream="member"):
    """A toy: nobody but this text knows of it."""

    postings: Postings

    def apply(self, points):
        move(points, self.postings, self.occurred_at)

from ledger.database import connect
from projections import points
from projections.asof import member as past
from projections.engine import moments
from projections.audit.audit import compare
from domain.kernel.values import local_date
from projections.engine.contributions import contributions
from projections.engine.runner import project
from tests.projections.conserving import unbalanced
from tests.projections.histories import furnished, lay
from tests.projections.tables import in_python, in_sql, looking

world = furnished(1)
world.does("points.debit", member_id="m1", points=30)
postings = (Posting(1, "spent", "spendable", 7), Posting(1, "spendable", "expired", 2))
said = {"occurred_at": world.now, "actor": "clerk:li", "key": "toy"}
world.fold("member:m1", PointsGivenBack(postings=postings, **said))
with looking(connect(sys.argv[1])) as conn:
    lay(conn, world.log)
    project(sys.argv[1])
    assert in_sql(conn) == in_python(world.log)
    found = points.account(conn, "m1", world.now)
    assert (found.debited, found.expired, found.balance) == (23, 2, found.credited - 25), found
    (line, *_) = points.statement(conn, "m1").entries
    assert (line.topic, line.points, line.balance) == ("test.given_back", 5, found.balance), line
    assert line.lots == [points.LotUse(lot=1, points=5)], line
    assert unbalanced(conn) == []
    (lot, *_) = points.lots(conn, "m1")
    now = moments.moment(conn, moments.Asked(None), world.now)
    card = past.member(conn, "m1", now, world.now)
    assert (card.points, card.lots[0]) == (found, lot)
    debited = contributions(conn, "points.debited", {}, local_date(world.now), 9)
    assert debited.measured.value == 23, debited
    assert "test.given_back" in {row.of["topic"] for row in debited.contributions}
'''


def test_an_event_with_postings_is_folded_listed_and_counted_by_all_that_are_there(
    installed: Callable[[int], str],
) -> None:
    told = subprocess.run(
        [sys.executable, "-c", NEW_KIND, installed(1)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
