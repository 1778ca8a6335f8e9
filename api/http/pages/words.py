"""What pages say, in every language they speak: the tables of `texts/`, one a console."""

import re
import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any, Literal, get_args

from domain.kernel.values import PROGRAMME

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
_WEIGHT = re.compile(r"^\s*([a-zA-Z-]+)\s*(?:;\s*q=([0-9.]{1,5}))?\s*$")
_INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d")


@cache
def words() -> Mapping[str, Any]:
    """All tables as one: words and refusals by name, each as [Chinese, English]."""
    made: dict[str, dict[str, Any]] = {"words": {}, "refusals": {}}
    for file in (files(__package__) / "texts").iterdir():
        for table, said in tomllib.loads(file.read_text("utf-8")).items():
            if twice := made[table].keys() & said.keys():
                raise ValueError(f"{file.name} says again what another file says: {sorted(twice)}")
            made[table] |= said
    return made


def language_of(chosen: str | None, accepted: str) -> Language:
    """The language that was chosen; else the first of those that the browser would rather have."""
    for language in LANGUAGES:
        if chosen == language:
            return language
    found: list[tuple[float, int, Language]] = []
    for place, part in enumerate(accepted.split(",")[:20]):
        match = _WEIGHT.match(part)
        spoken = match and match[1][:2].lower()
        for language in LANGUAGES:
            if match and spoken == language:
                weight = float(match[2]) if re.fullmatch(r"[01](\.\d*)?", match[2] or "") else 1.0
                found.append((-weight, place, language))
    return min(found)[2] if found else LANGUAGES[0]


def say(language: Language, name: str, **values: Any) -> str:
    """What this is called in that language."""
    said: str = words()["words"][name][LANGUAGES.index(language)]
    return said.format_map(values) if values else said


def refusal(language: Language, problem: Mapping[str, Any]) -> tuple[str, str]:
    """(what is wrong, what to do now) of a problem, with its numbers."""
    told = words()["refusals"].get(problem["code"])
    if told is None:
        return str(problem["detail"]), say(language, "next_anything")
    values = {name: _told(value) for name, value in problem.items()}
    wrong, then = (each[LANGUAGES.index(language)] for each in told)
    return wrong.format_map(values), then.format_map(values)


def _told(value: Any) -> Any:
    """A value of a problem as a reader has it: instants as local times, lists by commas."""
    if isinstance(value, str) and _INSTANT.match(value):
        return moment(datetime.fromisoformat(value))
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def moment(at: datetime) -> str:
    """An instant in the programme's zone, to the minute."""
    return f"{at.astimezone(PROGRAMME.zone):%Y-%m-%d %H:%M}"


def minute(of_day: int) -> str:
    """A minute of the day as a clock shows it."""
    return f"{of_day // 60:02}:{of_day % 60:02}"
