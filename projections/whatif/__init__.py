"""What a scenario would have changed."""
