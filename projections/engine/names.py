"""Names that are asked for: one that the ledger does not know is refused, since an answer of
nothing would read as if that were how much there is."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from re import escape
from typing import Any, get_args

from domain.kernel.refusal import Refusal
from domain.kernel.values import PROGRAMME
from projections.engine.connection import Conn

NOBODY, ANYBODY = "none", "*"
"""What a filter says for rows that have nothing there, and for those that have anything."""

MOST_SHOWN = 10
"""A list that is longer is told of where it is asked for in vain, and stands in no pattern."""

CLOSED: dict[str, tuple[str, ...]] = {}
"""All that there is of a kind, by the name of what is asked for; or by that of a list and what is
asked for there: `campaigns.kind`. A noun says so (`closed`)."""

NAMES: dict[str, "Named"] = {}
"""What is known by an id, by the name of the id. A noun says so beside its tables (`named`)."""


@dataclass
class UnknownTier(Refusal):
    """There is no such tier."""

    code = "unknown_tier"
    tiers: list[str]


@dataclass
class UnknownValue(Refusal):
    """A filter asks for what there is none of: its values are a list that the ledger knows."""

    code = "unknown_value"
    parameter: str
    known: list[str]


@dataclass(frozen=True, slots=True)
class Named:
    """The code and the making of what is raised where an id is unknown; its table has the name of
    the id without `_id`."""

    code: str
    unknown: Callable[[str], Refusal]


def named(name: str, unknown: type[Refusal], *before: str) -> None:
    """Have this id refused where it is unknown; `before` it stand other fields of the refusal, that
    nobody is told."""
    NAMES[name] = Named(unknown.code, lambda said: unknown(*before, said))


def closed(name: str, kind: Any) -> None:
    """Have what is asked for by this name refused, unless it is one of this kind: a Literal, or all
    that there is."""
    values = get_args(kind) or tuple(kind)
    if CLOSED.setdefault(name, values) != values:
        raise TypeError(f"two lists are called {name}")


def values_of(name: str, of: str = "") -> tuple[str, ...]:
    """All that may be asked for by this name, of this list; nothing, if nobody keeps account."""
    return CLOSED.get(f"{of}.{name}", CLOSED.get(name, ()))


def form_of_values(values: Sequence[str], *beside: str) -> dict[str, str]:
    """How values of a closed list are written, several by commas, as a schema says it; nothing, if
    there is no such list or it is long."""
    if not 0 < len(values) <= MOST_SHOWN:
        return {}
    one = "|".join(map(escape, (*values, *beside)))
    return {"pattern": f"^({one})(,({one}))*$"}


def codes_of(names: Iterable[str], of: str = "") -> list[str]:
    """The codes of what is raised where one of these, of this list, is unknown."""
    asked = set(names)
    found = {NAMES[name].code for name in asked & NAMES.keys()}
    found |= {UnknownTier.code} if "tier" in asked else set()
    return sorted(
        found | ({UnknownValue.code} if any(values_of(each, of) for each in asked) else set())
    )


def require_known(conn: Conn, said: Mapping[str, Iterable[str]], of: str = "") -> None:
    """Raises what is raised for the first of these ids, tiers or values of closed lists that there
    is not. `of`: the list that is asked for."""
    for name, words in said.items():
        wanted = [each for each in words if each not in (NOBODY, ANYBODY)]
        if name == "tier" and not {*wanted} <= {*PROGRAMME.tiers}:
            raise UnknownTier([*PROGRAMME.tiers])
        if (values := values_of(name, of)) and not {*wanted} <= {*values}:
            raise UnknownValue(name, [*values])
        if name in NAMES and wanted:
            text = f"SELECT {name} FROM {name.removesuffix('_id')} WHERE {name} = ANY (%s)"
            found = {each for (each,) in conn.execute(text, (wanted,)).fetchall()}
            for each in wanted:
                if each not in found:
                    raise NAMES[name].unknown(each)


def titled(conn: Conn, name: str, most: int) -> list[tuple[str, str]]:
    """(id, title) of what is known by this id and has a title for readers."""
    text = f"SELECT DISTINCT {name}, title FROM {name.removesuffix('_id')} ORDER BY 1, 2 LIMIT %s"
    return conn.execute(text, (most,)).fetchall()


def choices(conn: Conn, name: str, most: int = 200) -> dict[str, str] | None:
    """Every id of this name with what it is called; null if nothing is known by it, or so much that
    nobody would choose from a list."""
    if name == "tier":
        return {each: each for each in PROGRAMME.tiers}
    if name not in NAMES:
        return None
    table = name.removesuffix("_id")
    text = (
        f"SELECT DISTINCT ON ({name}) {name}, to_jsonb(t) ->> 'title' FROM {table} t"
        f" ORDER BY {name} LIMIT %s"
    )
    found = conn.execute(text, (most + 1,)).fetchall()
    return {each: title or each for each, title in found} if len(found) <= most else None
