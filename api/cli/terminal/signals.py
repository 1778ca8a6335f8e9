"""Signals: while a command has not begun, or is over, they end it at once; in between in order."""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
SOON_S = 0.01


def _at_once(number: int, _: FrameType | None) -> None:
    os._exit(INTERRUPTED if number == signal.SIGINT else TERMINATED)


def _in_order(number: int, _: FrameType | None) -> None:
    from api.runtime.failures import Stopped

    raise Stopped


def leave_at_once() -> None:
    """While modules are imported: an exception there would be shown, or be lost in a callback."""
    _handle(signal.SIGINT, _at_once)
    _handle(signal.SIGTERM, _at_once)
    _handle(signal.SIGHUP, _at_once)


def leave_in_order() -> None:
    """From where there is something to tidy up: what comes is raised."""
    _handle(signal.SIGINT, signal.default_int_handler)
    _handle(signal.SIGTERM, _in_order)
    _handle(signal.SIGHUP, _in_order)
    sys.unraisablehook = _not_lost


def _not_lost(ignored: "sys.UnraisableHookArgs") -> None:
    """A signal that comes while Python tidies up on its own is raised where nobody sees it: it is
    sent again, a moment later."""
    from api.runtime.failures import Stopped

    if isinstance(ignored.exc_value, KeyboardInterrupt | Stopped):
        number = (
            signal.SIGINT if isinstance(ignored.exc_value, KeyboardInterrupt) else signal.SIGTERM
        )
        main = threading.main_thread().ident
        threading.Timer(SOON_S, signal.pthread_kill, [main, number]).start()
    else:
        sys.__unraisablehook__(ignored)


def _handle(number: int, handler: Any) -> None:
    if signal.getsignal(number) is not signal.SIG_IGN:  # `nohup` means it, and `&` in a script.
        signal.signal(number, handler)
