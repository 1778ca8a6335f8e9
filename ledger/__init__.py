"""REMEMBERS: the log in PostgreSQL, its order, its idempotency, its snapshots, its import."""
