"""All projections, imported once, so that every one of them is known to the runner.

Add a noun here and its tables are made, folded, rebuilt and compared.
"""

from projections import bindings, campaigns, clubs, cohorts, members, points, units, visits
from projections.engine.projection import PROJECTIONS

NOUNS = (units, members, points, clubs, visits, campaigns, bindings, cohorts)

__all__ = ["NOUNS", "PROJECTIONS"]
