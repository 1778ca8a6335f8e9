"""A clock that jumps, for processes of the hostile hour only: they have this directory first in
PYTHONPATH. The file that HOSTILE_CLOCK names holds how many seconds their clock is ahead, and is
read whenever they ask. And they tell on stderr what they do, threads and tasks, on SIGUSR2.

Only `api/runtime/clock.py` asks what time it is (a rule of tests/architecture/tidy.py), so it is
enough that its `datetime` asks us.
"""

import faulthandler
import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta, tzinfo
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

MODULE = "api.runtime.clock"


def _ahead() -> timedelta:
    try:
        with open(os.environ["HOSTILE_CLOCK"], encoding="ascii") as file:
            return timedelta(seconds=int(file.read() or 0))
    except (OSError, ValueError):
        return timedelta()


class Jumping(datetime):
    """The datetime that api.runtime.clock sees; what it gives are ordinary ones."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        """Real time and what the file says."""
        moment = super().now(tz) + _ahead()
        return datetime.combine(moment.date(), moment.timetz())


class _Finder(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != MODULE:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        assert spec.loader is not None
        run = spec.loader.exec_module

        def with_ours(module: ModuleType) -> None:
            run(module)
            module.datetime = Jumping  # type: ignore[attr-defined]

        spec.loader.exec_module = with_ours  # type: ignore[method-assign]
        return spec


def _tell(*_: object) -> None:
    kind = getattr(sys.modules.get("asyncio"), "Task", ())  # not every command needs it
    tasks = [each for each in gc.get_objects() if isinstance(each, kind) and not each.done()]
    said = [f"task {each.get_name()}: {' > '.join(_places(each.get_coro()))}" for each in tasks]
    os.write(2, "\n".join([f"process {os.getpid()}", *said, ""]).encode())
    faulthandler.dump_traceback()
    os.write(2, f"process {os.getpid()} has told\n".encode())


def _places(awaited: Any) -> Iterator[str]:
    """Where a coroutine waits, and what it waits for, and so on."""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None)
        if frame is None:
            yield type(awaited).__name__
        else:
            yield f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        awaited = getattr(awaited, "cr_await", None)


signal.signal(signal.SIGUSR2, _tell)
sys.meta_path.insert(0, _Finder())
