"""Files as people have them: read, mapped, guessed and merged into facts in the order of time."""
