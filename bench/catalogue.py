"""Every part there is. A module that brings one is imported here, and nowhere else is it named."""

from bench import (
    asof,
    doors,
    exports,
    floors,
    fresh,
    history,
    http,
    imports,
    inprocess,
    millions,
    pages,
    profiles,
    reads,
    tables,
    tail,
)
from bench.parts import PARTS, Part
from bench.peers import emmett, library, message_db

__all__ = ["ABSENT", "MODULES", "PARTS", "Part"]

MODULES = (
    http,
    doors,
    floors,
    library,
    inprocess,
    emmett,
    message_db,
    history,
    tail,
    fresh,
    imports,
    tables,
    reads,
    asof,
    exports,
    millions,
    pages,
    profiles,
)

ABSENT = {
    "pgledger": "it is no package of npm or PyPI, and its SQL is not copied into this repository",
}
"""Peers that are known and not measured."""
