"""Pages of lists: where the next one begins is a cursor, in the body as `next` and as a `Link`.

A cursor is encrypted and bound to what was asked: nobody reads it, makes one, or takes it to
another question. The same place of the same question always has the same one.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, TypeAlias, TypeVar, cast
from urllib.parse import urlencode

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV
from fastapi import Depends, Query, Request, Response
from pydantic import BaseModel, Field, create_model

from api.http.server.inputs import House, InHouse
from api.runtime.problems import DoorProblem
from ledger.keyring import Secrets

A = TypeVar("A", bound=BaseModel)
Row = TypeVar("Row")
LINK_HEADER = "Link"
LINKED = {
    LINK_HEADER: {
        "description": 'the next page, `<...>; rel="next"` (RFC 8288); not there at the end',
        "schema": {"type": "string"},
    }
}
"""What the document says of the headers of an answer that is a page."""
NEXT = Field(description="send it as `cursor` for the next page; null at the end")
BESIDE = ("cursor", "limit", "wait_for")
"""What may be another from one page to the next."""

Cursor: TypeAlias = Annotated[
    str | None,
    Query(
        pattern="^[A-Za-z0-9_-]{20,1500}$",
        description="`next` of the page before, as it was, and the question as it was",
    ),
]


class Paging:
    """Which page of a question is asked for, and how the one behind it is named."""

    def __init__(self, request: Request, response: Response, house: House, cursor: str | None):
        said = [each for each in request.query_params.multi_items() if each[0] not in BESIDE]
        self._path, self._said = request.url.path, said
        self._asked = f"{self._path}?{urlencode(sorted(said))}".encode()
        self._limit = request.query_params.get("limit")
        self._response = response
        self._seal = AESSIV(Secrets.of(house.meta).cursors)
        self.after = None if cursor is None else self._opened(cursor)
        """The place behind which the page begins; None: it is the first."""

    def _opened(self, cursor: str) -> str:
        try:
            sealed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
            return self._seal.decrypt(sealed, [self._asked]).decode()
        except (ValueError, InvalidTag):
            raise DoorProblem("wrong_cursor") from None

    def named(self, place: str | int | None) -> str | None:
        """The cursor of the page behind this place; the answer gets its link."""
        if place is None:
            return None
        sealed = self._seal.encrypt(str(place).encode(), [self._asked])
        cursor = urlsafe_b64encode(sealed).decode().rstrip("=")
        limit = [] if self._limit is None else [("limit", self._limit)]
        asked = urlencode([*self._said, *limit, ("cursor", cursor)])
        self._response.headers[LINK_HEADER] = f'<{self._path}?{asked}>; rel="next"'
        return cursor

    @property
    def links(self) -> dict[str, str]:
        """The link that the answer got, for one that is made as a whole."""
        found = self._response.headers.get(LINK_HEADER)
        return {} if found is None else {LINK_HEADER: found}

    def page(self, model: type[A], found: BaseModel, place: str | int | None) -> A:
        """What was found, as the page that is answered."""
        return model.model_construct(**{**dict(found), "next": self.named(place)})

    def of(
        self, rows: Sequence[Row], limit: int, key: Sequence[str]
    ) -> tuple[Sequence[Row], str | None]:
        """The page of a list that is there as a whole, and the place behind which the next begins.
        The fields of `key` tell its rows apart."""
        places = ["~".join(str(getattr(row, name)) for name in key) for row in rows]
        start = 0
        if self.after is not None:
            if self.after not in places:  # the row is there no more
                raise DoorProblem("wrong_cursor")
            start = places.index(self.after) + 1
        end = start + limit
        return rows[start:end], places[end - 1] if end < len(rows) else None


def paged(model: type[A]) -> type[A]:
    """An answer whose next page is named by a cursor."""
    return cast(type[A], _paged(model))


@cache
def _paged(model: type[BaseModel]) -> type[BaseModel]:
    fields: dict[str, Any] = {"next": (str | None, NEXT)}
    return create_model(model.__name__, __base__=model, __doc__=model.__doc__, **fields)


async def _paging(
    request: Request, response: Response, house: InHouse, cursor: Cursor = None
) -> Paging:
    return Paging(request, response, house, cursor)


Pages: TypeAlias = Annotated[Paging, Depends(_paging)]
