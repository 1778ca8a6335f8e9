"""What an event tells, in a reader's language: its topic's sentence with its own fields."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from api.http.pages import words
from domain.kernel.postings import Posting, balances, owned
from domain.kernel.values import PROGRAMME

CODED = {
    *("arm", "arms", "category", "cause", "changed", "excludes", "from_tier", "kind", "level"),
    *("meant", "payment", "policy", "purpose", "tier", "tiers"),
    *("expires", "min_tier", "window"),
}
"""Fields whose values are words of ours, and no names or texts that somebody gave."""
OF_TIERS = {"tier", "tiers", "from_tier", "min_tier"}
"""Those of them that are tiers, which a ledger may call otherwise."""
Titles: TypeAlias = Mapping[str, Mapping[str, str]]
"""What ids are called, by the name of the id; services by `club/service`."""
NO_TITLES: Titles = {}
TOPICAL = {"fact", "topics"}
"""Fields that hold topics."""


def topic(language: words.Language, name: str) -> str:
    """What an event of this topic is called."""
    return words.called(language, "topics", name)


def sentence(
    language: words.Language, name: str, state: Mapping[str, Any], titles: Titles = NO_TITLES
) -> str:
    """What an event with this state tells, ids by their titles; a field that it lacks is null. What
    was added yesterday is called by its own name."""
    said = words.known(language, "sentences", name)
    return said.format_map(_Fields(language, state, titles)) if said else name


class _Fields(dict[str, str]):
    """The fields that a sentence asks for, as readers have them."""

    def __init__(self, language: words.Language, state: Mapping[str, Any], titles: Titles) -> None:
        super().__init__()
        self.language, self.state, self.titles = language, state, titles

    def __missing__(self, name: str) -> str:
        if name == "points" and "postings" in self.state:
            return f"{moved(self.state['postings']):,}"
        said = self.state.get(name)
        known = f"{self.state.get('club_id')}/{said}" if name == "service_id" else said
        title = self.titles.get(name, {}).get(known) if isinstance(known, str) else None
        return title or value(self.language, name, said)


def moved(postings: list[list[Any]]) -> int:
    """How many points the member got or lost by these postings."""
    each = balances(Posting(*posting) for posting in postings).values()
    return abs(sum(map(owned, each)))


def value(language: words.Language, name: str, said: Any) -> str:
    """A value of a field of an event, in its unit."""
    if isinstance(said, bool):
        return words.say(language, "yes" if said else "no")
    if isinstance(said, Mapping):
        of = {k: name if k in PROGRAMME.tiers else k for k in said}
        pairs = [f"{value(language, 'tier', k)} {value(language, of[k], said[k])}" for k in said]
        return _listed(language, pairs)
    if isinstance(said, list | tuple):
        return _listed(language, [value(language, name, each) for each in said])
    if isinstance(said, str) and name in OF_TIERS and said in PROGRAMME.titles:
        return words.named(language, said)
    if isinstance(said, str) and name in CODED:
        return next(
            (
                found
                for table in ("values", "choices", "names")
                if (found := words.known(language, table, said))
            ),
            said,
        )
    if isinstance(said, str) and name == "despite":
        return words.known(language, "names", f"rule:{said}") or said
    if isinstance(said, str) and name in TOPICAL:
        return topic(language, said)
    return str(words.told(name, said))


def field(language: words.Language, name: str) -> str:
    """What a field of an event is called."""
    return words.known(language, "fields", name) or words.named(language, name)


def _listed(language: words.Language, said: list[str]) -> str:
    return ("、" if language == "zh" else ", ").join(said) or words.NOTHING
