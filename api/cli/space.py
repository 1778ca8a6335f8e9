"""`space`: where each byte of the ledger lies."""

from api.cli.terminal import output
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from ledger.database import connect
from projections.engine.space import space


def run(settings: Settings, as_json: bool) -> int:
    """Tell it by what the bytes are kept for."""
    with opened(settings) as database, connect(database.dsn) as connection:
        found = space(connection)
    facts = found.facts or 1
    if as_json:
        parts = {
            part.name.replace(" ", "_"): {
                "bytes": part.bytes,
                "table_bytes": part.table_bytes,
                "index_bytes": part.index_bytes,
                "bytes_a_fact": round(part.bytes / facts, 1),
            }
            for part in found.parts
        }
        output.tell(
            {
                "facts": found.facts,
                "events": found.events,
                "bytes": found.bytes,
                "bytes_a_fact": round(found.bytes / facts, 1),
                "parts": parts,
                "write_ahead_log_bytes": found.wal_bytes,
            }
        )
        return 0
    indexes = sum(part.index_bytes for part in found.parts)
    rows = [(each.name, each.bytes, each.index_bytes) for each in found.parts]
    told = [
        (name, *_megabytes(held, index), _each(held, facts))
        for name, held, index in (*rows, ("all", found.bytes, indexes))
    ]
    numbers = ("MB", "of it indexes", "bytes a fact")
    output.say_rows(("kept for", *numbers), told, right=numbers)
    output.say(f"{found.facts:,} facts, {found.events:,} events")
    if found.wal_bytes is not None:
        (wal,) = _megabytes(found.wal_bytes)
        output.say(f"write-ahead log, beside it: {wal} MB")
    return 0


def _megabytes(*sizes: int) -> list[str]:
    return [f"{size / 1_000_000:,.1f}" for size in sizes]


def _each(size: int, facts: int) -> str:
    return f"{size / facts:,.1f}"
