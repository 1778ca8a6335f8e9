"""What every noun is made of: events, commands, refusals, parts, and the forms they share."""
