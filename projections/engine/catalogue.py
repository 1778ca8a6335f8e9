"""All projections, found, so that every one of them is known to the runner.

A noun is a file or a package of this room beside the engine and what is asked across nouns. Its
tables are made, folded, rebuilt and compared.
"""

import projections
from domain.kernel.nouns import nouns_of
from projections.engine.projection import PROJECTIONS

NOUNS = nouns_of(projections, "engine", "figures", "asof", "audit", "whatif")

__all__ = ["NOUNS", "PROJECTIONS"]
