"""MEASURES: one command that times the ledger beside floors and peers, in one run, interleaved."""

from ledger.keyring import KEYRING, Source

KEY = "be" * 32
"""Of databases that are dropped when the run ends."""
KEYRING.take(Source("the bench", lambda: KEY))
