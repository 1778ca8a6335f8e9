"""What a question names that the ledger does not know: a slip is answered with nothing, as if that
were how much there is."""

from collections.abc import Iterator, Mapping
from typing import Any

from domain.kernel.values import PROGRAMME
from projections.engine.connection import Conn
from projections.engine.measure import ANYBODY, NOBODY

NAMED = ("unit", "club", "campaign", "cohort")


def unknown(conn: Conn, said: Mapping[str, Any]) -> Iterator[str]:
    """The kinds of these parameters of which one is not known."""
    if _words(said, "tier") - {*PROGRAMME.tiers}:
        yield "tier"
    for kind in NAMED:
        words = _words(said, f"{kind}_id")
        text = f"SELECT count(DISTINCT {kind}_id) AS known FROM {kind} WHERE {kind}_id = ANY(%s)"
        if words:
            (known,) = conn.execute(text, (sorted(words),)).fetchone() or (0,)
            if known < len(words):
                yield kind


def _words(said: Mapping[str, Any], name: str) -> set[str]:
    return set(str(said.get(name) or "").split(",")) - {"", NOBODY, ANYBODY}
