"""Notes: what befalls while a command runs, on stderr."""

import json
import logging
import sys


class _Notes(logging.Handler):
    """What befalls, on stderr: a line each, or a JSON object each."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        text = self.format(record)
        if self._as_json:
            text = json.dumps({"level": record.levelname.lower(), "note": text})
        else:
            text = f"clubledger: {text}"
        try:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        except (AttributeError, OSError, ValueError):
            pass  # Nobody reads it any more.


def log_to_stderr(as_json: bool) -> None:
    """Tell on stderr what is logged by us, and by the HTTP server."""
    for name in ("clubledger", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [_Notes(as_json)]
        logger.propagate = False
