"""The command line: `clubledger` and its commands."""

from api.cli.commands import app
from api.cli.main import main

__all__ = ["app", "main"]
