"""Floors: what a durable debit and an HTTP request cost when nothing is decided."""

from contextlib import ExitStack

import psycopg

from bench import http, pgbench
from bench.ground import Ground
from bench.parts import Subject, part
from bench.words import counted


@part("pgbench", arena="inprocess")
def pgbench_floor(ground: Ground, stack: ExitStack) -> list[Subject]:
    """pgbench: a function that updates one row and inserts one event, without and with a key."""
    dsn = ground.created(stack)
    pgbench.execute_file(dsn, pgbench.SQL / "floor.sql")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(
            "INSERT INTO f_balance SELECT g, 100000000, 0 FROM generate_series(1, %s) g",
            (ground.options.members,),
        )
        connection.execute("VACUUM ANALYZE f_balance")
    scripts = {
        "pgbench": ("floor.pgbench", "update one row, insert one event"),
        "pgbench_once": ("floor_once.pgbench", "one row, one event, one idempotency key"),
    }
    return [
        Subject(
            f"{name}.c{clients}",
            f"pgbench: {said}, {counted(clients, 'client')}",
            pgbench.runner(ground, dsn, script, clients),
            watch={"postgres": [ground.postgres]},
        )
        for name, (script, said) in scripts.items()
        for clients in (1, 8, 32)
    ]


@part("floors", arena="http")
def http_floor(ground: Ground, stack: ExitStack) -> list[Subject]:
    """An empty FastAPI POST and an empty Starlette route with the same request and server."""
    http.wrk()
    server = http.serving(ground, stack, "floor")
    return [
        *(
            http.subject(
                f"fastapi.c{n}",
                f"empty FastAPI POST, {counted(n, 'connection')}",
                ground,
                server,
                n,
            )
            for n in (1, 8, 32, 128)
        ),
        http.subject(
            "fastapi_bare.c32",
            "empty FastAPI POST that returns ready bytes, 32 connections",
            ground,
            server,
            32,
            below="/bare",
            beside="fastapi.c32",
        ),
        http.subject(
            "starlette.c32",
            "empty Starlette route with the same validation, 32 connections",
            ground,
            server,
            32,
            below="/starlette",
            beside="fastapi.c32",
        ),
    ]
