"""The doors: HTTP, pages, command line, settings and wiring; nothing is decided here."""
