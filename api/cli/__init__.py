"""The command line: `clubledger` and its commands.

What is imported here is little, so that Ctrl-C ends a command that has hardly begun without a word.
"""

from api.cli.terminal.signals import leave_at_once


def main() -> None:
    """Run the command line."""
    leave_at_once()
    from api.cli.ending import main as run

    run()


__all__ = ["main"]
