"""The HTTP door: thin routes over the ledger and its answers."""

from api.http.app import create_app, create_lanes

__all__ = ["create_app", "create_lanes"]
