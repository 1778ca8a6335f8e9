"""Processes that are asked and answer in lines of JSON; they end when their input does."""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bench import KEY
from bench.options import REPOSITORY
from bench.words import FaultError

PATIENCE_S = 10
START_S = 240
"""However busy the machine is: nothing is measured while something starts."""


def environment(**more: str) -> dict[str, str]:
    """Ours without what the developer may have set for clubledger."""
    known = {k: v for k, v in os.environ.items() if not k.startswith(("CLUBLEDGER_", "PG"))}
    return {**known, "CLUBLEDGER_KEYS": KEY, **more}


class Child:
    """A process of ours. It has a group of its own, so that Ctrl-C is ours to handle."""

    def __init__(
        self,
        command: Sequence[str | Path],
        config: Mapping[str, Any],
        log: Path,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.log = log
        self._said = b""
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=REPOSITORY,
                env=environment(**(env or {})),
                start_new_session=True,
            )
        self.tell(config)

    @property
    def pid(self) -> int:
        """The root of its processes."""
        return self._process.pid

    def tell(self, question: Mapping[str, Any]) -> None:
        """Ask without waiting."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise FaultError(self._last_words()) from error

    def hear(self, within_s: float) -> dict[str, Any]:
        """The next answer."""
        answer: dict[str, Any] = json.loads(self.line(within_s))
        if "fault" in answer:
            raise FaultError(answer["fault"])
        return answer

    def line(self, within_s: float) -> bytes:
        """The next line that it writes."""
        assert self._process.stdout is not None
        until = time.monotonic() + within_s
        while b"\n" not in self._said:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._process.stdout], [], [], left)[0]:
                raise FaultError(f"no answer within {within_s:.0f} s; {self._last_words()}")
            read = os.read(self._process.stdout.fileno(), 1 << 16)
            if not read:
                raise FaultError(self._last_words())
            self._said += read
        line, _, self._said = self._said.partition(b"\n")
        return line

    def ask(self, question: Mapping[str, Any], within_s: float) -> dict[str, Any]:
        """Ask and wait for the answer."""
        self.tell(question)
        return self.hear(within_s)

    def end_input(self) -> None:
        """Let it come to its end by itself."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def close(self) -> None:
        """End it and all of its group."""
        assert self._process.stdout is not None
        self.end_input()
        try:
            self._process.wait(PATIENCE_S)
        except BaseException:
            self._signal(signal.SIGKILL)
            self._process.wait()
            raise
        finally:
            self._signal(signal.SIGKILL)
            self._process.stdout.close()

    def stop(self) -> None:
        """Tell it to end, as whoever started a server does."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, which: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, which)

    def _last_words(self) -> str:
        words = self.log.read_text("utf-8", "replace").strip().splitlines()[-1:]
        return f"it said: {words[0]}" if words else "it said nothing"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.close()


def python(module: str, config: Mapping[str, Any], log: Path) -> Child:
    """A module of ours as a process."""
    return Child([sys.executable, "-m", module], config, log)
