"""Words of a run: how it counts, and why it cannot be had or does not count."""


class AbsentError(Exception):
    """Something cannot be measured here; the message says what is missing."""


class FaultError(Exception):
    """A run that does not count, and why."""


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
