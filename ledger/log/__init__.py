"""The log: commands are decided in batches, and each batch is appended in one commit."""
