"""What no schema can say, for Schemathesis: which ids there are, which moments have been, and that
each write needs a key of its own.

Only requests that are meant to be right are touched; those that are meant to be wrong stay so.
"""

import os
import re
from itertools import count
from typing import Any
from zlib import crc32

import schemathesis
from schemathesis import Case, GenerationMode, HookContext

from api.http.server.editing import MATCH_HEADER
from api.http.server.inputs import ACTOR_HEADER
from domain.kernel.values import PROGRAMME
from projections.engine.catalogue import NOUNS
from projections.engine.measure import MEASURES
from tests.api import facts

assert NOUNS, "they make the measures"

MEMBERS = [f"t{n}" for n in range(1, facts.MEMBERS + 1)]
IDS = {"member_id": MEMBERS, "club_id": ["t-club"], "campaign_id": ["t-campaign"]}
BODY_IDS = IDS | {"service_id": ["tea"], "unit_id": ["t-unit"]}
NEEDED = IDS | {"cohort_id": ["vips"]}
ENDING = ("/close", "/leave", "/emergency", "/end")
"""What would be the end of those that all others ask of, or hangs on what they are: of nobody."""
SCENARIO_IDS = {"club_id": ["t-club"], "service_id": ["tea"], "campaign_id": ["t-campaign"]}
PREPAID_FEN = 10_000
EARLY = "1980-01-01"
"""No day is before it."""
POSITION, PLACE = "0:1", re.compile("[0-9]{1,2}:[0-9]{1,18}|[0-9]{1,18}")
MOMENTS = ("2009-01-06", "2020-01-01T00:00:00+08:00", POSITION)
TIMES = MOMENTS[:2]
PAST = {
    "wait_for": (POSITION,),
    "known_at": MOMENTS,
    "effective_at": TIMES,
    "from_effective": TIMES,
    "to_effective": TIMES,
}
FITTING: dict[str, Any] = {
    "first": EARLY,
    "arm": None,
    "formula": None,
    "at": "2020-01-01T00:00:00+08:00",
    "starts_on": "2020-02-01",
    "ends_on": "2021-02-01",
    "opens_on": "2009-02-01",
    "closes_on": "2009-03-01",
    "opens_minute": 0,
    "closes_minute": 1440,
    "expires_at": None,
    "prepaid_min_fen": PREPAID_FEN,
    "url": "https://127.0.0.1/",  # where nothing is sent
}
"""What has to be before, or after, another: else it is refused for that alone."""
LANE = os.environ.get("FUZZ_LANE", "")
"""The media type under which bodies are sent: as it is plainly, the express lane answers."""
ROLE = os.environ.get("FUZZ_ROLE", "manager")
"""The role of the key that is used."""
WHOLE = bool(os.environ.get("FUZZ_WHOLE"))
"""Whether all what-ifs are asked that are made: else of those that differ in values alone one is,
since each reckons the ledger anew. Those that shall be wrong are asked in any case."""
_keys = count()
_shapes: set[str] = set()


def one_of(values: Any, instead_of: Any) -> Any:
    """One of these, and always the same for the same."""
    return values[crc32(repr(instead_of).encode()) % len(values)]


def known(value: Any, ids: dict[str, list[str]]) -> Any:
    """The same with ids that there are, but for one in four."""
    if isinstance(value, list):
        return [known(each, ids) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: one_of(ids[name], inner)
        if name in ids and isinstance(inner, str) and crc32(inner.encode()) % 4
        else known(inner, ids)
        for name, inner in value.items()
    }


def with_one_tier_rule(changes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first rule for tiers alone, and a higher tier asks for no less than a lower one."""
    rules = [change for change in changes if change.get("change") == "tier_rule"]
    for rule in rules:
        asked = sorted(rule["thresholds_fen"].values(), reverse=True)
        tiers = sorted(rule["thresholds_fen"], key=PROGRAMME.tiers.index)
        rule["thresholds_fen"] = dict(zip(tiers, asked, strict=True))
    return [change for change in changes if change not in rules[1:]]


def asked_of(measure_id: str, query: dict[str, Any]) -> dict[str, Any]:
    """Of all that some measure takes, what this one does, and what it needs."""
    if (known := MEASURES.get(measure_id)) is None:
        return query
    others = {name for each in MEASURES.values() for name in each.takes} - {*known.takes}
    kept = {name: said for name, said in query.items() if name not in {"by", *others}}
    return {name: NEEDED[name][0] for name in known.needs} | kept


def shape(body: Any) -> Any:
    """What names it has, and which changes with which names."""
    if isinstance(body, list):
        return [shape(each) for each in body]
    if not isinstance(body, dict):
        return None
    return [body.get("change"), {name: shape(body[name]) for name in sorted(body)}]


@schemathesis.hook
def filter_case(context: HookContext, case: Case[Any]) -> bool:
    """Whether it is asked."""
    right = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if WHOLE or case.path != "/v1/what-if" or not right:
        return True
    asked = repr([shape(case.body), sorted(case.query), sorted(case.headers)])
    known_before = asked in _shapes
    _shapes.add(asked)
    return not known_before


@schemathesis.hook
def before_call(context: HookContext, case: Case[Any], kwargs: dict[str, Any]) -> None:
    """Make a request that fits its schema one that fits the ledger."""
    headers = case.headers
    body: Any = case.body
    if "wait_for" in case.query and PLACE.fullmatch(str(case.query["wait_for"])):
        case.query["wait_for"] = POSITION  # else it waits, and is told so by a 504
    if LANE and headers.get("Content-Type") == "application/json":
        headers["Content-Type"] = LANE
    if case.meta is None or case.meta.generation.mode is not GenerationMode.POSITIVE:
        return
    if case.path.endswith(ENDING):
        found = dict(case.path_parameters)
        case.path_parameters = found | dict.fromkeys(IDS.keys() & found.keys(), "nobody")
    else:
        case.path_parameters = known(dict(case.path_parameters), IDS)
    for name, values in PAST.items():
        if name in case.query:
            case.query[name] = one_of(values, case.query[name])
    if case.path == "/v1/changes":
        for name in ("from", "to"):
            if name in case.query:
                case.query[name] = one_of(MOMENTS, case.query[name])
    elif {"from", "to"} & case.query.keys():
        case.query["from"], case.query["to"] = "2009-01-01", one_of(MOMENTS[:1], case.query)
    if case.path.startswith("/v1/measures/"):
        case.query = asked_of(case.path_parameters["measure_id"], case.query)
    if "first" in case.query:
        case.query["first"] = EARLY
    case.query.pop("cursor", None)  # which only a page before it can say
    headers.pop(MATCH_HEADER, None)  # and only an answer before it that
    if headers.get(ACTOR_HEADER) == "0":  # Schemathesis takes it for one that fits
        headers[ACTOR_HEADER] = f"{ROLE}:li"
    if "Idempotency-Key" in headers:
        headers["Idempotency-Key"] = f"fuzz-{ROLE}-{LANE[-5:]}-{next(_keys)}"
        if case.path == "/v1/jobs":
            headers["Idempotency-Key"] = f"fuzz-{ROLE}-{ACTOR_HEADER in headers}"
    if "Clubledger-Actor" in headers:
        headers["Clubledger-Actor"] = f"{ROLE}:li"  # in the role of the key
    if not isinstance(body, dict):
        return
    body = known(body, SCENARIO_IDS if case.path == "/v1/what-if" else BODY_IDS)
    if "Idempotency-Key" in headers:
        body = {name: FITTING.get(name, said) for name, said in body.items()}
    if "changes" in body:
        body["changes"] = with_one_tier_rule(body["changes"])
    if case.path.endswith("/enrolments"):
        body["prepaid_fen"] = max(body.get("prepaid_fen", 0), PREPAID_FEN)
    if "shown_points" in body and crc32(repr(body).encode()) % 2:
        companions = body.get("companions", 0)
        body["shown_points"] = facts.PRICE_POINTS + companions * facts.COMPANION_POINTS
    if case.path == "/v1/jobs":
        body = {"kind": "export_log"}  # it is begun once or twice, and no more
    case.body = body
