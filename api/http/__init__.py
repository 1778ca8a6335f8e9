"""The HTTP door: thin routes over the ledger and its answers."""

from api.http.app import create_app

__all__ = ["create_app"]
