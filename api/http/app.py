"""The application: one process of the HTTP door."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import psycopg
from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute

from api.doors import PREFIX
from api.http import (
    batch,
    campaigns,
    clubs,
    doors,
    figures,
    jobs,
    lists,
    log,
    measures,
    members,
    questions,
    reports,
    service,
    sessions,
    stream,
    whatif,
)
from api.http.express import Express
from api.http.pages import (
    administration,
    audit,
    audit_lists,
    audit_work,
    binding_bulletin,
    desk,
    enrolment_file,
    entering,
    not_enrolled,
    page,
    reference,
    signing,
    supposing,
)
from api.http.pages import campaigns as campaign_pages
from api.http.pages import figures as figure_pages
from api.http.pages import files as file_pages
from api.http.pages import measures as measure_pages
from api.http.pages import reports as report_pages
from api.http.server import handlers
from api.http.server.access import Access, entered
from api.http.server.asof import Builds
from api.http.server.calls import Calls
from api.http.server.direct import Direct
from api.http.server.documented import document
from api.http.server.follower import Follower
from api.http.server.identity import Provider
from api.http.server.inputs import House, known_query, strict_body
from api.http.server.names import Names
from api.http.server.passwords import Passwords
from api.http.server.probing import Probe
from api.http.server.rates import Rates
from api.http.server.reads import Reads
from api.http.server.starting import patiently
from api.http.server.tokens import Tokens
from api.http.server.turns import Turns
from api.jobs.leading import Leader
from api.runtime import metrics
from api.runtime.clock import Clock
from api.runtime.connections import FILES_AT_ONCE
from api.runtime.keys import take_keys
from api.runtime.settings import Settings
from api.webhooks.delivering import Deliverer
from ledger.database import connect, keep_time, meta
from ledger.log.batcher import Busy, Ledger
from projections.engine import runner

LOOK_AGAIN_S = 2.0
"""How often a worker asks whether a demo was loaded meanwhile, whose clock it has to show."""

DOWNLOADS = 32
"""Downloads of a worker that wait, are written or are being read; more are refused."""

STREAMS = 64
"""Streams of the log that a worker sends at once; more are refused."""

DESCRIPTION = f"""The ledger of a city's VIP clubs: points, visits, campaigns, figures.

Writes need `Idempotency-Key`: a request that is sent again changes nothing and gets the first
answer. Refusals are `application/problem+json` (RFC 9457) with a stable `code` and the numbers
that decided them; `/problems` lists them. Money is in fen (1 yuan = 100 fen), points are whole,
instants carry their offset, days are those of the programme's zone (`{PREFIX}/status` names it).
On a demo, whose history ends in the past, each answer tells its time in `Clubledger-Clock`. Who
asks brings an API key, `Authorization: Bearer cl_<id>_<secret>`, whose role says what he may, and
in which clubs or units; or signs in, by `POST {PREFIX}/session`. `HEAD` is answered wherever `GET`
is, with the same headers.
"""

TAGS = [
    {"name": "members", "description": "Take a member on, look him up, tell what changes of him."},
    {"name": "points", "description": "Credit, debit, expire and reverse points."},
    {"name": "bindings", "description": "Bind a member by a policy; end it early."},
    {"name": "corrections", "description": "Take back a fact that was wrong."},
    {"name": "commands", "description": "Many commands in one request."},
    {"name": "visits", "description": "Admit a member to a club's service; take it back."},
    {"name": "campaigns", "description": "Launch, offer, enrol; see what campaigns came to."},
    {"name": "cohorts", "description": "Take customers of a day, and freeze them."},
    {"name": "clubs", "description": "Clubs, their services and prices, and how they are used."},
    {"name": "measures", "description": "Named formulas, and the rows that make them up."},
    {"name": "figures", "description": "The report's figures, derived from the events."},
    {"name": "reports", "description": "What documents claim, values from outside, targets."},
    {"name": "lists", "description": "What there is, row by row: filtered, paged, as files."},
    {"name": "jobs", "description": "Files, comparisons: what takes longer than a request may."},
    {"name": "webhooks", "description": "Programs elsewhere that are told of events."},
    {"name": "access", "description": "Who may do what: roles, keys, users; signing in."},
    {"name": "log", "description": "The events themselves."},
    {"name": "service", "description": "Liveness, readiness, state, and what problems mean."},
]


def create_app(dsn: str, settings: Settings | None = None, *, follow: bool = True) -> FastAPI:
    """The application on an installed ledger. `follow` also keeps the answers up to date."""
    known = settings or Settings()
    app = FastAPI(
        title="clubledger",
        version=service.VERSION,
        summary="A points ledger for clubs.",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        openapi_url=None,  # ours takes no parameters: see service.py
        docs_url=None,  # its page would load scripts from another site: see pages/reference.py
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_name_of,
        lifespan=_lifespan(dsn, known, follow),
        dependencies=[Depends(entered), Depends(known_query), Depends(strict_body)],
    )
    app.add_middleware(Direct, api=app)
    app.add_middleware(
        handlers.Doorway, max_body_bytes=known.max_body_bytes, show_traceback=known.traceback
    )
    handlers.install(app)
    nouns = (
        members,
        doors,
        batch,
        campaigns,
        questions,
        clubs,
        measures,
        figures,
        reports,
        whatif,
        lists,
        log,
        stream,
        jobs,
        sessions,
    )
    for noun in (*nouns, service):
        app.include_router(noun.router)
    pages = (
        *(page, reference, signing, desk, administration),
        *(campaign_pages, enrolment_file, not_enrolled, binding_bulletin),
        *(figure_pages, measure_pages, report_pages, entering, file_pages),
        *(audit, audit_lists, audit_work, supposing),
    )
    for console in pages:
        app.include_router(console.router)
    page.tell_people(app)
    app.openapi = lambda: document(app)  # type: ignore[method-assign]
    return app


def create_lanes(dsn: str, settings: Settings | None = None, *, follow: bool = True) -> Express:
    """What a server runs: the express lane, and behind it the application."""
    known = settings or Settings()
    app = create_app(dsn, known, follow=follow)
    return Express(app, max_body_bytes=known.max_body_bytes)


def _name_of(route: APIRoute) -> str:
    return route.name


def _lifespan(dsn: str, settings: Settings, follow: bool) -> Any:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        house, opened = await patiently(partial(_opened, dsn, settings))
        async with opened:
            app.state.house = house
            learner = asyncio.create_task(_keep_learning(house), name="learner")
            follower = Follower(dsn)
            deliverer = Deliverer(dsn, settings.networks_of_webhooks)
            leader = Leader(dsn, settings)
            if follow:
                follower.start()
                deliverer.start()
                leader.start()
            try:
                yield {"clock": house.clock}  # for the front, whose answers tell the time as well
            finally:
                learner.cancel()
                if follow:
                    await asyncio.to_thread(leader.stop)
                    await asyncio.to_thread(follower.stop)
                    await asyncio.to_thread(deliverer.stop)

    return lifespan


async def _opened(dsn: str, settings: Settings) -> tuple[House, AsyncExitStack]:
    """What the requests of a worker share, and what closes it."""
    await asyncio.to_thread(take_keys, settings)
    await asyncio.to_thread(_make_ready, dsn)
    clock, facts = Clock(), dict[str, str]()
    async with AsyncExitStack() as stack:
        reads = Reads(dsn, settings.read_connections)
        files = Reads(dsn, FILES_AT_ONCE, "downloads")
        stack.callback(reads.close)
        stack.callback(files.close)
        supposing = Calls("replays", 1, 0)
        sending, following = Turns("downloads", DOWNLOADS, 0), Turns("streams", STREAMS, 0)
        ledger = await stack.enter_async_context(
            Ledger(dsn, now=clock.now, observer=metrics.Counted())
        )
        past, probe = Builds(dsn, reads), Probe(dsn, settings, reads, ledger.trouble)
        provider, passwords = Provider.of(settings), Passwords()
        access = Access(reads, clock, Tokens.of(settings), closed=provider is not None)
        stack.callback(passwords.close)
        house = House(
            *(dsn, settings, facts, clock, ledger, reads, files, past, probe),
            *(supposing, sending, following, access, passwords, Rates()),
            *(Names(reads, files), provider),
        )
        await _learn(house)
        return house, stack.pop_all()


def _make_ready(dsn: str) -> None:
    """Let there be answers to read, however far behind the log they are."""
    with connect(dsn) as connection:
        keep_time(meta(connection))
    with connect(dsn) as connection:
        runner.prepare(connection)


async def _learn(house: House) -> None:
    """Take in what was fixed with the installation, its clock among it, and who may enter."""
    await house.access.learn()  # first: pages that are waited for keep no revoked key in force
    known = await house.reads(meta)
    house.meta.update(known)
    house.clock.offset_s = Clock.of(known).offset_s


async def _keep_learning(house: House) -> None:
    while True:
        await asyncio.sleep(LOOK_AGAIN_S)
        try:
            await _learn(house)
        except (psycopg.Error, Busy):
            continue  # The database is away, or too much waits; what was known still holds.
