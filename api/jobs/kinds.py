"""The kinds of jobs: what each is asked, what who asks must have been given, and what does it."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, RootModel

from api.doors import Need
from api.jobs import auditing, exporting, importing, supposing
from api.jobs.work import Work
from api.runtime.problems import DoorProblem
from api.runtime.rights import at_the_door
from domain.access import Principal

_FILE: dict[str, JsonValue] = {"file_id": "0123456789abcdef", "name": "bills.csv"}


class AskedJob(
    RootModel[
        Annotated[
            importing.ImportFiles
            | importing.GuessMapping
            | auditing.CompareAnswers
            | auditing.RebuildAnswers
            | exporting.ExportRows
            | exporting.ExportLog
            | exporting.CompareMoments
            | exporting.CompareRows
            | supposing.Suppose,
            Field(discriminator="kind"),
        ]
    ]
):
    """What a job is asked, by its kind."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"kind": "import", "files": [_FILE], "guess": True, "check": True},
                {"kind": "import", "files": [{**_FILE, "name": "facts.jsonl"}], "keep_good": True},
                {"kind": "guess", "files": [_FILE]},
                {"kind": "compare", "second_opinion": True},
                {"kind": "rebuild"},
                {"kind": "export", "rows": "list", "name": "members", "format": "xlsx"},
                {"kind": "export_log"},
                {
                    "kind": "changes",
                    "before": {"known_at": "2008-12-31"},
                    "after": {"known_at": "2009-01-05"},
                },
                {
                    "kind": "changed_rows",
                    "measure_id": "members.vips",
                    "before": {"known_at": "2008-12-31"},
                    "after": {"known_at": "2009-01-05"},
                },
                {
                    "kind": "what_if",
                    "scenario": {
                        "changes": [
                            {"change": "service_price", "club_id": "tennis", "factor": "1/2"}
                        ]
                    },
                },
            ]
        }
    )


class Kind(NamedTuple):
    """A kind of job."""

    needs: Callable[[Any], tuple[Need, Mapping[str, str]]]
    """needs(what was asked): what who asks must have been given, and of what it is asked."""
    run: Callable[[Work, Any], dict[str, Any]]
    """run(work, what was asked): what it came to, as JSON has it. It may be begun again after it
    was killed, and comes to the same."""
    require: Callable[[Any], None] = lambda asked: None
    """Refuses what could never be done, before it waits."""


def _everywhere(need: Need) -> Callable[[Any], tuple[Need, Mapping[str, str]]]:
    return lambda asked: (need, {})


KINDS = {
    "import": Kind(_everywhere(Need("")), importing.take, importing.require),
    "guess": Kind(_everywhere(Need("")), importing.guess),
    "compare": Kind(_everywhere(Need("log.read")), auditing.compare),
    "rebuild": Kind(_everywhere(Need("service.write")), auditing.rebuild),
    "export": Kind(exporting.need_of, exporting.export, exporting.require),
    "export_log": Kind(_everywhere(Need("log.read")), exporting.export_log),
    "changes": Kind(
        _everywhere(Need("figures.read")), exporting.compare_moments, exporting.require_moments
    ),
    "changed_rows": Kind(exporting.need_of_rows, exporting.compare_rows, exporting.require_rows),
    "what_if": Kind(_everywhere(Need("whatif.ask")), supposing.suppose),
}
"""By the `kind` of what is asked. An import's lines are asked for one by one."""


def asked_of(said: dict[str, Any]) -> BaseModel:
    """What a job was asked, as it was kept."""
    return AskedJob.model_validate(said).root


def require_may(who: Principal, asked: BaseModel) -> None:
    """Refuses what he may not ask: when he does, and when its turn comes."""
    need, said = KINDS[asked.model_dump()["kind"]].needs(asked)
    if need.scope and at_the_door(who, need, said, None) is None:
        raise DoorProblem("not_allowed")
