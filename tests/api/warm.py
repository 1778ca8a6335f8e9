"""Commands from a warm start: one process has imported the command line, and forks for each.

Each is a process of its own with its own streams, directory, environment and exit code. What
Python does before our first line and after our last is not in it: tests of that start cold.
"""

import atexit
import ctypes
import gc
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

GONE = "nobody reads it"
NAMES = ("stdin", "stdout", "stderr")
PID_BYTES = 10
TOLD_OF_ITS_END = 1
"""PR_SET_PDEATHSIG of Linux."""
SERVE = "import sys; from tests.api import warm; warm.serve(int(sys.argv[1]))"


class Starter:
    """The process that forks. It ends when we do, with whatever it has started."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._asking, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", SERVE, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                env=environ,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )

    def run(
        self,
        arguments: Iterable[str],
        environ: Mapping[str, str],
        cwd: Path | None,
        stdin: bytes,
        timeout_s: float,
        instead: Mapping[int, str | None] | None = None,
    ) -> tuple[int, bytes, bytes]:
        """(exit code, stdout, stderr) of a command; `instead` names what a stream shall be: a
        path, GONE or, for one that is closed, None."""
        with ExitStack() as stack:
            files = [stack.enter_context(TemporaryFile()) for _ in range(3)]
            files[0].write(stdin)
            files[0].seek(0)
            streams = [file.fileno() for file in files]
            ended = self.fork(arguments, environ, cwd, streams, instead or {})
            stack.callback(os.close, ended)
            pid_of(ended)
            assert select.select([ended], [], [], timeout_s)[0], f"no end of {[*arguments]}"
            code = int(os.read(ended, 16))
            for file in files:
                file.seek(0)
            return code, files[1].read(), files[2].read()

    def fork(
        self,
        arguments: Iterable[str],
        environ: Mapping[str, str],
        cwd: Path | None,
        streams: Iterable[int],
        instead: Mapping[int, str | None],
        apart: bool = False,
    ) -> int:
        """Begin a command with these streams, if `apart` in a session of its own. What is returned
        tells its process id (`pid_of`), and once it has ended its code."""
        said = {
            "arguments": [*arguments],
            "environ": {**environ},
            "cwd": str(cwd or Path.cwd()),
            "instead": {**instead},
            "apart": apart,
        }
        ended, ends = os.pipe()
        with TemporaryFile() as file:
            file.write(json.dumps(said).encode())
            file.seek(0)
            socket.send_fds(self._asking, [b"."], [file.fileno(), *streams, ends])
        os.close(ends)
        return ended


def pid_of(ended: int) -> int:
    """The process of a command that has begun."""
    return int(os.read(ended, PID_BYTES))


class Warm(subprocess.Popen[bytes]):
    """A command that goes on by itself, as `subprocess` would have started it: but it is forked by
    the starter, which tells of its end."""

    def __init__(self, starter: Starter, arguments: list[str], environ: Mapping[str, str]) -> None:
        self._starter, self._ended = starter, -1
        super().__init__(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environ,
        )

    def _execute_child(self, args: list[str], *said: Any) -> None:
        environ, theirs = said[5], (said[9], said[12], said[14])
        self._ended = self._starter.fork(args, environ, None, theirs, {}, apart=True)
        self.pid = pid_of(self._ended)
        self._child_created = True
        for fd in theirs:
            os.close(fd)

    def _internal_poll(self, *_: Any, **__: Any) -> int | None:
        if self.returncode is None:
            pid, status = self._try_wait(os.WNOHANG)
            self.returncode = status if pid else None
        return self.returncode

    def _try_wait(self, flags: int) -> tuple[int, int]:
        if flags & os.WNOHANG and not select.select([self._ended], [], [], 0)[0]:
            return 0, 0
        code = int(os.read(self._ended, 16))
        os.close(self._ended)
        return self.pid, code

    def _handle_exitstatus(self, status: int, *_: Any, **__: Any) -> None:
        self.returncode = status


def serve(asked_fd: int) -> None:
    """Fork for every command that is asked for; returns in the child that has run one."""
    commands = import_module("api.cli").__path__
    for module in pkgutil.walk_packages(commands, "api.cli."):
        import_module(module.name)
    rules = import_module("ledger.log.snapshots")
    for kind in import_module("domain.catalogue").KINDS:
        rules.fold_version(kind)  # whoever writes asks for it first
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=asked_fd) as asked:
        while fds := socket.recv_fds(asked, 1, 5)[1]:
            if os.fork() == 0:
                asked.close()
                _keep(*fds)
                return
            for fd in fds:
                os.close(fd)
    os.killpg(0, signal.SIGKILL)


def _keep(asked_fd: int, stdin: int, stdout: int, stderr: int, ends: int) -> None:
    """Run a command in a child of this process, which tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    keeper = os.getpid()
    if child := os.fork():
        for fd in (stdin, stdout, stderr):
            os.close(fd)
        status = os.waitpid(child, 0)[1]
        os.write(ends, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    with open(asked_fd, "rb") as file:
        asked = json.load(file)
    if asked["apart"]:
        os.setsid()
        _end_with(keeper)
    os.write(ends, str(os.getpid()).encode().ljust(PID_BYTES))
    os.close(ends)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["cwd"])
    for number, fd in enumerate((stdin, stdout, stderr)):
        os.dup2(fd, number)
        os.close(fd)
    for number, what in asked["instead"].items():
        _instead(int(number), what)
    if asked["apart"]:
        for number in range(3):
            _reopen(number)
    sys.argv = ["-c", *asked["arguments"]]
    try:
        import_module("api.cli").main()
    except SystemExit as end:
        if not asked["instead"]:
            _leave(end.code)
        raise


def _leave(code: object) -> None:
    """End as Python does, but for giving all memory back, which would be copied first: no return
    unless something is left to be told of a stream."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
        if isinstance(code, int):
            os._exit(code)


def _end_with(parent: int) -> None:
    """Be stopped once our parent is no more, where the system can tell: else a server would outlive
    tests that were killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(TOLD_OF_ITS_END, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _instead(number: int, what: str | None) -> None:
    """Another stream, as Python would have found it."""
    if what is None:
        os.close(number)
        setattr(sys, NAMES[number], None)
        return
    reads, writes = os.pipe()
    if what != GONE:
        os.close(writes)
        writes = os.open(what, os.O_RDWR)
    os.close(reads)
    os.dup2(writes, number)
    os.close(writes)
    _reopen(number)


def _reopen(number: int) -> None:
    """What was opened for another file has asked it already whether it can be sought."""
    mode = "r" if number == 0 else "w"
    setattr(sys, NAMES[number], open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
