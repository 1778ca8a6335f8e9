"""Where the time goes: the heaviest lines of a profile, by their own time."""

import cProfile
import io
import pstats

LINES = 15


def heaviest(profile: cProfile.Profile) -> list[str]:
    """The head of its table and so many lines of it."""
    text = io.StringIO()
    pstats.Stats(profile, stream=text).strip_dirs().sort_stats("tottime").print_stats(LINES)
    said = [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
    table = next((n for n, line in enumerate(said) if line.split()[:1] == ["ncalls"]), len(said))
    return said[table:]
