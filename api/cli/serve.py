"""`serve`: the HTTP door, in one process or several, and the follower that keeps answers fresh."""

import asyncio
import http.client
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from multiprocessing import connection, parent_process
from types import FrameType
from typing import cast

import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors.multiprocess import Multiprocess

from api.cli import output
from api.cli.revival import kept_alive
from api.demonstration import demo_of
from api.failures import CannotListen, CannotOpen, Stopped
from api.http import create_lanes
from api.http.front import Entrance
from api.http.limits import Limits
from api.settings import Settings
from api.wiring import Database, opened, settle_in

GRACE_S = 10
"""How long requests that are under way may take once it is told to stop."""
LOOK_AGAIN_S = 0.02


def run(settings: Settings, as_json: bool) -> int:
    """Serve until told to stop."""
    with _bound(settings.host, settings.port) as listener:
        try:
            with opened(settings, create=True) as database:
                announce = partial(_announce, listener, settings.host, database, as_json)
                threading.Thread(target=announce, name="announcer", daemon=True).start()
                with kept_alive(settings, database.dsn):
                    return _run(listener, settings, database.dsn)
        except Stopped:
            return 0


def _bound(host: str, port: int) -> socket.socket:
    """A socket on the address. It listens later, when there is somebody to answer."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        why = error.strerror or str(error)
        raise CannotListen(f"Cannot listen on {_address(host, port)}: {why}.") from error
    return listener


def _address(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _run(listener: socket.socket, settings: Settings, dsn: str) -> int:
    config = uvicorn.Config(
        partial(worker, dsn, settings),
        factory=True,
        workers=settings.workers,
        loop="auto" if sys.platform == "win32" else "uvloop",
        http=cast(type[asyncio.Protocol], Entrance(Limits.of(settings))),  # called like one
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # nothing asks where a request came from
        timeout_graceful_shutdown=GRACE_S,
    )
    try:
        if settings.workers == 1:
            one = _One(config)
            one.run([listener])
            return one.code
        several = _Several(config, [listener])
        several.run()
        return several.code
    except SystemExit as end:
        raise CannotOpen("The server could not start: its log says why.") from end


class _One(uvicorn.Server):
    """A worker alone. It raises its signals again when it has ended, but once in a while the
    interpreter is then past where SIGINT would be seen."""

    code = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Remember that it was Ctrl-C, for the exit code."""
        if sig == signal.SIGINT:
            self.code = 128 + sig
        super().handle_exit(sig, frame)


class _Several(Multiprocess):
    """Workers under a parent that replaces those that die."""

    code = 0

    def handle_int(self) -> None:
        """Remember that it was Ctrl-C, for the exit code."""
        self.code = 128 + signal.SIGINT
        super().handle_int()


def worker(dsn: str, settings: Settings) -> ASGIApp:
    """The application of one worker, which does not outlive the process that started it."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow_to_the_end, args=(parent.sentinel,), daemon=True).start()
    app = create_lanes(dsn, settings)
    settle_in()
    return app


def _follow_to_the_end(sentinel: int) -> None:
    connection.wait([sentinel])
    os.kill(os.getpid(), signal.SIGTERM)


def _announce(listener: socket.socket, host: str, database: Database, as_json: bool) -> None:
    """Say where it serves, once it really answers."""
    port = listener.getsockname()[1]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    while not _answers(reachable, port):
        time.sleep(LOOK_AGAIN_S)
    address = _address(host, port)
    demo = demo_of(database.meta)
    if demo is not None and not demo.complete:
        output.note(
            "The demo is loaded in part, and so is what is served: `clubledger demo` goes on."
        )
    if as_json:
        output.tell({"serves": address, "clock": database.clock.stamp()})
    else:
        output.say(f"clubledger serves on {address}")
        output.demo_clock(database.clock)
    sys.stdout.flush()


def _answers(host: str, port: int) -> bool:
    asked = http.client.HTTPConnection(host, port, timeout=5)
    try:
        asked.request("GET", "/health")
        return asked.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        asked.close()
