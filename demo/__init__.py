"""The demo year 2008: an invented history of a city branch that gives the reported figures.

It yields commands as JSON Lines, in chapters, so that it goes through the same door as anybody's
import. The same scale and seed give the same bytes, whenever and wherever. What the report does
not say stands in `assumptions.toml`, with the figures that rest on it.
"""

from demo.assumptions import ASSUMED, ASSUMPTIONS, Assumption
from demo.examples import EXAMPLES
from demo.instants import CLOCK_STARTS_AT, ZONE_NAME
from demo.reported import REPORT, REPORT_ID
from demo.scaling import SMALLEST
from demo.staff import STAFF, Employee
from demo.year import DEFAULT_SEED, Chapter, chapters

__all__ = [
    "ASSUMED",
    "ASSUMPTIONS",
    "CLOCK_STARTS_AT",
    "DEFAULT_SEED",
    "EXAMPLES",
    "REPORT",
    "REPORT_ID",
    "SMALLEST",
    "STAFF",
    "ZONE_NAME",
    "Assumption",
    "Chapter",
    "Employee",
    "chapters",
]
