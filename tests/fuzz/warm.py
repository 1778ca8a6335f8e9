"""Schemathesis from a start that is warm."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

PRELOADED = ["schemathesis.cli", "api.http", "projections.engine.catalogue", "tests.api.facts"]
"""What each run imports, its hooks beside it; but not they, who look at their environment first."""


def schemathesis(arguments: Sequence[str], environ: Mapping[str, str], said: Path) -> None:
    """Run it in this process, which is its own; what it says goes to a file."""
    os.environ.clear()
    os.environ.update(environ)
    with said.open("wb") as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    sys.argv = ["schemathesis", *arguments]
    import_module("schemathesis.cli").schemathesis()
