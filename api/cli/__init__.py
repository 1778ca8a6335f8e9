"""The command line: `clubledger` and its commands."""

from api.cli.main import app, main

__all__ = ["app", "main"]
