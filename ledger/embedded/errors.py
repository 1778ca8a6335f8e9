"""The one exception of the embedded server."""


class EmbeddedError(Exception):
    """The embedded server cannot do what was asked; the message says why, and what to do."""
