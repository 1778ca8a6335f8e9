"""Names that are asked for: one that the ledger does not know is refused, since an answer of
nothing would read as if that were how much there is."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from domain.kernel.refusal import Refusal
from domain.kernel.values import PROGRAMME
from projections.engine.connection import Conn

NOBODY, ANYBODY = "none", "*"
"""What a filter says for rows that have nothing there, and for those that have anything."""

NAMES: dict[str, "Named"] = {}
"""What is known by an id, by the name of the id. A noun says so beside its tables (`named`)."""


@dataclass
class UnknownTier(Refusal):
    """There is no such tier."""

    code = "unknown_tier"
    tiers: list[str]


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


def codes_of(names: Iterable[str]) -> list[str]:
    """The codes of what is raised where one of these is unknown."""
    found = {NAMES[name].code for name in names if name in NAMES}
    return sorted(found | ({UnknownTier.code} if "tier" in names else set()))


def require_known(conn: Conn, said: Mapping[str, Iterable[str]]) -> None:
    """Raises what is raised for the first of these ids, or tiers, that the answers do not know."""
    for name, words in said.items():
        wanted = [each for each in words if each not in (NOBODY, ANYBODY)]
        if name == "tier" and not {*wanted} <= {*PROGRAMME.tiers}:
            raise UnknownTier([*PROGRAMME.tiers])
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
