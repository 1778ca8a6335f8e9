"""Outgoing webhooks: one more follower of the log, which tells programs elsewhere of its events."""
