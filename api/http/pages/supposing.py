"""What if, by a form that is made of what a scenario may say: the history is replayed under it by a
job, which tells what would have been otherwise.

A form sends `0.change`, `0.factor` and so on of its first change, `1.change` of the next.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256

import orjson
from fastapi import Request
from fastapi.responses import Response
from pydantic import ValidationError

from api.doors import Need
from api.http.pages import forms, words
from api.http.pages.asking import new_key
from api.http.pages.audit import audit_page
from api.http.pages.forms import Field, Said, Wrong
from api.http.pages.offering import offers
from api.http.pages.page import AUDIT, Fields, language_of, router_of_pages, sent
from api.http.server.access import Who, needs
from api.http.server.inputs import House, InHouse
from api.jobs import face
from api.jobs.supposing import Suppose
from api.runtime.problems import DoorProblem
from domain.access import Principal, Scope
from domain.kernel.values import Id
from domain.simulation.changes import Change
from domain.simulation.scenario import CHANGES, MOST_CHANGES, Scenario

router = router_of_pages()
SCOPE: Scope = "whatif.ask"
OF_WHAT_IF = Need(SCOPE)
HERE = f"{AUDIT}/what-if"
KIND = "change"
"""The field that says which kind of change one is."""
_NUMBERED = re.compile(r"([0-9]{1,2})\.(.+)")


def fields_of(kind: str) -> list[Field]:
    """What is asked for of a change of this kind; last from when on."""
    schema = CHANGES[kind].model_json_schema()
    names = [name for name in schema["properties"] if name not in (KIND, "since")]
    return forms.fields_in(schema, (*names, "since"), schema["required"])


def own_fields() -> list[Field]:
    """What is asked for of a scenario beside its changes."""
    schema = Scenario.model_json_schema()
    names = [name for name in schema["properties"] if name != "changes"]
    return forms.fields_in(schema, names, schema.get("required", ()))


class Sent(Fields):
    """What a form says beside the fields of its scenario."""

    key: Id
    add: str | None = None
    drop: int | None = None
    more: str | None = None


@dataclass(frozen=True)
class Filled:
    """A form as it was filled in."""

    sent: Sent
    said: Said

    @cached_property
    def kinds(self) -> dict[int, str]:
        """The kind of each change, by its number."""
        found = {
            int(numbered[1]): texts[0]
            for name, texts in self.said.items()
            if (numbered := _NUMBERED.fullmatch(name)) and numbered[2] == KIND
        }
        return dict(sorted(found.items()))

    def of_change(self, n: int) -> Said:
        """What is said of a change."""
        begins = f"{n}."
        return {k.removeprefix(begins): v for k, v in self.said.items() if k.startswith(begins)}

    def changed(self) -> "Filled":
        """With a change more, or without one, if that is what was pressed."""
        said, asked = dict(self.said), self.sent
        if asked.drop is not None:
            said = {k: v for k, v in said.items() if not k.startswith(f"{asked.drop}.")}
        if asked.add is not None and len(self.kinds) < MOST_CHANGES:
            n = next(n for n in range(MOST_CHANGES) if n not in self.kinds)
            fields = fields_of(asked.add)
            usual = {f.name: f.default for f in fields if f.default not in (None, (), {})}
            fresh = {KIND: [asked.add], **forms.write(fields, usual)}
            said |= {f"{n}.{name}": texts for name, texts in fresh.items()}
        return Filled(asked, said)

    def scenario(self) -> Scenario:
        """What it says. Raises Unfit, with what is wrong by the name of the input."""
        wrong: dict[str, Wrong] = {}
        changes: list[Change] = []
        for n, kind in self.kinds.items():
            fields = fields_of(kind)
            values, places = forms.read(fields, self.of_change(n))
            try:
                said = orjson.dumps({**values, KIND: kind})
                changes.append(CHANGES[kind].model_validate_json(said))
            except ValidationError as error:
                unfit = forms.wrong_of(error, fields, places)
                wrong |= {f"{n}.{name}": each for name, each in unfit.items()}
        values, places = forms.read(own_fields(), self.said)
        try:
            found = Scenario.model_validate({**values, "changes": tuple(changes)})
        except ValidationError as error:
            raise Unfit(wrong | forms.wrong_of(error, own_fields(), places)) from None
        if wrong:
            raise Unfit(wrong)
        return found


class Unfit(Exception):
    """(inputs): the form is not filled in rightly."""

    def __init__(self, inputs: Mapping[str, Wrong]) -> None:
        self.inputs = inputs


def _filled(pairs: Iterable[tuple[str, str]]) -> Filled:
    said = forms.said_of(pairs)
    own = {name: texts[0] for name, texts in said.items() if name in Sent.model_fields}
    filled = Filled(Sent.model_validate(own), {k: v for k, v in said.items() if k not in own})
    known = {field.name for field in own_fields()}
    for name in filled.said:
        found = _NUMBERED.fullmatch(name)
        if found is None and name not in known:
            raise DoorProblem("malformed")
        if found is not None and filled.kinds.get(int(found[1])) not in CHANGES:
            raise DoorProblem("malformed")
    if filled.sent.add not in (None, *CHANGES):
        raise DoorProblem("malformed")
    return filled


# ------------------------------------------------------------------------------------- showing it
async def _shown(
    request: Request,
    house: House,
    who: Principal,
    filled: Filled,
    wrong: Mapping[str, Wrong] | None = None,
    job_id: str | None = None,
) -> Response:
    """The form as it was filled in, what is wrong beside each field, and the job that it began."""
    changes = {
        n: (kind, [each._replace(name=f"{n}.{each.name}") for each in fields_of(kind)])
        for n, kind in filled.kinds.items()
    }
    every = [*own_fields(), *(field for _, fields in changes.values() for field in fields)]
    names = {field.own_name for field in every}
    known = await house.reads(partial(offers, who=who, scope=SCOPE, names=names))
    language = language_of(request)
    return audit_page(
        request, who,
        "audit/_what_if_form.html" if "hx-request" in request.headers else "audit/what_if.html",
        begins=HERE, tries=f"{HERE}/try", key=filled.sent.key, said=filled.said,
        changes=changes, own_fields=own_fields(),
        kinds_of_change=CHANGES if len(changes) < MOST_CHANGES else (),
        lines={f.name: forms.lines(f, filled.said, filled.sent.more == f.name) for f in every},
        sources={name: name for name in known}, offers=known,
        wrong={name: forms.sentence(language, each) for name, each in (wrong or {}).items()},
        problem=words.refusal(language, forms.INVALID) if wrong else None,
        job_id=job_id,
    )  # fmt: skip


# ----------------------------------------------------------------------------------------- routes
@router.get(HERE)
@needs(OF_WHAT_IF)
async def what_if_page(request: Request, house: InHouse, who: Who) -> Response:
    """The form, with no change yet."""
    return await _shown(request, house, who, Filled(Sent(key=new_key("what-if")), {}))


@router.post(f"{HERE}/try")
@needs(OF_WHAT_IF)
async def change_form(request: Request, house: InHouse, who: Who) -> Response:
    """The form with a change more, or without one."""
    filled = _filled(await sent(request, forms.MOST_TEXTS))
    return await _shown(request, house, who, filled.changed())


@router.post(HERE)
@needs(OF_WHAT_IF)
async def suppose(request: Request, house: InHouse, who: Who) -> Response:
    """Begin the job that replays the history so; pressed twice it is one."""
    filled = _filled(await sent(request, forms.MOST_TEXTS))
    try:
        asked = Suppose(kind="what_if", scenario=filled.scenario())
    except Unfit as unfit:
        return await _shown(request, house, who, filled, unfit.inputs)
    key = f"{filled.sent.key}-{sha256(asked.model_dump_json().encode()).hexdigest()[:16]}"
    begin = partial(face.start, who=who, asked=asked, key=key)
    job, _ = await house.reads.briefly(begin)
    return await _shown(request, house, who, filled, job_id=job.job_id)
