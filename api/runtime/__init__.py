"""What both doors stand on: settings, clock, wiring, problems, failures, files."""
