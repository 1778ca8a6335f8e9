"""Whether the answers are right: beside a replay, beside a fold in plain Python, by doubts."""
