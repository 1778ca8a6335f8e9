"""`serve`: the HTTP door, in one process or several, and the follower that keeps answers fresh."""

import asyncio
import http.client
import logging
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from errno import EADDRINUSE
from functools import partial
from ipaddress import ip_address
from types import FrameType
from typing import cast

import psycopg
import uvicorn
from starlette.types import ASGIApp

from api.cli.serving import unread
from api.cli.serving.revival import kept_alive
from api.cli.serving.workers import Supervisor
from api.cli.terminal import output, streams
from api.http import create_lanes
from api.http.server.front import Entrance
from api.http.server.identity import Provider
from api.http.server.limits import Limits
from api.http.server.starting import no_trace_of_it
from api.http.server.traced import Traced
from api.http.server.tracing import access
from api.http.sessions import INVITED_PATH
from api.runtime import metrics, spans
from api.runtime.connections import check_room
from api.runtime.demonstration import demo_of, invitations, served
from api.runtime.failures import CannotListen, CannotOpen, Failure, Stopped
from api.runtime.settings import Settings
from api.runtime.wiring import Database, opened, settle_in
from ledger.credentials import claimed, first_link
from ledger.database import connect
from projections.engine import succession

GRACE_S = 10
"""How long requests that are under way may take once it is told to stop."""
LOOK_AGAIN_S = 0.02


def run(settings: Settings, as_json: bool) -> int:
    """Serve until told to stop."""
    unread.wait_for_no_reader(as_json)
    Provider.of(settings)  # What is half said is refused at once,
    if settings.traces:  # and so is what is not installed.
        spans.require()
    with _bound(settings.host, settings.port) as listener:
        try:
            with (
                opened(settings, create=True) as database,
                served(database.dsn) as begun,
            ):
                check_room(database.dsn, settings)
                _check_version(database.dsn)
                _check_reach(database.dsn, settings)
                if begun is not None:
                    output.note(
                        f"The demo's clock was set to {output.local(begun)}: a day of it begins"
                        " when it is served, so that its clubs are open."
                    )
                as_it_is = database.anew()
                announce = partial(_announce, listener, settings.host, as_it_is, as_json)
                threading.Thread(target=announce, name="announcer", daemon=True).start()
                with kept_alive(settings, database.dsn):
                    return _run(listener, settings, database.dsn, as_json)
        except Stopped:
            return 0


def _check_version(dsn: str) -> None:
    """Refuses to serve answers that a newer version makes."""
    with connect(dsn) as connection:
        succession.stand_aside(connection)


def _check_reach(dsn: str, settings: Settings) -> None:
    """Refuses to be reached from elsewhere in the open, or while nobody has to say who he is."""
    with suppress(ValueError):
        if settings.host == "localhost" or ip_address(settings.host).is_loopback:
            return
    with connect(dsn) as connection:
        if not claimed(connection):
            raise CannotListen(
                f"Whoever reaches {settings.host} could do anything: make an API key first, by"
                " `clubledger do apikey.issue`, or an administrator by the first link; then nobody"
                " enters without."
            )
    if not settings.tls_in_front:
        raise CannotListen(
            f"On {settings.host} keys would travel in the open: put something in front that speaks"
            " TLS, and say so by CLUBLEDGER_TLS_IN_FRONT=1."
        )


def _bound(host: str, port: int) -> socket.socket:
    """A socket on the address. It listens later, when there is somebody to answer."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except (OSError, UnicodeError) as error:
        listener.close()
        why = "not an address" if isinstance(error, UnicodeError) else error.strerror or str(error)
        if isinstance(error, OSError) and error.errno == EADDRINUSE:
            why += "; --port takes another"
        raise CannotListen(f"Cannot listen on {_address(host, port)}: {why}.") from error
    return listener


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def configured(dsn: str, settings: Settings) -> uvicorn.Config:
    """How a worker serves."""
    return uvicorn.Config(
        partial(application, dsn, settings),
        factory=True,
        loop="auto" if sys.platform == "win32" else "uvloop",
        http=cast(type[asyncio.Protocol], Entrance(Limits.of(settings))),  # called like one
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        log_config=None,  # `notes.log_to_stderr` sees to it
        server_header=False,
        proxy_headers=False,  # who asks where a request came from, asks address_of
        timeout_graceful_shutdown=GRACE_S,
    )


def _run(listener: socket.socket, settings: Settings, dsn: str, as_json: bool) -> int:
    configure = partial(configured, dsn, settings)
    if settings.workers > 1:
        with metrics.shared_by_workers():
            return Supervisor(settings.workers, configure, listener, as_json).run()
    try:
        one = _One(configure())
        one.run([listener])
        return one.code
    except SystemExit as end:
        raise CannotOpen("The server could not start: its log says why.") from end


class _One(uvicorn.Server):
    """A worker alone. It raises its signals again when it has ended, but once in a while the
    interpreter is then past where SIGINT would be seen."""

    code = 0

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; a terminal that hangs up ends it like SIGTERM."""
        before = signal.getsignal(signal.SIGHUP)
        if before is not signal.SIG_IGN:  # `nohup` means it.
            signal.signal(signal.SIGHUP, self.handle_exit)
        try:
            super().run(sockets)
        finally:
            signal.signal(signal.SIGHUP, before)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Remember that it was Ctrl-C, for the exit code; at the second one wait for nobody.

        Broken off so, a request takes its statement with it; uvicorn would leave both, and a
        thread that waits for the database would keep the process for as long as it waits.
        """
        if sig == signal.SIGINT:
            self.code = 128 + sig
            if self.should_exit:
                for task in list(self.server_state.tasks):
                    task.cancel()
                return
        super().handle_exit(sig, frame)


def application(dsn: str, settings: Settings) -> ASGIApp:
    """The application of one worker."""
    logger = logging.getLogger("uvicorn.error")
    logger.addFilter(no_trace_of_it)
    logger.addFilter(_in_our_words)
    access.setLevel(logging.INFO if settings.access_log else logging.WARNING)
    app: ASGIApp = create_lanes(dsn, settings)
    if settings.traces:
        app = Traced(app, spans.provider())
    settle_in()
    return app


def _in_our_words(record: logging.LogRecord) -> bool:
    """A filter: what a stop breaks off is told in a sentence, without a traceback."""
    if record.msg.startswith("Cancel %s running task(s)"):
        record.msg = f"Not answered within {GRACE_S} s of the stop, and broken off: %d requests."
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _announce(listener: socket.socket, host: str, database: Database, as_json: bool) -> None:
    """Say where it serves, once it really answers."""
    port = listener.getsockname()[1]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while not _answers(reachable, port):
        time.sleep(LOOK_AGAIN_S)
    address = _address(host, port)
    demo = demo_of(database.meta)
    if demo is not None and not demo.complete:
        output.note(
            "The demo is loaded in part, and so is what is served: `clubledger demo` goes on."
        )
    try:
        _say_where(address, database, as_json)
    except (Failure, OSError) as error:  # Nobody reads it: no reason not to serve.
        streams.let_go()
        output.note(f"It serves on {address}, and cannot say so: {error}")


def _say_where(address: str, database: Database, as_json: bool) -> None:
    if as_json:
        output.tell({"serves": address, "clock": database.clock.stamp()})
    else:
        output.say(f"clubledger serves on {address}")
        sys.stdout.flush()  # a link is made for who reads it
        with suppress(psycopg.Error):
            for line in _links(address + INVITED_PATH, database):
                output.say(line)
        output.demo_clock(database.clock)
    sys.stdout.flush()


def _links(page: str, database: Database) -> Iterator[str]:
    """What opens once: of a demo a line for each of its people, else what makes the first
    administrator of a ledger that nobody has to open."""
    demo = demo_of(database.meta)
    if demo is not None and demo.complete:
        if invited := asyncio.run(invitations(database.dsn, database.clock)):
            yield "To be one of its people, open once and choose a password:"
            yield from (f"  {role:<13} {page}#{token}" for role, token in invited)
            yield "Once one is taken, nobody enters without signing in."
        return
    with connect(database.dsn) as connection:
        if link := first_link(connection):
            yield f"To be its administrator, open once: {page}#{link}"


def _answers(host: str, port: int) -> bool:
    asked = http.client.HTTPConnection(host, port, timeout=5)
    try:
        asked.request("GET", "/livez")
        return asked.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asked.close()
