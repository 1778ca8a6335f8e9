"""`serve`: the HTTP door, in one process or several, with the database it stands on."""
