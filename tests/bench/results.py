"""Series as a run would find them, for tests of what is made of them."""

from bench.rounds import Series


def series(subject: str, *rates: float, **more: float) -> Series:
    """A subject with a round for each rate."""
    found = Series(subject, f"the title of {subject}", "commands", "http")
    found.rounds = [{"rate": rate, **more} for rate in rates]
    return found


def by_name(*each: Series) -> dict[str, Series]:
    """As a run hands them over."""
    return {one.subject: one for one in each}
