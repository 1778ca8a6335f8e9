"""Doors as rows: what is asked of the answers, over HTTP and on the command line alike.

A question that takes more than its words (pages, files, personal data, another time than now
left out) has a route and a command of its own.
"""

from collections.abc import Callable
from functools import cache
from inspect import getdoc, signature
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from pydantic import create_model

from domain.clubs import UnknownClub
from domain.refusal import Refusal
from projections import clubs
from projections.answer import Answer
from projections.connection import Conn


class Question(NamedTuple):
    """A query by its name, the address at which it is asked, and under what it is listed."""

    name: str
    path: str
    tag: str
    query: Callable[..., Any]
    """query(connection, words...): an answer, null if there is no such, or a list of answers."""
    unknown: type[Refusal] | None = None
    """What is said then: of the words in the path."""

    @property
    def words(self) -> dict[str, Any]:
        """What has to be said, each with its type: those in the path first."""
        hints = get_type_hints(self.query, include_extras=True)
        return {name: hints[name] for name in [*signature(self.query).parameters][1:]}

    @property
    def answer(self) -> type[Answer]:
        """What is answered: a list under the name of the question."""
        return _answer(self)

    def __call__(self, conn: Conn, **words: Any) -> Answer:
        """Ask it."""
        found = self.query(conn, **words)
        if isinstance(found, list):
            return self.answer(**{self.name: found})
        if found is None:
            assert self.unknown is not None
            raise self.unknown(*(words[name] for name in words if f"{{{name}}}" in self.path))
        answer: Answer = found
        return answer


@cache
def _answer(question: Question) -> type[Answer]:
    told = get_type_hints(question.query)["return"]
    if get_origin(told) is not list:
        found: type[Answer] = next(iter(get_args(told)), told)
        return found
    fields: dict[str, Any] = {question.name: (told, ...)}
    name, doc = question.name.title(), getdoc(question.query)
    return create_model(name, __base__=Answer, __doc__=doc, **fields)


QUESTIONS = {
    question.name: question
    for question in (
        Question("clubs", "/clubs", "clubs", clubs.clubs),
        Question("club", "/clubs/{club_id}", "clubs", clubs.club, UnknownClub),
    )
}
