"""Clients that know under which prefix the doors are: what they ask is a path of api/doors.py.

Where answers lag behind what was written they ask again, as any client has to.
"""

from typing import Any

import httpx

from api.doors import PREFIX
from tests.patience import eventually, some_turns

UNVERSIONED = ("livez", "readyz", "metrics", "openapi.json", "docs", "problems")
"""What is asked at the top: by machines of operations, and to learn what all the rest means."""


def at(path: str) -> str:
    """The address of a path: behind the prefix, unless it stands at the top or says it itself."""
    top = path.split("/")[1].partition("?")[0] if path.startswith("/") else ""
    return path if top in ("", PREFIX[1:], *UNVERSIONED) else PREFIX + path


def lags(answer: httpx.Response) -> bool:
    """Whether the answers do not hold yet what the log holds: that may take longer than a request
    waits where the machine is busy."""
    known = b"not_caught_up" in answer.content and b"log_end" not in answer.content
    return answer.status_code == 504 and known


class Patient(httpx.Client):
    """One that asks again."""

    def request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Response:
        answers: list[httpx.Response] = []

        def told() -> bool:
            answers.append(super(Patient, self).request(method, url, **more))
            return not lags(answers[-1])

        eventually(told)
        return answers[-1]


class Client(Patient):
    """The same, which asks by paths of doors."""

    def build_request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Request:
        return super().build_request(method, at(str(url)), **more)


class AsyncClient(httpx.AsyncClient):
    """One that waits by a loop, for answers that stand still: it asks once."""

    def build_request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Request:
        return super().build_request(method, at(str(url)), **more)


class PatientAsyncClient(AsyncClient):
    """One that asks again, by a loop."""

    async def request(self, method: str, url: httpx.URL | str, **more: Any) -> httpx.Response:
        while lags(answer := await super().request(method, url, **more)):
            await some_turns()
        return answer
