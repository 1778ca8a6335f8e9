"""The routes of the questions that are rows (api/doors.py)."""

from inspect import Parameter, Signature, getdoc
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response

from api.doors import PREFIX, QUESTIONS, Question
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.editing import TAGGED, tag, tagged
from api.http.server.inputs import PAST, AsOf, Awaited, House, InHouse, Limit
from api.http.server.paging import Pages, Paging, paged
from projections.engine.answer import Answer, Dated, Moment
from projections.engine.connection import Conn
from projections.engine.moments import Asked

router = APIRouter(prefix=PREFIX)
EXAMPLES = {
    "club_id": "health",
    "report_id": "vip-2008",
    "role_id": "clerk",
    "webhook_id": "billing",
}
"""What stands in the path of an example: it is there in the demo, or its answer is empty."""


def _open(question: Question) -> None:
    """The route of a question. What can be dated can be asked as of a moment."""
    dated, listed = issubclass(question.answer, Dated), bool(question.key)
    model = paged(question.answer) if listed else question.answer

    @needs(question.need)
    async def ask(
        house: House,
        wait_for: tuple[int, int] | None,
        asked: Asked | None = None,
        pages: Paging | None = None,
        limit: int = 0,
        response: Response | None = None,
        **words: Any,
    ) -> Answer:
        def answer(conn: Conn, _: Moment | None) -> Answer:
            if response is not None and asked is None:
                tagged(response, tag(conn, question.of, words[f"{question.of}_id"]))
            return question(conn, **words)

        found = await house.ask(answer, wait_for, asked)
        if pages is None:
            return found
        rows, place = pages.of(getattr(found, question.name), limit, question.key)
        return pages.page(model, found.model_copy(update={question.name: rows}), place)

    taken = {
        **{name: _taken(question, name, kind) for name, kind in question.words.items()},
        "house": InHouse,
        "wait_for": Awaited,
        **({"asked": AsOf} if dated else {}),
        **({"pages": Pages, "limit": Limit} if listed else {}),
        **({"response": Response} if question.of else {}),
    }
    usual = {"limit": 100}
    ask.__dict__["__signature__"] = Signature(  # which FastAPI goes by
        [
            Parameter(
                name,
                Parameter.KEYWORD_ONLY,
                annotation=of,
                default=usual.get(name, Parameter.empty),
            )
            for name, of in taken.items()
        ]
    )
    codes = (*([question.unknown.code] if question.unknown else []), *(PAST if dated else ()))
    router.add_api_route(
        question.path,
        ask,
        name=question.name if "{" in question.path else f"list_{question.name}",
        description=getdoc(question.query),
        tags=[question.tag],
        response_model=model,
        responses={**refuses(*codes), **({200: {"headers": TAGGED}} if question.of else {})},
    )


def _taken(question: Question, name: str, kind: Any) -> Any:
    in_path = f"{{{name}}}" in question.path
    return Annotated[kind, Path(examples=[EXAMPLES[name]]) if in_path else Query()]


for _question in QUESTIONS:
    _open(_question)
