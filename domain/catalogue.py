"""All nouns of the business, imported once: every event, part, command and refusal is known then.

Add a noun here and its events get typed tables, its commands an import format, its refusals a
place in the documentation.
"""

from domain import (
    admissions,
    bindings,
    campaigns,
    clubs,
    cohorts,
    corrections,
    enrolments,
    members,
    units,
    visits,
)
from domain.kernel import bounds, periods, timeline
from domain.kernel.command import ADDRESSED, COMMANDS, REFERENCE
from domain.kernel.event import CATALOGUE
from domain.kernel.parts import PARTS
from domain.kernel.refusal import REFUSALS
from domain.points import lots, movements

NOUNS = (
    members,
    units,
    movements,
    lots,
    clubs,
    visits,
    admissions,
    campaigns,
    enrolments,
    bindings,
    cohorts,
    corrections,
    periods,
    timeline,
    bounds,
)

KINDS = tuple(dict.fromkeys(part.kind for part in PARTS.values()))
"""The kinds of streams."""

__all__ = [
    "ADDRESSED",
    "CATALOGUE",
    "COMMANDS",
    "KINDS",
    "NOUNS",
    "PARTS",
    "REFERENCE",
    "REFUSALS",
]
