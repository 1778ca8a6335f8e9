"""Clients that know under which prefix the doors are: what they ask is a path of api/doors.py."""

from typing import Any

import httpx

from api.doors import PREFIX

UNVERSIONED = ("livez", "readyz", "metrics", "openapi.json", "docs", "problems")
"""What is asked at the top: by machines of operations, and to learn what all the rest means."""


def at(path: str) -> str:
    """The address of a path: behind the prefix, unless it stands at the top or says it itself."""
    top = path.split("/")[1].partition("?")[0] if path.startswith("/") else ""
    return path if top in ("", PREFIX[1:], *UNVERSIONED) else PREFIX + path


class Client(httpx.Client):
    """One that asks by paths of doors."""

    def build_request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Request:
        return super().build_request(method, at(str(url)), **more)


class AsyncClient(httpx.AsyncClient):
    """The same, which waits by a loop."""

    def build_request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Request:
        return super().build_request(method, at(str(url)), **more)
