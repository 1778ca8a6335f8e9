"""`what-if`: the history under changed rules, and what would be otherwise."""

from pydantic import ValidationError

from api.cli.changes import named, told
from api.cli.terminal import layouts, output
from api.cli.terminal.layouts import Column, Heading
from api.cli.terminal.sources import source
from api.runtime import problems
from api.runtime.failures import NotFound, Rejected
from api.runtime.settings import Settings
from api.runtime.wiring import opened
from domain.kernel.refusal import Refusal
from domain.simulation.scenario import Scenario
from ledger import strict_json
from projections.engine.measure import MEASURES
from projections.whatif.differences import Affected, WhatIf, what_if

MAX_SCENARIO_BYTES = 1 << 20


def run(settings: Settings, file: str, top: int, skip: int, as_json: bool) -> int:
    """Replay under the scenario of a file, and print the difference."""
    raw = _read(file)
    with opened(settings) as database, output.steps() as steps:
        scenario = _scenario(raw)  # of the tiers of the ledger that is open now
        try:
            found = what_if(
                database.dsn,
                scenario,
                database.clock.now(),
                limit=top,
                skip=skip,
                report=lambda at: steps.reach(at.stage, at.done, at.total),
            )
        except Refusal as refusal:
            raise NotFound(str(refusal), refusal.numbers()) from refusal
    if as_json:
        output.tell(found)
        return 0
    output.demo_clock(database.clock)
    _told(found, skip)
    return 0


def _read(file: str) -> bytes:
    with source(file) as scenario:
        raw = scenario.read(MAX_SCENARIO_BYTES + 1)
    if len(raw) > MAX_SCENARIO_BYTES:
        raise Rejected(f"A scenario is at most {MAX_SCENARIO_BYTES:,} bytes long.")
    return raw


def _scenario(raw: bytes) -> Scenario:
    try:
        sent = strict_json.loads(raw)
    except strict_json.NotStrict as error:
        raise Rejected(f"The scenario cannot be read: {error}.") from None
    try:
        return Scenario.model_validate_json(strict_json.text_of(raw))
    except ValidationError as error:
        told = problems.of_errors(error.errors(), problems.names_of(Scenario), sent)
        first = told[0]["field"] or "the scenario"
        raise Rejected(f"{first}: {told[0]['detail']}.") from error


def _told(found: WhatIf, skip: int) -> None:
    """Whatever differs; what does not is left out."""
    console = output.stdout()
    columns = [Column("")] + [Column(n, right=True) for n in ("recorded", "supposed", "difference")]
    columns.append(Column(""))
    rows: list[layouts.Row] = []
    above = ""
    for each in found.measures:
        if each.key and tuple(each.key) != MEASURES[each.measure_id].rows.dims[:1]:
            continue  # JSON tells of the other parts
        heading = named(each)
        if heading != above:
            rows.append(Heading(heading))
            above = heading
        part = ", ".join(f"{name} {value or 'none'}" for name, value in each.key.items())
        rows.append((f" {part or 'all'}", *told(each)))
    if rows:
        for line in layouts.lines(columns, rows):
            console.print(line, soft_wrap=True)
    else:
        output.say("nothing would be otherwise")
    _refusals(found)
    output.say(
        f"{output.counted(found.replayed_members, 'member')} replayed,"
        f" {output.counted(found.affected_members, 'member')} affected"
    )
    if found.affected:
        numbers = ("points", "supposed", "gift fen", "supposed", "refusals")
        members = list(map(_affected, found.affected))
        output.say_rows(("member", "tier", *numbers), members, right=numbers)
    left = found.affected_members - skip - len(found.affected)
    if left > 0:
        output.say(f"... and {left:,} more: --skip {skip + len(found.affected)}")


def _affected(member: Affected) -> list[str]:
    tier, supposed = member.tier or "none", member.supposed_tier or "none"
    numbers = (
        member.points,
        member.supposed_points,
        member.gift_fen,
        member.supposed_gift_fen,
        member.refusals,
    )
    tiers = tier if tier == supposed else f"{tier} -> {supposed}"
    return [member.member_id, tiers, *map(output.number, numbers)]


def _refusals(found: WhatIf) -> None:
    for each in found.refusals:
        tier = each.tier or "no tier"
        output.say(f"would be refused: {each.count:,} {each.command}, {each.code}, {tier}")
