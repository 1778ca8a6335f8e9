"""The advisory locks of a ledger's database: one list, so that no two are the same lock."""

from enum import IntEnum, unique


@unique
class Lock(IntEnum):
    """Who holds a lock, and its number in PostgreSQL."""

    MIGRATOR = 0x636C7562
    """Whoever brings the tables of the log up to date."""
    RUNNER = 0x636C0001
    """Whoever folds into the live answers."""
    BUILDER = 0x636C0002
    """Whoever builds answers beside them; shared by those who suppose something meanwhile."""
    SUPPOSING = 0x636C0003
    """Whoever supposes something alone."""
    LOADING = 0x636C0004
    """Whoever loads the demo: a second load waits, and finds it loaded."""
    ROTATING = 0x636C0006
    """Whoever lets another key-encryption key take over."""
    SERVING = 0x636C0005
    """Shared by all who serve a demo; alone whoever sets its clock before he serves it."""
    TELLING = 0x636C0007
    """Whoever tells webhooks of events."""
    LEADING = 0x636C0008
    """Whoever begins jobs."""
    WORKING = 0x636C0009
    """Whoever carries a job out: another waits until he has gone."""
