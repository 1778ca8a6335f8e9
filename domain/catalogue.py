"""All nouns of the business, found: every event, part, command and refusal is known then.

A noun is a file or a package of this room beside the kernel. Its events get typed tables, its
commands an import format, its refusals a place in the documentation.
"""

import domain
from domain.kernel.command import ADDRESSED, COMMANDS, REFERENCE
from domain.kernel.event import CATALOGUE
from domain.kernel.nouns import nouns_of
from domain.kernel.parts import PARTS
from domain.kernel.refusal import REFUSALS

NOUNS = nouns_of(domain, "catalogue", "kernel", "simulation")

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
