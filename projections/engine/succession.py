"""Which version of the program makes the answers: the one that came last.

Two versions on one ledger would each make anew what the other made, whenever one takes over from
the other. So whoever folds enters the digest of its texts in a list that the ledger keeps; whose
digest stands there and is not the last stands aside.
"""

from dataclasses import dataclass

from domain.kernel.refusal import Refusal
from ledger import digests
from projections.engine.connection import Conn
from projections.engine.schemas import versions

NAME = "folded_by"
"""Of the list among what the ledger knows of itself: digests, the last one last."""


@dataclass
class OtherVersion(Refusal):
    """Another version of the program makes the answers. End that one, or use it."""

    code = "other_version"
    superseded: bool
    """That one came later; else it came earlier, has no list, and still runs."""

    def __str__(self) -> str:
        if self.superseded:
            return (
                "A newer version of clubledger makes this ledger's answers: use that one, or let"
                " this one make them again by `clubledger rebuild`."
            )
        return "Another version of clubledger runs and makes this ledger's answers: end it first."


def enter(conn: Conn, *, again: bool = False) -> None:
    """Take over the answers if this version was never here; `again`, if it was."""
    ours, known = _ours(), _known(conn)
    if ours in (known if not again else known[-1:]):
        return
    conn.execute(
        "INSERT INTO ledger.ledger_meta AS m VALUES (%(name)s, %(ours)s)"
        " ON CONFLICT (name) DO UPDATE SET value = concat_ws(' ', nullif(array_to_string("
        "array_remove(string_to_array(m.value, ' '), %(ours)s), ' '), ''), %(ours)s)"
        " WHERE %(again)s OR %(ours)s <> ALL (string_to_array(m.value, ' '))",
        {"name": NAME, "ours": ours, "again": again},
    )


def superseded(conn: Conn) -> bool:
    """Whether another version has come after this one."""
    return _ours() in _known(conn)[:-1]


def stand_aside(conn: Conn) -> None:
    """Raises OtherVersion if another version has come after this one."""
    if superseded(conn):
        raise OtherVersion(superseded=True)


def _known(conn: Conn) -> list[str]:
    found = conn.execute("SELECT value FROM ledger.ledger_meta WHERE name = %s", (NAME,)).fetchone()
    return [] if found is None else str(found[0]).split()


def _ours() -> str:
    return digests.of_text(*(f"{name} {text}" for name, text in sorted(versions().items())))
