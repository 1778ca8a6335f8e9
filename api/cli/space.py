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
    table = output.plain_table(
        "kept for",
        "MB",
        "of it indexes",
        "bytes a fact",
        right=("MB", "of it indexes", "bytes a fact"),
    )
    for part in found.parts:
        table.add_row(
            part.name, *_megabytes(part.bytes, part.index_bytes), _each(part.bytes, facts)
        )
    indexes = sum(part.index_bytes for part in found.parts)
    table.add_row("all", *_megabytes(found.bytes, indexes), _each(found.bytes, facts))
    output.stdout().print(table)
    output.say(f"{found.facts:,} facts, {found.events:,} events")
    if found.wal_bytes is not None:
        (wal,) = _megabytes(found.wal_bytes)
        output.say(f"write-ahead log, beside it: {wal} MB")
    return 0


def _megabytes(*sizes: int) -> list[str]:
    return [f"{size / 1_000_000:,.1f}" for size in sizes]


def _each(size: int, facts: int) -> str:
    return f"{size / facts:,.1f}"
