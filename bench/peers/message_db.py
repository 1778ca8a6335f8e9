"""message-db: its SQL comes from npm, and pgbench calls its function."""

from contextlib import ExitStack
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from bench import pgbench
from bench.ground import Ground
from bench.parts import Subject, part
from bench.peers import packages
from bench.words import counted

PACKAGES = {"@eventide/message-db": "1.3.1"}
# Roles and privileges are left out, because we own all of it, and so is pgcrypto: what the
# functions need of it has been in PostgreSQL itself since 13.
FILES = (
    "schema/message-store.sql",
    "tables/messages.sql",
    "types/message.sql",
    "functions/message-store-version.sql",
    "functions/hash-64.sql",
    "functions/category.sql",
    "functions/acquire-lock.sql",
    "functions/is-category.sql",
    "functions/id.sql",
    "functions/cardinal-id.sql",
    "functions/stream-version.sql",
    "functions/write-message.sql",
    "indexes/messages-id.sql",
    "indexes/messages-stream.sql",
    "indexes/messages-category.sql",
)


@part("message_db", arena="inprocess")
def message_db(ground: Ground, stack: ExitStack) -> list[Subject]:
    """message-db: pgbench appends an event by write_message; no rule is decided."""
    folder: Path = packages.installed(PACKAGES) / "@eventide" / "message-db" / "database"
    dsn = make_conninfo(ground.created(stack), options="-c search_path=message_store,public")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.add_notice_handler(lambda notice: None)
        for name in FILES:
            connection.execute((folder / name).read_bytes())
    return [
        Subject(
            f"message_db.c{clients}",
            f"message-db, write_message alone, {counted(clients, 'client')}",
            pgbench.runner(ground, dsn, "message_db.pgbench", clients),
            watch={"postgres": [ground.postgres]},
        )
        for clients in (1, 8, 32)
    ]
