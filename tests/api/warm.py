"""Commands from a warm start: one process has imported the command line, and forks for each.

Each is a process of its own with its own streams, directory, environment and exit code. What
Python does before our first line is not in it: tests of that start cold.
"""

import gc
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryFile

GONE = "nobody reads it"
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
        asked = {
            "arguments": [*arguments],
            "environ": {**environ},
            "cwd": str(cwd or Path.cwd()),
            "instead": {**(instead or {})},
        }
        with ExitStack() as stack:
            files = [stack.enter_context(TemporaryFile()) for _ in range(4)]
            for file, text in zip(files, (json.dumps(asked).encode(), stdin), strict=False):
                file.write(text)
                file.seek(0)
            ended, ends = os.pipe()
            stack.callback(os.close, ended)
            socket.send_fds(self._asking, [b"."], [*(file.fileno() for file in files), ends])
            os.close(ends)
            assert select.select([ended], [], [], timeout_s)[0], f"no end of {asked['arguments']}"
            code = int(os.read(ended, 16))
            for file in files:
                file.seek(0)
            return code, files[2].read(), files[3].read()


def serve(asked_fd: int) -> None:
    """Fork for every command that is asked for; returns in the child that has run one."""
    commands = import_module("api.cli").__path__
    for module in pkgutil.walk_packages(commands, "api.cli."):
        import_module(module.name)
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
    if child := os.fork():
        status = os.waitpid(child, 0)[1]
        os.write(ends, str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    os.close(ends)
    with open(asked_fd, "rb") as file:
        asked = json.load(file)
    os.environ.clear()
    os.environ.update(asked["environ"])
    os.chdir(asked["cwd"])
    for number, fd in enumerate((stdin, stdout, stderr)):
        os.dup2(fd, number)
        os.close(fd)
    for number, what in asked["instead"].items():
        _replace(int(number), what)
    sys.argv = ["-c", *asked["arguments"]]
    import_module("api.cli").main()


def _replace(number: int, what: str | None) -> None:
    """Another stream, as Python would have found it."""
    name = ("stdin", "stdout", "stderr")[number]
    if what is None:
        os.close(number)
        setattr(sys, name, None)
        return
    reads, writes = os.pipe()
    if what != GONE:
        os.close(writes)
        writes = os.open(what, os.O_RDWR)
    os.close(reads)
    os.dup2(writes, number)
    os.close(writes)
    # What was opened for another file has asked it already whether it can be sought.
    mode = "r" if number == 0 else "w"
    setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
