"""DECIDES: events, states, rules and refusals. Pure: no clock, no SQL, no I/O."""
