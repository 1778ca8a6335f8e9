"""The figures of the report, each with what the events give."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import answers, models
from api.http.documented import refuses
from api.http.inputs import Awaited, InHouse, Limit
from api.problems import DoorProblem

router = APIRouter(tags=["figures"])


@router.get("/figures", response_model=models.Figures, responses=refuses("not_caught_up"))
async def all_figures(house: InHouse, wait_for: Awaited) -> models.Figures:
    """Every figure: reported, derived, difference, verdict, assumptions, number of events."""
    return await house.reads(partial(answers.all_figures, meta=house.meta), wait_for)


@router.get(
    "/figures/{figure_id}/explain",
    response_model=models.Explanation,
    responses=refuses("unknown_figure", "not_caught_up"),
)
async def explain_figure(
    figure_id: Annotated[str, Path(pattern=r"^[a-z0-9_.-]{1,100}$", examples=["binding.rate"])],
    house: InHouse,
    wait_for: Awaited,
    limit: Limit = 50,
    after: Annotated[str | None, Query(pattern=r"^[0-9]{1,2}:[0-9]{1,18}$")] = None,
) -> models.Explanation:
    """A figure's formula, its inputs, and the events behind it, page by page."""
    behind = None
    if after is not None:
        bucket, _, position = after.partition(":")
        behind = int(bucket), int(position)
    question = partial(
        answers.explanation, meta=house.meta, figure_id=figure_id, limit=limit, after=behind
    )
    found = await house.reads(question, wait_for)
    if found is None:
        raise DoorProblem("unknown_figure")
    return found
