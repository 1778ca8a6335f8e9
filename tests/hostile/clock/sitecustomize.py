"""A clock that jumps, for processes of the hostile hour only: they have this directory first in
PYTHONPATH. The file that HOSTILE_CLOCK names holds how many seconds their clock is ahead, and is
read whenever they ask.

Only `api/runtime/clock.py` asks what time it is (a rule of tests/architecture/tidy.py), so it is
enough that its `datetime` asks us.
"""

import os
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

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


sys.meta_path.insert(0, _Finder())
