"""All nouns of the business, imported once, so that every event, command and refusal is known.

Add a noun here and its events get typed tables, its commands an import format, its refusals a
place in the documentation.
"""

from domain import (
    bindings,
    bounds,
    campaigns,
    clubs,
    cohorts,
    corrections,
    lots,
    members,
    periods,
    points,
    units,
    visits,
)
from domain.command import ADDRESSED, COMMANDS, REFERENCE
from domain.event import CATALOGUE
from domain.refusal import REFUSALS
from domain.state import STATES

NOUNS = (
    members,
    units,
    points,
    lots,
    clubs,
    visits,
    campaigns,
    bindings,
    cohorts,
    corrections,
    periods,
    bounds,
)

__all__ = ["ADDRESSED", "CATALOGUE", "COMMANDS", "NOUNS", "REFERENCE", "REFUSALS", "STATES"]
