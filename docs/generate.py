"""Makes what the code already says, so that it cannot disagree with it: pages, and the contract.

`python -m docs.generate` writes all of it; tests fail while a file is not what this would write.
"""

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from inspect import getdoc
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, TypeAdapter

import demo
import ledger.importing
import ledger.log.batcher
import ledger.reading  # these three know every refusal of the ledger
from api.doors import DOORS, QUESTIONS
from api.runtime import report_files
from api.runtime.demonstration import assumed
from docs import api_changes, asyncapi
from domain import access, kernel, webhooks
from domain.catalogue import CATALOGUE, COMMANDS, NOUNS, REFUSALS
from domain.kernel import correction, personal, values
from domain.kernel.command import Command
from domain.kernel.event import Event
from domain.kernel.postings import PointsAccount
from domain.kernel.refusal import DeskRule
from domain.reports import FormulaText
from projections.engine import measure, views
from projections.engine.catalogue import NOUNS as PROJECTED
from projections.reports import Claim

DOCS = Path(__file__).parent
OPENAPI = DOCS.parent / "tests" / "api" / "openapi.json"
ASYNCAPI = OPENAPI.with_name("asyncapi.json")
RELEASED = OPENAPI.with_name("released.txt")
API_CHANGES = DOCS / "reference" / "api-changes.md"
"""Kept beside the tests, so that a change of what is promised is seen."""
DEMO_YEAR = DOCS / "explanation" / "demo-year.md"
MADE = "<!-- Made by `python -m docs.generate`. Change the code instead. -->"
SHOWN_CHARACTERS = 160
"""A chosen value longer than this is left to the file that holds it."""

_NAMED: dict[str, Any] = {
    "id": values.Id,
    "key": values.Key,
    "actor": values.Actor,
    "text": values.Text,
    "month": values.Month,
    "instant": values.Instant,
    "account": PointsAccount,
    "codes of refusals": values.Codes,
    "topic of an event": correction.Topic,
    "name among the facts of that topic": correction.Named,
    "day": values.Day,
    "dotted name": values.DottedId,
    "number": values.Printed,
    "parameters": values.Parameters,
    "formula": FormulaText,
    "tier": values.KnownTier,
    "tier of its time": values.Tier,
    "address": webhooks.Url,
    "name": personal.Name,
    "phone": personal.Phone,
    "role": access.RoleId,
    "holder": access.HolderId,
}
_WORDS = {json.dumps(TypeAdapter(t).json_schema(), sort_keys=True): w for w, t in _NAMED.items()}
"""So that a field says `id` and not its pattern."""

MEASURES_LEGEND = """
Named formulas over sums of rows. The rows that make one up are its *contributions*: each with what
it adds, the days and values that decided, and its events (`clubledger measure ID --rows 10`,
`--export FILE`; `GET /v1/measures/ID/contributions`; the function `contributions` in
[SQL](../how-to/analyse.md)). What has to be said is bold; in brackets stands what is taken for
what is not said. `on` is the day at whose end it is asked, else today. One that is of *days* takes
`first`, too, the first of them, else 1 January of that year; one that is of the *end* does not.
Whatever it is grouped by filters, too: several values by commas, `none` for nothing
there, `*` for anything.
"""

VIEWS_SAID = """
Lists of what there is, each with its columns. A view is
- a list at both doors, `clubledger list NAME` and `GET /v1/lists/NAME`, by pages and as a file,
  under its filters, as of any moment;
- a view of the schema `analysis`, which [tools of your own](../how-to/analyse.md) read.

These names and types stay: a column may be added behind the others; none is renamed, taken away or
given another meaning. Filters by a column take several values by commas, `none` for those that have
nothing there, `*` for those that have anything; `first` and `last` are days.
"""

ACCESS_SAID = """
Every door over HTTP, with the scope that it needs, and the roles that every ledger has: `all` is
everywhere, `clubs` and `units` are those for which a key or user was given the role. What it is
asked of says so in the fields of the column *of*: the club itself or that of a visit, the unit
itself or that of the member. What is empty is refused. A role is data: `role.define` makes others,
and these anew. [Who may do what](../how-to/access.md) tells how keys are made.
"""

API_CHANGES_SAID = """
A line names what is promised: an operation, a parameter or field that is taken or told, what an
operation is answered with. A field is that of a schema of `/openapi.json`. Under `/v1` nothing that
breaks is released; what does gets a prefix of its own. `python -m docs.generate --release NAME`
keeps what is promised now, in `tests/api/released.txt`, and this page begins anew.
"""

LEGEND = """
| word | what it may hold |
|---|---|
| id | 1 to 64 of `A-Z a-z 0-9 . _ -`, the first a letter or digit |
| key | 1 to 128 visible ASCII characters |
| actor | `role:id`, such as `clerk:li` or `system:billing` |
| text | one line, 1 to 200 characters; never a person's name, phone or identity number |
| instant | ISO 8601 with offset, `2008-07-01T09:00:00+08:00`; years 1980 to 2499; no digits alone |
| day | `2008-07-01`, a day of the programme's zone; years 1980 to 2499 |
| month | `2008-07` |
| dotted name | 1 to 64 of `a-z 0-9 _ .`, such as `retention.rate` |
| number | as it is printed, so that its digits are known: `"98.82"`; a day is one, too |
| parameters | of what something is measured, at most 10: `{"cohort_id": "vips", "tier": "gold"}` |
| formula | a document's own arithmetic, `growth / (vip_total - growth) * 100` |
| address | of another program, `http:` or `https:` and visible ASCII |
| name | what somebody is called, 1 to 100 characters of one line; it is kept apart from the log |
| phone | a number [however it is spelt](choices.md#customers), kept apart from the log |
| tier | one of the ledger's: `diamond`, `gold`, `silver`, `member`, or [others](choices.md) |
| role | 1 to 16 of `a-z`, such as `clerk` |
| holder | of a user or an API key: 1 to 32 of `a-z 0-9 -`, the first a letter or digit |
| whole | a whole number; `_fen` is money (1 yuan = 100 fen), `_bp` a share (10,000 = all of it) |
"""


# ------------------------------------------------------------------------------------- fields
def said(fragment: dict[str, Any], known: dict[str, Any]) -> str:
    """What a field may hold, in words, from its JSON schema."""
    bare = {k: v for k, v in fragment.items() if k not in ("title", "default", "description")}
    word = _WORDS.get(json.dumps(bare, sort_keys=True))
    if word:
        return word
    match bare:
        case {"anyOf": options}:
            return ", or ".join(said(option, known) for option in options)
        case {"$ref": ref}:
            of = known[ref.rpartition("/")[2]]
            if "prefixItems" in of:
                parts = (f"{v['title'].lower()}: {said(v, known)}" for v in of["prefixItems"])
                return f"[{', '.join(parts)}]"
            named = of["properties"]
            return "{" + ", ".join(f"{name}: {said(v, known)}" for name, v in named.items()) + "}"
        case {"const": value}:
            return f"`{value}`"
        case {"enum": options}:
            return " or ".join(f"`{option}`" for option in options)
        case {"type": "array", "items": items}:
            most = f", at most {bare['maxItems']}" if "maxItems" in bare else ""
            return f"list of {said(items, known)}{most}"
        case {"type": "object", "patternProperties": {values.TIER_PATTERN: items}}:
            return f"{{tier of its time: {said(items, known)}}}"
        case {"type": "object", "propertyNames": names, "additionalProperties": items}:
            return f"{{{said(names, known)}: {said(items, known)}}}"
        case {"type": "object", "additionalProperties": items}:
            return f"{{tier: {said(items, known)}}}"
        case {"type": "integer", "minimum": least, "maximum": most}:
            return f"whole, {least:,} to {most:,}"
        case {"type": "string", "maxLength": most}:
            return f"one line, 1 to {most} characters"
        case {"type": "string", "pattern": r"^\+?[0-9]{5,15}$"}:
            return "5 to 15 digits, perhaps after a +"
        case {"type": "boolean"}:
            return "true or false"
        case {"type": "null"}:
            return "`null`"
    raise ValueError(f"no words for {fragment}: add them to docs/generate.py")


def fields(model: type[BaseModel], *hidden: str) -> Iterator[tuple[str, str, str]]:
    """(name, what it may hold, what it is if left out) of each field."""
    schema = model.model_json_schema()
    required = schema.get("required", [])
    for name, fragment in schema["properties"].items():
        if name not in hidden:
            default = "" if name in required else json.dumps(fragment.get("default", {}))
            what = said(fragment, schema.get("$defs", {}))
            yield name, ": ".join((what, *filter(None, [fragment.get("description")]))), default


def doc_of(thing: type | ModuleType) -> str:
    """A docstring as Markdown: one line a paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in (getdoc(thing) or "").split("\n\n"))


def headline(noun: ModuleType) -> str:
    """What a noun's file says it is about, as a heading and a sentence."""
    name, _, about = doc_of(noun).split("\n\n")[0].partition(": ")
    return f"## {name}\n\n{about[0].upper()}{about[1:]}"


def table(*rows: Iterable[str]) -> str:
    """A Markdown table; the first row is its head."""
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + "---|" * lines[0].replace("\\|", "").count(" |"))
    return "\n".join(lines)


# -------------------------------------------------------------------------------------- pages
def facts_page() -> str:
    """Every command: the lines of an import file, and what the doors ask for."""
    parts = [
        "# Facts: the commands",
        MADE,
        "What somebody can ask for, and so what a line of an [import file](../how-to/import.md)"
        f" can say: {len(COMMANDS)} commands. Each line names its `command`, says `at` which"
        " instant it happened and which `actor` did it, and may bring an idempotency `key` of its"
        " own, and `despite`: [what it broke](../how-to/a-history-that-broke-a-rule.md). An unknown"
        " field, a number in quotes or a missing field is refused. Below each stand"
        " what its receipt holds beside its place in the log, the [refusals](refusals.md) that its"
        " rule may give, in the order in which it asks, and an example.",
        LEGEND.strip(),
    ]
    for noun in NOUNS:
        mine = [kind for kind in COMMANDS.values() if _belongs(kind, noun)]
        if mine:
            parts += [headline(noun), *map(_fact, mine)]
    return "\n\n".join(parts) + "\n"


def _fact(kind: type[Command]) -> str:
    name = kind.model_fields["command"].default
    named = [f"`{role.kind}:{{{role.field}}}`" for role in kind.roles]
    writes, reads = ", ".join(named[: len(kind.writes)]), ", ".join(named[len(kind.writes) :])
    streams = f"Writes {writes}." + (f" Reads {reads}." if reads else "")
    stay = kind.identifying if kind.marks_sealed else ()
    rows = [
        (
            f"`{field}`",
            what,
            "stays as it is" if field in stay else f"`{default}`" if default else "required",
        )
        for field, what, default in fields(kind, "command", "key", "actor", "at", "despite")
    ]
    said_of_it = [f"### `{name}`", f"{doc_of(kind)} {streams}"]
    told = ", ".join(f"`{field}`" for field in kind.answers.__annotations__)
    codes = ", ".join(f"`{refusal.code}`" for refusal in kind.refuses)
    outcome = (f"Receipt: {told}. " if told else "") + (
        f"Refused in this order: {codes}." if codes else "No rule refuses it."
    )
    example = json.dumps({"command": name, **kind.example}, ensure_ascii=False)
    fields_table = table(("field", "holds", "left out"), *rows)
    return "\n\n".join([*said_of_it, fields_table, outcome, f"```json\n{example}\n```"])


def events_page() -> str:
    """Every event by its topic, with its fields."""
    parts = [
        "# Events",
        MADE,
        f"The {len(CATALOGUE)} facts that the log holds, by topic. A topic is never renamed and an"
        " event never edited or deleted; a wrong fact is corrected by another event that names it."
        " Each is stored as JSON with its own fields and `occurred_at`, `actor` and `key`; a field"
        " that would be null may be absent. Beside it, as columns: lane (`bucket`), position"
        " (`notification_id`), stream (`originator_id`), version in the stream, and `recorded_at`.",
        "What the words of the second column mean stands at the head of [facts](facts.md).",
    ]
    for noun in NOUNS:
        mine = [kind for kind in CATALOGUE.values() if _belongs(kind, noun)]
        if mine:
            parts += [headline(noun), *map(_event, mine)]
    return "\n\n".join(parts) + "\n"


def _event(kind: type[Event]) -> str:
    rows = [(f"`{name}`", what) for name, what, _ in fields(kind, "occurred_at", "actor", "key")]
    said_of_it = [f"### `{kind.topic}`", doc_of(kind), f"In a `{kind.stream}:` stream."]
    if rows:
        said_of_it.append(table(("field", "holds"), *rows))
    return "\n\n".join(said_of_it)


def refusals_page() -> str:
    """Every refusal by its code, with the numbers that come with it."""
    parts = [
        "# Refusals",
        MADE,
        f"Why a command was not carried out: {len(REFUSALS)} reasons. A refusal writes nothing and"
        " is not kept, so the same key may be used again. `code` is stable; the fields beside it"
        " are the numbers that decided. HTTP gives each a status, listed with the doors' own"
        " problems in [the HTTP API](../http.md#problems). The last column: whether it protects a"
        " live desk, so that [a history may have broken"
        " it](../how-to/a-history-that-broke-a-rule.md).",
    ]
    for room in (*NOUNS, kernel, ledger):
        mine = {code: kind for code, kind in REFUSALS.items() if _belongs(kind, room)}
        if mine:
            last = room.__name__.rpartition(".")[2].capitalize()
            name = "Whatever it is about" if room is kernel else last
            rows = [
                (
                    f"`{code}`",
                    doc_of(kind),
                    ", ".join(f"`{name}`" for name in kind.members()),
                    "yes" if issubclass(kind, DeskRule) else "",
                )
                for code, kind in sorted(mine.items())
            ]
            parts += [
                f"## {name}",
                table(("code", "what it says", "numbers", "a history may"), *rows),
            ]
    return "\n\n".join(parts) + "\n"


def _belongs(kind: type, room: ModuleType) -> bool:
    return f"{kind.__module__}.".startswith(f"{room.__name__}.")


def figures_page() -> str:
    """Every claim of the demo's report, and how it is derived."""
    file = report_files.read(demo.REPORT, demo.CLOCK_STARTS_AT, "system:docs")
    said, claims = file.header, file.of(Claim)
    parts = [
        "# Figures of the demo's report",
        MADE,
        f"What `clubledger figures --report {file.report_id}` holds against the ledger: the claims"
        f" of {said.title}, in `demo/report.toml`. [Enter a report](../how-to/report.md) says what"
        " the columns mean. In the last one stand the [assumptions of the"
        " demo](../explanation/demo-year.md#what-is-assumed) that a figure rests on.",
    ]
    for section in dict.fromkeys(each.section for each in claims):
        rows = [
            (
                f"`{each.claim_id}`",
                f"{each.title} {each.zh or ''}".strip(),
                "" if each.value is None else f"{each.value} {each.unit}",
                each.meant if each.value is not None else "",
                _derived(each),
                each.note or "",
                ", ".join(f"`{name}`" for name in assumed(each.claim_id)),
            )
            for each in claims
            if each.section == section
        ]
        head = ("claim", "", "printed", "meant", "measure, formula", "note", "assumed")
        parts += [f"## {section}", table(head, *rows)]
    return "\n\n".join(parts) + "\n"


def measures_page() -> str:
    """Every measure of the catalogue, by what its id begins with."""
    assert PROJECTED, "they make the catalogue"
    parts = []
    for room, of in groupby(measure.catalogue(), key=lambda each: each.id.partition(".")[0]):
        parts.append(f"## {room.title()}\n")
        for rows, same in groupby(of, key=lambda each: each.rows):
            listed = list(same)
            usual = {n: f" ({int(value):,})" for n, value in listed[0].usual.items()}
            names = [name for name in listed[0].takes if name not in measure.DAYS]
            takes = ", ".join(f"**{n}**" if n in listed[0].needs else n + usual.get(n, "")
                              for n in names)  # fmt: skip
            by = ", ".join(rows.dims) or "nothing"
            parts.append(f"{rows.what} Takes {takes}; is grouped by {by}.\n")
            cells = [
                (f"`{each.id}`", f"{each.title} {each.zh}", each.unit, f"`{each.formula.text}`",
                 "days" if each.days else "end", each.note)
                for each in listed
            ]  # fmt: skip
            parts.append(table(("measure", "", "unit", "formula", "of", ""), *cells) + "\n")
    return "\n".join(
        (
            "# Measures\n",
            MADE,
            MEASURES_LEGEND,
            *parts,
        )
    )


def views_page() -> str:
    """Every view with its columns, and by what its list is filtered."""
    assert PROJECTED, "they make the catalogue"
    parts = [
        "# Views\n",
        MADE,
        VIEWS_SAID,
    ]
    for of in views.catalogue():
        columns = (
            (f"`{each.name}`", each.type + " or null" * each.nullable, each.about)
            for each in of.columns
        )
        parts.append(
            f"## {of.name}\n{of.about} In the order of {_named(of.key)}.\n\n"
            f"{table(('column', 'type', 'what it is'), *columns)}\n\n"
            f"Filters: {_named(of.filters)}.\n"
        )
    return "\n".join(parts)


def _named(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _derived(claim: Claim) -> str:
    """How a claim is derived, and the document's own arithmetic."""
    of = ", ".join(f"{name} {said}" for name, said in claim.parameters.items())
    asked = f"`{claim.measure}`{f' of {of}' if of else ''}" if claim.measure else ""
    return ", ".join(filter(None, [asked, f"`{claim.formula}`" if claim.formula else ""]))


def assumptions() -> str:
    """What the demo chose where the report is silent."""
    rows = [
        (
            f"`{name}`",
            _value(entry.value),
            entry.why,
            ", ".join(f"`{figure}`" for figure in entry.affects) or "none",
        )
        for name, entry in demo.ASSUMPTIONS.items()
    ]
    return table(("assumption", "chosen", "why", "figures that rest on it"), *rows)


def doors() -> str:
    """The address of each command, and what it does."""
    rows = [
        (
            f"`POST {door.address}`",
            f"`{door.name}`",
            re.split(r"(?<=\.)\s", doc_of(door.command))[0],
        )
        for door in DOORS
    ]
    return table(("address", "command", ""), *rows)


def examples() -> str:
    """The members whom the tutorial uses."""
    rows = [(f"`{member}`", shows) for member, shows in demo.EXAMPLES.items()]
    return table(("member", "what he shows"), *rows)


def _value(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    if len(text) > SHOWN_CHARACTERS:
        return "in [the file](../../demo/assumptions.toml)"
    return f"`{text}`"


# -------------------------------------------------------------------------------------- files
def between(text: str, name: str, made: str) -> str:
    """A page with the part between its two markers made anew."""
    begin, end = f"<!-- {name}: made by `python -m docs.generate` -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the markers of {name} are missing")
    return f"{before}{begin}\n{made}\n{end}{after}"


def pages() -> dict[Path, Callable[[], str]]:
    """What makes up what every made page should hold, by its path."""
    return {
        DOCS / "http.md": http_page,
        DOCS / "reference" / "access.md": access_page,
        DOCS / "reference" / "facts.md": facts_page,
        DOCS / "reference" / "events.md": events_page,
        DOCS / "reference" / "refusals.md": refusals_page,
        DOCS / "reference" / "figures.md": figures_page,
        DOCS / "reference" / "measures.md": measures_page,
        DOCS / "reference" / "views.md": views_page,
        DEMO_YEAR: demo_year_page,
    }


def http_page() -> str:
    """Every door, question and problem, between what is said of them."""
    known = between((DOCS / "http.md").read_text("utf-8"), "doors", doors())
    return between(between(known, "questions", questions()), "problems", problems())


def demo_year_page() -> str:
    """What was assumed, and examples, between what is said of them."""
    told = between(DEMO_YEAR.read_text("utf-8"), "assumptions", assumptions())
    return between(told, "examples", examples())


def questions() -> str:
    """Every question that is a row of its own."""
    rows = [
        (f"`GET {each.address}`", " ".join((getdoc(each.query) or "").split()))
        for each in QUESTIONS
    ]
    return table(("address", ""), *rows)


def openapi() -> dict[str, Any]:
    """What an application says of itself; it need not run for that."""
    from api.http import create_app

    made: dict[str, Any] = json.loads(json.dumps(create_app("", follow=False).openapi()))
    return made


def access_page() -> str:
    """Every door with what it needs, and every role with what it opens."""
    from api.http import create_app
    from api.http.server.access import opened

    roles = [*access.BUILT_IN]
    rows = []
    for method, path, name, need in opened(create_app("", follow=False)):
        at = ", ".join(f"`{field}`" for field in (need.club, need.unit) if field)
        if not need.scope:
            who = "anybody" if need.scope is None else "whoever has signed in"
            rows.append((f"`{method} {path}`", name, who, "", *[""] * len(roles)))
            continue
        reach = (access.BUILT_IN[role].get(need.scope, "") for role in roles)
        opens = [said if said in ("", "all") or _has(need, said) else "" for said in reach]
        rows.append((f"`{method} {path}`", name, f"`{need.scope}`", at, *opens))
    return (
        "\n\n".join(
            [
                "# Access",
                MADE,
                ACCESS_SAID.strip(),
                table(("door", "", "scope", "of", *roles), *rows),
            ]
        )
        + "\n"
    )


def _has(need: Any, reach: str) -> bool:
    """Whether it says in which club or unit it is asked for."""
    return bool(need.club if reach == "clubs" else need.unit)


def problems() -> str:
    """Every problem of the HTTP door, refusals among them."""
    from api.runtime import problems

    rows = [
        (
            f"`{code}`",
            str(problems.status_of(code)),
            problems.title_of(code),
            ", ".join(f"`{name}`" for name in problems.members_of(code)),
        )
        for code in problems.codes()
    ]
    return table(("code", "status", "", "numbers"), *rows)


def contract() -> dict[Path, str]:
    """The same of what the HTTP door promises, which takes the whole door to know."""
    described = openapi()
    made = {OPENAPI: described, ASYNCAPI: asyncapi.document()}
    told = {path: json.dumps(each, ensure_ascii=False, indent=1) for path, each in made.items()}
    version, before = api_changes.read(RELEASED.read_text("utf-8"))
    since = api_changes.changes(before, api_changes.surface(described))
    told[API_CHANGES] = "\n\n".join(
        ["# Changes of the API", MADE, API_CHANGES_SAID.strip(), api_changes.page(version, since)]
    )
    return {path: text + "\n" for path, text in told.items()}


def golden() -> dict[Path, str]:
    """Bytes of every event, to which those of new ones are added, and which are never changed."""
    from tests.domain import usual

    return {usual.STORED: usual.stored_of(CATALOGUE.values()).decode()}


def main() -> None:
    """Write the files that are not current, and name them. With `--release NAME` what is promised
    now is what changes are told against from now on."""
    if sys.argv[1:2] == ["--release"]:
        kept = api_changes.written(api_changes.surface(openapi()), sys.argv[2])
        RELEASED.write_text(kept, "utf-8")
    made = {path: make() for path, make in pages().items()}
    for path, text in {**golden(), **made, **contract()}.items():
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{path.relative_to(DOCS.parent)}\n")


if __name__ == "__main__":
    main()
