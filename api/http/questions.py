"""The routes of the questions that are rows (api/doors.py)."""

from inspect import Parameter, Signature, getdoc
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from api.doors import PREFIX, QUESTIONS, Question
from api.http.server.access import needs
from api.http.server.documented import refuses
from api.http.server.inputs import PAST, AsOf, Awaited, House, InHouse
from projections.engine.answer import Answer, Dated
from projections.engine.moments import Asked

router = APIRouter(prefix=PREFIX)
EXAMPLES = {"club_id": "health", "report_id": "vip-2008", "webhook_id": "billing"}
"""What stands in the path of an example: it is there in the demo, or its answer is empty."""


def _open(question: Question) -> None:
    """The route of a question. What can be dated can be asked as of a moment."""
    dated = issubclass(question.answer, Dated)

    @needs(question.need)
    async def ask(
        house: House,
        wait_for: tuple[int, int] | None,
        asked: Asked | None = None,
        **words: Any,
    ) -> Answer:
        return await house.ask(lambda conn, _: question(conn, **words), wait_for, asked)

    taken = {
        **{name: _taken(question, name, kind) for name, kind in question.words.items()},
        "house": InHouse,
        "wait_for": Awaited,
        **({"asked": AsOf} if dated else {}),
    }
    ask.__dict__["__signature__"] = Signature(  # which FastAPI goes by
        [Parameter(name, Parameter.KEYWORD_ONLY, annotation=of) for name, of in taken.items()]
    )
    codes = (*([question.unknown.code] if question.unknown else []), *(PAST if dated else ()))
    router.add_api_route(
        question.path,
        ask,
        name=question.name if "{" in question.path else f"list_{question.name}",
        description=getdoc(question.query),
        tags=[question.tag],
        response_model=question.answer,
        responses=refuses(*codes),
    )


def _taken(question: Question, name: str, kind: Any) -> Any:
    in_path = f"{{{name}}}" in question.path
    return Annotated[kind, Path(examples=[EXAMPLES[name]]) if in_path else Query()]


for _question in QUESTIONS:
    _open(_question)
