"""First letters of the syllables of a name, as pinyin spells them."""

import tomllib
from functools import cache
from importlib.resources import files
from itertools import islice, product

MOST_READINGS = 8
"""Ways to read one name: some characters have several."""


@cache
def _letters() -> dict[str, str]:
    """By character, the letters with which its syllables begin."""
    found: dict[str, str] = {}
    text = (files(__package__) / "initials.toml").read_text("utf-8")
    for letter, characters in tomllib.loads(text).items():
        for character in characters:
            found[character] = found.get(character, "") + letter
    return found


def initials(name: str) -> list[str]:
    """The first letters of a name's syllables, in every way that it may be read; of a word in Latin
    letters, its first."""
    known, letters, inside = _letters(), list[str](), False
    for character in name.lower():
        latin = "a" <= character <= "z"
        if character in known:
            letters.append(known[character])
        elif latin and not inside:
            letters.append(character)
        inside = latin
    readings = islice(product(*letters), MOST_READINGS) if letters else ()
    return list(dict.fromkeys(map("".join, readings)))
