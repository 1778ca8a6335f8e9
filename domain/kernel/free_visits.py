"""Free visits are counted a calendar year of the programme, by club and service."""

from datetime import datetime

from domain.kernel.values import local_date


def free_visit_key(club: str, service: str, at: datetime) -> str:
    """Free visits are counted a calendar year, by club and service."""
    return f"{club}/{service}/{local_date(at).year}"


def year_of(key: str) -> int:
    """The calendar year in the key of a free visit."""
    return int(key.rpartition("/")[2])


def one_more_free(free_visits: dict[str, int], key: str) -> dict[str, int]:
    """The free visits used, with one more under this key."""
    used = {**free_visits, key: free_visits.get(key, 0) + 1}
    if key in free_visits:
        return used  # No year of a new one: what was remembered is.
    remembered = first_year_remembered(used)
    return {key: n for key, n in used.items() if year_of(key) >= remembered}


def first_year_remembered(free_visits: dict[str, int]) -> int:
    """Free visits are remembered of the latest year that used one, and of the year before it."""
    return max(map(year_of, free_visits), default=1) - 1
