"""MEASURES: one command that times the ledger beside floors and peers, in one run, interleaved."""
