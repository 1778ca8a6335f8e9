"""All nouns of the business, imported once: every event, part, command and refusal is known then.

Add a noun here and its events get typed tables, its commands an import format, its refusals a
place in the documentation.
"""

from domain import (
    admissions,
    bindings,
    bounds,
    campaigns,
    clubs,
    cohorts,
    corrections,
    enrolments,
    lots,
    members,
    periods,
    points,
    timeline,
    units,
    visits,
)
from domain.command import ADDRESSED, COMMANDS, REFERENCE
from domain.event import CATALOGUE
from domain.parts import PARTS
from domain.refusal import REFUSALS

NOUNS = (
    members,
    units,
    points,
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
