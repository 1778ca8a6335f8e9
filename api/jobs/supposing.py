"""What if, by a job: the history is replayed under a scenario; what `clubledger what-if` does."""

from io import BytesIO
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from api.jobs.work import Work
from domain.simulation.scenario import Scenario
from projections.whatif.differences import what_if


class Suppose(BaseModel):
    """Replay the history under changed rules, and tell what would be otherwise. Writes nothing. The
    scenario and what it would have changed are kept as a file, too."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["what_if"]
    scenario: Scenario
    limit: Annotated[int, Field(ge=0, le=1000)] = Field(
        100, description="how many members affected and refusals are told"
    )


def suppose(work: Work, asked: Suppose) -> dict[str, Any]:
    """Replay it."""
    found = what_if(
        work.dsn,
        asked.scenario,
        work.clock.now(),
        asked.limit,
        report=lambda at: work.step(at.stage, at.done, at.total),
    )
    told = found.model_dump(mode="json")
    evidence = {"scenario": asked.scenario.model_dump(mode="json"), **told}
    work.begin_files()
    work.make_file("what-if.json", "application/json", BytesIO(orjson.dumps(evidence)))
    return told
