"""Answers as of a moment, and what changed between two of them."""
