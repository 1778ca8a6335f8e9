"""Answers folded anew and held against the live ones, by a job: what `clubledger compare` does."""

from contextlib import suppress
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from api.jobs.work import Work
from ledger.checking import Sample
from projections.audit import audit
from projections.engine import runner


class CompareAnswers(BaseModel):
    """Fold all answers anew beside the live ones, and tell every row that differs."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["compare"]
    second_opinion: bool = Field(
        False, description="hold the answers against a fold in plain Python, too"
    )
    members: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        None, description="look at the streams of so many members; null: of all"
    )
    seed: Annotated[int, Field(ge=0, le=2**31)] = Field(0, description="draws these members")
    limit: Annotated[int, Field(ge=0, le=1000)] = Field(
        100, description="how many differences of each comparison are told"
    )


class RebuildAnswers(BaseModel):
    """Fold all answers anew beside the live ones, and put them into their place at once."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["rebuild"]
    anew: bool = Field(False, description="from the beginning, even if another was cut short")


def rebuild(work: Work, asked: RebuildAnswers) -> dict[str, Any]:
    """Rebuild; readers meanwhile read the old ones. Begun again it goes on where it was."""
    folded = runner.rebuild(
        work.dsn,
        lambda at: work.step(at.stage, at.done, at.total),
        anew=asked.anew and work.job.attempt == 1,
    )
    return {"events": folded.events, "rebuilt": folded.rebuilt}


def compare(work: Work, asked: CompareAnswers) -> dict[str, Any]:
    """Compare; writes nothing but what goes away again."""
    checks: list[audit.Check] = [*audit.ALWAYS]
    checks += ["second opinion"] if asked.second_opinion else []
    with suppress(runner.PoisonedEvent):
        # Where answers stand still, what they hold can be compared all the same.
        runner.project(work.dsn, lambda at: work.step(at.stage, at.done, at.total))
    found = audit.compare(
        work.dsn,
        checks,
        Sample(asked.members, asked.seed),
        asked.limit,
        lambda at: work.step(at.stage, at.done, at.total),
    )
    told = found.model_dump(mode="json")
    return {**told, "different": found.different}
