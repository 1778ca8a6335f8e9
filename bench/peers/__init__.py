"""Others doing the same command: stock eventsourcing, emmett, message-db."""
