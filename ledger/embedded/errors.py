"""The one exception of the embedded server, and how it tells others."""


class EmbeddedError(Exception):
    """The embedded server cannot do what was asked; the message says why, and what to do."""


def reason(error: Exception) -> str:
    """What is wrong and with which file, without the number that Python puts before it."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
