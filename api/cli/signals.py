"""Signals: before a command has begun they end it at once, after that in order, tidying up."""

import os
import signal
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM


def _at_once(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


def _in_order(number: int, _: FrameType | None) -> None:
    from api.failures import Stopped

    raise Stopped


def leave_at_once() -> None:
    """While modules are imported: an exception there would be shown, or be lost in a callback."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _at_once)


def leave_in_order() -> None:
    """From where there is something to tidy up: Ctrl-C and SIGTERM are raised."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _in_order)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # `nohup` means it.
        signal.signal(signal.SIGHUP, _in_order)
