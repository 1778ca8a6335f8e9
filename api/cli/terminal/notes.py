"""Notes: what befalls while a command runs, on stderr: a line each, as JSON with `--json`."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any


class _Notes(logging.Handler):
    """What befalls, on stderr: a line each, or a JSON object each."""

    as_json = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write it."""
        text = self.format(record)
        if self.as_json:
            at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
            told: dict[str, Any] = getattr(record, "told", {})
            text = _object(record.levelname.lower(), text, **told, at=at)
        else:
            text = f"clubledger: {text}"
        try:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        except (AttributeError, OSError, ValueError):
            pass  # Nobody reads it any more.


def _object(level: str, text: str, **more: Any) -> str:
    return json.dumps({"level": level, "note": text, **more}, ensure_ascii=False)


def line(text: str) -> str:
    """A note beside the answer, as it is written."""
    return _object("info", text) if _Notes.as_json else text


def log_to_stderr(as_json: bool) -> None:
    """Tell on stderr what is logged by us, and by the HTTP server."""
    _Notes.as_json = as_json
    for name in ("clubledger", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [_Notes()]
        logger.propagate = False
