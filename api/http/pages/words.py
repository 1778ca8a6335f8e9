"""What pages say, in every language they speak: the tables of `texts/`, one a console."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.resources import files
from string import Formatter
from typing import Any, Literal, get_args

from domain.kernel.values import PROGRAMME
from projections.engine.ratio import rounded

Language = Literal["zh", "en"]
LANGUAGES: tuple[Language, ...] = get_args(Language)
HUNDREDTHS = {"fen": "", "bp": "%"}
"""Units of whole numbers that readers know as hundreds of them, and what is said behind these."""
NOTHING = "—"
MOST_TOLD = 3
"""Inputs of a form of which is said what is wrong."""
WORDED = {"policy"}
"""What problems name that has a word of its own."""
OF_FILES = {"bad_mapping", "files_unfit", "internal", "unreadable_file"}
"""Problems of which a page tells more than the sentence of their code."""
OF_TIERS = {"tier", "tiers", "admitted_tiers"}
"""Where problems name tiers: people call these otherwise than commands do."""
_WEIGHT = re.compile(r"^\s*([a-zA-Z-]+)\s*(?:;\s*q=([0-9.]{1,5}))?\s*$")
_PARAMETER = re.compile("`([^`]*)`")
_COMMENT = re.compile(r"(.*\S  # |#(?: \?)? )(.+?)([.;]?)")
"""Of a line of TOML: what stands before what it says to a reader, that, and the end of it."""
_INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d")


@cache
def words() -> Mapping[str, Any]:
    """All tables as one: words, refusals and what commands speak of, each as [Chinese, English]."""
    made: dict[str, dict[str, Any]] = {"words": {}, "refusals": {}}
    for file in (files(__package__) / "texts").iterdir():
        for table, said in tomllib.loads(file.read_text("utf-8")).items():
            earlier = made.setdefault(table, {})
            if twice := earlier.keys() & said.keys():
                raise ValueError(f"{file.name} says again what another file says: {sorted(twice)}")
            earlier |= said
    return made


def language_of(chosen: str | None, accepted: str) -> Language:
    """The language that was chosen; else the first of those that the browser would rather have.
    A browser of other languages alone is read English, one that names none Chinese."""
    for language in LANGUAGES:
        if chosen == language:
            return language
    found: list[tuple[float, int, Language]] = []
    named = False
    for place, part in enumerate(accepted.split(",")[:20]):
        match = _WEIGHT.match(part)
        spoken = match and match[1][:2].lower()
        named |= match is not None
        for language in LANGUAGES:
            if match and spoken == language:
                weight = float(match[2]) if re.fullmatch(r"[01](\.\d*)?", match[2] or "") else 1.0
                found.append((-weight, place, language))
    if found:
        return min(found)[2]
    return "en" if named else "zh"


def say(language: Language, name: str, **values: Any) -> str:
    """What this is called in that language."""
    said: str = words()["words"][name][LANGUAGES.index(language)]
    return said.format_map(values) if values else said


def called(language: Language, table: str, *names: str) -> str:
    """What the first of these names that the table knows is called in that language; the last name
    itself, if it knows none: what was added yesterday has its form before it has its words."""
    if table == "choices" and names[-1] in PROGRAMME.tiers:
        return named(language, names[-1])
    return known(language, table, *names) or names[-1]


def known(language: Language, table: str, *names: str) -> str:
    """The same; empty, if the table knows none."""
    told = words()[table]
    found = next((told[name] for name in names if name in told), None)
    return "" if found is None else str(found[LANGUAGES.index(language)])


def named(language: Language, name: str) -> str:
    """What readers call a tier, a column, a parameter or a sum, a `unit:` or a `noun:`; itself
    where it has no other name."""
    if name in PROGRAMME.titles:
        return PROGRAMME.titles[name][LANGUAGES.index(language)]
    return known(language, "names", name) or name.rpartition(":")[2]


def title(language: Language, of: Any) -> str:
    """The title of a measure, a target or a claim; in English where it has no Chinese one."""
    return str((of.zh if language == "zh" else None) or of.title)


def explained(language: Language, text: str) -> str:
    """A sentence that an answer says of a figure, as a reader has it; as the answer has it where
    the table knows no other. Parameters, which answers put between backticks, have their words."""
    if language == "zh":
        matches = ((each.fullmatch(text), said) for each, said in _explained())
        match, said = next((each for each in matches if each[0]), (None, text))
        if match is not None:
            text = said.format(*(explained(language, part) for part in match.groups()))
    return _PARAMETER.sub(lambda each: _parameter(language, each[1]), text)


def commented(language: Language, mapping: str) -> str:
    """A mapping that was proposed, with what it says beside its columns as a reader has it."""
    if language != "zh":
        return mapping
    return "\n".join(map(_comment, mapping.split("\n")))


def _comment(line: str) -> str:
    match = _COMMENT.fullmatch(line)
    if match is None:
        return line
    before, text, end = match.groups()
    whole = explained("zh", text)
    parts = [whole] if whole != text else [explained("zh", part) for part in text.split("; ")]
    known = "；".join(parts)
    return line if known == text else before + known + {".": "。", ";": "；", "": ""}[end]


def _parameter(language: Language, name: str) -> str:
    return known(language, "names", f"parameter:{name}", name) or name


@cache
def _explained() -> list[tuple[re.Pattern[str], str]]:
    table: Mapping[str, str] = words()["explained"]
    parts = ((map(re.escape, text.split("{}")), said) for text, said in table.items())
    return [(re.compile("(.+)".join(between)), said) for between, said in parts]


def cell(language: Language, name: str, value: Any) -> str:
    """A value of a column of this name as a reader has it."""
    if isinstance(value, bool):
        return say(language, "yes" if value else "no")
    if isinstance(value, str):
        return value if name.endswith("_id") else named(language, value)
    return value.isoformat() if type(value) is date else str(told(name, value))


def number(value: Decimal | int | None, digits: int | None = None) -> str:
    """A number with separators of thousands, with so many decimals, rounded half up as everywhere,
    or with those that it has."""
    if value is None:
        return NOTHING
    exact = Decimal(value) if digits is None else rounded(value, digits)
    return f"{exact:,f}"


def refusal(language: Language, problem: Mapping[str, Any]) -> tuple[str, str]:
    """(what is wrong, what to do now) of a problem, with its numbers."""
    sentences = words()["refusals"].get(problem["code"])
    if sentences is None:
        return str(problem["detail"]), say(language, "next_anything")
    values = {name: _in_words(language, name, value) for name, value in problem.items()}
    wrong, then = (each[LANGUAGES.index(language)] for each in sentences)
    if problem["code"] == "invalid" and (what := _inputs(language, problem.get("errors", ()))):
        return say(language, "invalid_at", what=what), then
    return wrong.format_map(values), then.format_map(values)


def detail(language: Language, problem: Mapping[str, Any]) -> str | None:
    """What a problem with files says beside its sentence: where, and why."""
    said = str(problem.get("detail", ""))
    if problem["code"] not in OF_FILES or said == problem["title"]:
        return None
    file, line = problem.get("file"), problem.get("line")
    where = f"{file}, line {line}: " if line else f"{file}: "
    if not file or not said.startswith(where):
        return explained(language, said)
    place = f"{file} {say(language, 'line_of', n=line)}" if line else file
    why = explained(language, said.removeprefix(where).removesuffix("."))
    return f"{place}{say(language, 'colon')}{why}{say(language, 'full_stop')}"


def reason(language: Language, told: Mapping[str, Any]) -> str:
    """Why something is not taken, by its `code` with the numbers that it tells; else its `reason`,
    as readers have it."""
    code, numbers = told["code"], told.get("numbers") or {}
    if code in words()["refusals"]:
        with suppress(KeyError):
            return refusal(language, {**told, **numbers})[0]
    said = known(language, "errors", code)
    if said and {name for _, name, _, _ in Formatter().parse(said) if name} <= {*numbers}:
        return said.format_map(numbers)
    said = known(language, "names", f"rejected:{code}") or known(language, "names", f"rule:{code}")
    return said or explained(language, told["reason"])


def _inputs(language: Language, errors: Sequence[Mapping[str, Any]]) -> str:
    """What is wrong with which inputs, as far as these have words."""
    told = []
    for each in errors[:MOST_TOLD]:
        name = next((p for p in reversed(each["field"].split(".")) if not p.isdigit()), "")
        label = known(language, "names", f"input:{name}") or known(language, "fields", name)
        said = known(language, "errors", each["code"])
        if not said or not {name for _, name, _, _ in Formatter().parse(said) if name} <= {*each}:
            said = known(language, "errors", "string_pattern_mismatch")
        if label:
            told.append(f"{label}{say(language, 'colon')}{said.format_map(each)}")
    return ("；" if language == "zh" else "; ").join(told)


def _in_words(language: Language, name: str, value: Any) -> Any:
    """A value that a problem names, as a reader has it."""
    if name in WORDED:
        return called(language, "choices", value)
    if name in OF_TIERS and value is not None:
        tiers = [value] if isinstance(value, str) else value
        between = "、" if language == "zh" else ", "
        return between.join(named(language, each) for each in tiers) or NOTHING
    return told(name, value)


def told(name: str, value: Any) -> Any:
    """A value as a reader has it, by the unit in which its name ends: money in yuan, shares in per
    cent, minutes of a day as a clock; instants as local times, lists by commas."""
    if isinstance(value, str) and _INSTANT.match(value):
        return moment(datetime.fromisoformat(value))
    if isinstance(value, datetime):
        return moment(value)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or NOTHING
    if value is None:
        return NOTHING
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    unit = name.rpartition("_")[2]
    if unit in HUNDREDTHS:
        return f"{Decimal(value) / 100:,.2f}" + HUNDREDTHS[unit]
    return minute(value) if unit == "minute" else f"{value:,}"


def yuan(fen: int | Decimal) -> str:
    """A sum in yuan, with its fen if there are any."""
    return number(Decimal(fen) / 100, 2 if fen % 100 else 0)


def grouped(value: int | Decimal) -> str:
    """A number with its thousands apart."""
    return f"{value:,}"


def moment(at: datetime) -> str:
    """An instant in the programme's zone, to the minute."""
    return f"{at.astimezone(PROGRAMME.zone):%Y-%m-%d %H:%M}"


def last_of(end: date | str) -> str:
    """The last day of what ends before this one: people say that day, commands and events the one
    behind it."""
    behind = date.fromisoformat(end) if isinstance(end, str) else end
    return (behind - timedelta(days=1)).isoformat()


def minute(of_day: int) -> str:
    """A minute of the day as a clock shows it."""
    return f"{of_day // 60:02}:{of_day % 60:02}"
