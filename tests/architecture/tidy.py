"""Rules of style that a machine can hold, each with what rings it and what must not.

A rule takes a file and yields the lines that break it. Names are followed through the imports of
their file, so that `from time import time as t` hides nothing.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TypeGuard

ROOMS = ("domain", "ledger", "projections", "demo", "api")
GENERATED = re.compile(
    r"^requirements/|\.(json|po|svg|csv)$|^docs/reference/(facts|events|refusals|figures)\.md$"
    r"|^docs/reference/api-changes\.md$|^tests/api/released\.txt$"
)
ZONE = re.compile(r"AT TIME ZONE '(?!UTC'|{zone}')|(?<!PROGRAMME = Programme\()ZoneInfo\(\"")
LIMIT_LINES = 600
# Said in two breaths, so that this file stays tidy itself.
PROMISE, ADDRESS, ROOT = "TO" + "DO", "https:/" + "/", "/" + "root/"
LIMIT = "SET lock_timeout" + " = "


@dataclass(frozen=True)
class File:
    path: str
    text: str

    def within(self, *rooms: str) -> bool:
        return self.path.split("/")[0] in rooms

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, self.path)

    def nodes(self) -> Iterator[ast.AST]:
        if self.is_python:
            yield from ast.walk(self.tree)

    def lines(self, pattern: re.Pattern[str]) -> Iterator[int]:
        return (n for n, line in enumerate(self.text.splitlines(), 1) if pattern.search(line))

    def mentions(self, *names: str) -> Iterator[int]:
        """The lines that refer to one of these dotted names, under whatever alias."""
        for node in self.nodes():
            if isinstance(node, ast.Attribute | ast.Name) and self._full_name(node) in names:
                yield node.lineno

    @cached_property
    def _imported(self) -> dict[str, str]:
        known: dict[str, str] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for name in node.names:
                    first = name.name.split(".")[0]
                    known[name.asname or first] = name.name if name.asname else first
            elif isinstance(node, ast.ImportFrom) and node.module:
                for name in node.names:
                    known[name.asname or name.name] = f"{node.module}.{name.name}"
        return known

    def _full_name(self, node: ast.expr) -> str:
        if isinstance(node, ast.Attribute):
            return f"{self._full_name(node.value)}.{node.attr}"
        return self._imported.get(node.id, "") if isinstance(node, ast.Name) else ""


def zone(file: File) -> Iterator[int]:
    if file.within(*ROOMS) and not file.path.startswith("demo/"):
        yield from file.lines(ZONE)


def clock(file: File) -> Iterator[int]:
    if file.path == "api/runtime/clock.py":
        return
    yield from file.mentions(
        *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
        "datetime.date.today",
        *(f"time.{name}" for name in ("time", "time_ns", "localtime", "gmtime", "ctime")),
        *(f"time.clock_{name}" for name in ("gettime", "gettime_ns")),
    )
    if file.within("domain"):
        yield from file.mentions(
            *(
                f"time.{name}{unit}"
                for name in ("monotonic", "perf_counter")
                for unit in ("", "_ns")
            )
        )


SQL_CLOCK = re.compile(
    r"\b(now|(clock|statement|transaction)_timestamp)\(\)|\bcurrent_(date|time|timestamp)\b", re.I
)


def clock_in_a_fold(file: File) -> Iterator[int]:
    if not file.within("projections"):
        return
    if file.path.endswith(".sql"):
        yield from file.lines(SQL_CLOCK)
    prose = {id(node.value) for node in file.nodes() if isinstance(node, ast.Expr)}
    for node in file.nodes():
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose:
            before = (node.value[: match.start()] for match in SQL_CLOCK.finditer(node.value))
            yield from (node.lineno + text.count("\n") for text in before)


def environment(file: File) -> Iterator[int]:
    if file.within(*ROOMS) and file.path != "api/runtime/settings.py":
        yield from file.mentions(*(f"os.{n}" for n in ("environ", "environb", "getenv", "putenv")))


def floats(file: File) -> Iterator[int]:
    if not file.within("domain"):
        return
    for node in file.nodes():
        match node:
            case ast.Constant(value=float() | complex()) | ast.Name(id="float" | "complex"):
                yield node.lineno
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno


def promises(file: File) -> Iterator[int]:
    return file.lines(re.compile(r"\b(TOD[O]|FIXM[E]|XX[X])\b"))


def skipped_tests(file: File) -> Iterator[int]:
    names = ("skip", "skipif", "xfail")
    return file.mentions(
        *(f"pytest.mark.{name}" for name in names),
        *(f"pytest.{name}" for name in ("skip", "xfail", "importorskip")),
        *(f"unittest.{name}" for name in ("skip", "skipIf", "skipUnless", "expectedFailure")),
    )


def leaked_cursors(file: File) -> Iterator[int]:
    if not file.within(*ROOMS):
        return
    for function in file.nodes():
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            own = list(_own(function))
            managed = any("contextmanager" in ast.unparse(each) for each in function.decorator_list)
            if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in own) and not managed:
                yield from (node.lineno for node in own if _opens_cursor(node))


def _own(function: ast.AST) -> Iterator[ast.AST]:
    """What stands in a function, without the functions in it."""
    for node in ast.iter_child_nodes(function):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield node
            yield from _own(node)


def _opens_cursor(node: ast.AST) -> TypeGuard[ast.Call]:
    """Whether it opens a cursor on the server, which has a name."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    named = bool(node.args) or any(each.arg == "name" for each in node.keywords)
    return node.func.attr == "cursor" and named


def length(file: File) -> Iterator[int]:
    if not GENERATED.search(file.path) and file.text.count("\n") >= LIMIT_LINES:
        yield LIMIT_LINES


PATIENT = "tests/patience.py"
TIMED = ("tests/hostile/", "tests/ledger/storm.py", PATIENT)
"""Who may look at a watch: harm that is done over time, and the one place of patience."""
WAITS = {"wait", "wait_for", "join", "result", "communicate", "acquire", "sleep", "move_on_after"}
WAITED = re.compile(r"(^|_)(timeout|patience|deadline)(_m?s)?$", re.I)
TIMEOUTS = re.compile(r"\bSET (LOCAL )?\w+_timeout\s*(=|TO)\s*'?\d", re.I)


def impatience(file: File) -> Iterator[int]:
    """Tests that look at a clock, sleep, or give something so many seconds."""
    if not file.within("tests") or file.path.startswith(TIMED):
        return
    yield from file.mentions(
        *(f"time.{name}" for name in ("sleep", "monotonic", "perf_counter", "process_time")),
        *(f"time.{name}_ns" for name in ("monotonic", "perf_counter", "process_time")),
    )
    for node in file.nodes():
        match node:
            case ast.Call(func=ast.Attribute(attr=name), args=[*_, last]) if name in WAITS:
                given = [last]
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if WAITED.search(name):
                given = [value]
            case ast.keyword(arg=str(name), value=value) if WAITED.search(name):
                given = [value]
            case ast.Constant(value=str(text)) if TIMEOUTS.search(text):
                yield node.lineno
                continue
            case _:
                continue
        # No time at all is no patience: it looks, or lets the others have their turn.
        yield from (
            each.lineno
            for each in given
            if isinstance(each, ast.Constant) and isinstance(each.value, int | float) and each.value
        )


REGISTRIES = re.compile(
    r"https?://[\w.:@-]*\b(pypi\.org|pythonhosted\.org|npmjs\.(org|com)|yarnpkg\.com|npmmirror\.com"
    r"|crates\.io|golang\.org|debian\.org|docker\.(io|com)|ghcr\.io)\b"
)
MACHINE = re.compile(r"(?<![\w.}])/((work|root|home)/|tmp/cl\b)")


def registries(file: File) -> Iterator[int]:
    return file.lines(REGISTRIES)


def machine_paths(file: File) -> Iterator[int]:
    return file.lines(MACHINE)


@dataclass(frozen=True)
class Rule:
    """A sentence, what holds it, and examples as (path, text): these ring, those do not."""

    name: str
    broken_lines: Callable[[File], Iterator[int]]
    rings: tuple[tuple[str, str], ...]
    quiet: tuple[tuple[str, str], ...]


RULES = [
    Rule(
        "The zone of the programme is the ledger's: no text names one",
        zone,
        rings=(
            ("projections/lots.py", "(at AT TIME ZONE 'Asia/Shanghai')::date"),
            ("domain/lots.py", 'local = at.astimezone(ZoneInfo("Europe/Berlin"))'),
        ),
        quiet=(
            ("projections/lots.py", "at::date, to_char(at AT TIME ZONE 'UTC', 'YYYY')"),
            ("domain/kernel/values.py", 'PROGRAMME = Programme(ZoneInfo("Asia/Shanghai"), ("a",))'),
            ("projections/lots.py", "(left_at AT TIME ZONE '{zone}')::date"),
            ("demo/lots.py", "AT TIME ZONE 'Asia/Shanghai'"),
        ),
    ),
    Rule(
        "Time is an argument: only api/runtime/clock.py asks the clock",
        clock,
        rings=(
            ("domain/points/lots.py", "from datetime import datetime, UTC\nat = datetime.now(UTC)"),
            ("ledger/log.py", "import datetime as dt\nat = dt.datetime.utcnow()"),
            ("api/pages.py", "from datetime import date\nfield(default_factory=date.today)"),
            ("api/pages.py", "from time import time as t\nt()"),
            ("tests/test_lots.py", "import time\ntime.time_ns()"),
            ("domain/points/lots.py", "import time\ntime.monotonic()"),
        ),
        quiet=(
            ("api/runtime/clock.py", "from datetime import datetime, UTC\ndatetime.now(UTC)"),
            ("ledger/batcher.py", "import time\ntime.perf_counter() - time.monotonic()"),
            ("domain/points/lots.py", "def spend(now: Moment) -> None:\n    now.date()"),
        ),
    ),
    Rule(
        "A fold gives the same answer tomorrow: its SQL asks no clock",
        clock_in_a_fold,
        rings=(
            ("projections/lots.sql", "SELECT *\nFROM lot WHERE expires_at < now()"),
            ("projections/lots.py", 'fold = """\nSELECT CURRENT_DATE"""'),
        ),
        quiet=(
            ("projections/lots.py", '"""Never now(): the moment is an argument."""'),
            ("ledger/log.sql", "SELECT now()"),
        ),
    ),
    Rule(
        "Only api/runtime/settings.py reads the environment",
        environment,
        rings=(
            ("ledger/embedded.py", "import os\nos.environ['PATH']"),
            ("api/cli.py", "from os import getenv\ngetenv('HOME')"),
        ),
        quiet=(
            ("api/runtime/settings.py", "import os\nos.environ"),
            ("ledger/embedded.py", "import os\nos.getuid()"),
            ("tests/test_cli.py", "import os\nos.environ"),
        ),
    ),
    Rule(
        "The domain counts in whole numbers",
        floats,
        rings=(
            ("domain/prices.py", "rate = 0.5"),
            ("domain/prices.py", "half = points / 2"),
            ("domain/prices.py", "points /= 2"),
            ("domain/prices.py", "float(points)"),
            ("domain/prices.py", "rate: float"),
        ),
        quiet=(
            ("domain/prices.py", "half, rate = points // 2, Fraction(points, 2)"),
            ("domain/prices.py", "def price(points: int, /) -> int: ..."),
            ("projections/lag.py", "lag_s = lag_ms / 1000.0"),
        ),
    ),
    Rule(
        "Nothing is promised in a comment",
        promises,
        rings=(("domain/points/lots.py", f"# {PROMISE}: expire"), ("docs/use.md", f"* {PROMISE}")),
        quiet=(("domain/points/lots.py", "# Mastodon, todo_list"),),
    ),
    Rule(
        "No test is skipped or expected to fail",
        skipped_tests,
        rings=(
            ("tests/test_lots.py", "import pytest\n@pytest.mark.skip\ndef test_x(): ..."),
            ("tests/test_lots.py", "from pytest import mark as m\n@m.xfail()\ndef test_x(): ..."),
            ("tests/test_lots.py", "import pytest\npytest.importorskip('polars')"),
        ),
        quiet=(("tests/test_lots.py", "import pytest\n@pytest.mark.slow\ndef test_x(): ..."),),
    ),
    Rule(
        f"No test depends on a quiet machine: only {PATIENT} knows of time",
        impatience,
        rings=(
            ("tests/test_lots.py", "import time\ntime.sleep(0.1)"),
            ("tests/test_lots.py", "from time import monotonic as m\nassert m() - begun < 5"),
            ("tests/test_lots.py", "import asyncio\nasyncio.sleep(0.2)"),
            ("tests/test_lots.py", "asyncio.wait_for(coming, 5)"),
            ("tests/test_lots.py", "thread.join(0.2)"),
            ("tests/test_lots.py", "process.communicate(timeout=30)"),
            ("tests/test_lots.py", "httpx.get(address, timeout=30)"),
            ("tests/test_lots.py", "PATIENCE_S = 20"),
            ("tests/test_lots.py", f"conn.execute(\"{LIMIT}'20s'\")"),
        ),
        quiet=(
            (PATIENT, "import time\nPATIENCE_S = 240\ntime.sleep(0.01)"),
            ("tests/hostile/house.py", "import time\ntime.monotonic()"),
            ("tests/test_lots.py", "await asyncio.sleep(0)\nthread.join(PATIENCE_S)"),
            ("tests/test_lots.py", "process.wait()\n', '.join(words)\nall(done.wait(0))"),
            ("tests/test_lots.py", "import time\ndef slept(n): ..."),
            ("ledger/batcher.py", "import time\ntime.sleep(0.1)"),
        ),
    ),
    Rule(
        "Who reads from a cursor of the server closes it: none is left to the garbage collector",
        leaked_cursors,
        rings=(
            (
                "projections/lots.py",
                'def lots(conn):\n    with conn.cursor(name="lots") as found:\n'
                '        yield from found.execute("SELECT")',
            ),
            (
                "ledger/log.py",
                'def log(conn):\n    for row in conn.cursor("log"):\n        yield row',
            ),
        ),
        quiet=(
            (
                "projections/lots.py",
                '@contextmanager\ndef lots(conn):\n    with conn.cursor(name="lots") as found:\n'
                '        yield found.execute("SELECT")',
            ),
            ("projections/lots.py", "def lots(conn):\n    yield from conn.cursor(row_factory=x)"),
            (
                "ledger/log.py",
                'def log(conn):\n    with conn.cursor("log") as c:\n        return [*c]',
            ),
        ),
    ),
    Rule(
        f"A file stays under {LIMIT_LINES} lines",
        length,
        rings=(("domain/points/lots.py", "x = 1\n" * LIMIT_LINES),),
        quiet=(
            ("domain/points/lots.py", "x = 1\n" * (LIMIT_LINES - 1)),
            ("requirements/run.txt", "x\n" * LIMIT_LINES),
        ),
    ),
    Rule(
        "No file names a package registry",
        registries,
        rings=(
            ("requirements/run.txt", f"--index-url {ADDRESS}pypi.org/simple"),
            ("docs/use.md", f"see {ADDRESS}files.pythonhosted.org/packages"),
            ("package.json", f'"resolved": "{ADDRESS}registry.npmjs.org/x"'),
        ),
        quiet=(("docs/use.md", "https://keepachangelog.com and pypi in words"),),
    ),
    Rule(
        "No file knows the machine it was written on",
        machine_paths,
        rings=(("docs/use.md", f"cd {ROOT}x"), ("Makefile", f'PYTHON="{ROOT}x/python"')),
        quiet=(("docs/use.md", "https://example.com/root/ /var/lib/clubledger ./root/"),),
    ),
]
