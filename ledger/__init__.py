"""REMEMBERS: the log in PostgreSQL, its order, its idempotency, its heads, its import."""
