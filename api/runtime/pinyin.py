"""How names are read, as pinyin spells it: first letters, and names by whole syllables."""

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from itertools import islice, product

MOST_READINGS = 8
"""Ways to read one name: some characters have several."""
MOST_SYLLABLES, MOST_SPELLINGS = 8, 8
"""Of what is typed, and ways to part it into syllables."""
LONGEST = 6
"""Letters of a syllable."""
BETWEEN = r"[^\w\n]?"
"""What may stand between two characters of a name."""
_VOWELS = frozenset("aeiouvü")
_LIKE_V = {"lu": "lv", "nu": "nv", "lyu": "lv", "nyu": "nv", "lü": "lv", "nü": "nv"}
"""How people type a syllable with ü, which `pinyin.toml` writes as v."""


@cache
def _characters() -> Mapping[str, str]:
    """By syllable, the characters that are read so."""
    text = (files(__package__) / "pinyin.toml").read_text("utf-8")
    found: dict[str, str] = tomllib.loads(text)
    for typed, syllable in _LIKE_V.items():
        found[typed] = found.get(typed, "") + found[syllable]
    return found


@cache
def _letters() -> dict[str, str]:
    """By character, the letters with which its syllables begin."""
    found: dict[str, str] = {}
    for syllable, characters in sorted(_characters().items()):
        for character in characters:
            known = found.get(character, "")
            found[character] = known if syllable[0] in known else known + syllable[0]
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


def spelled(said: str, begun: bool = False) -> list[str]:
    """Regular expressions for the beginnings of the names that are read as what is typed: syllable
    by syllable, with a space between any two or none; `begun`: of the last, its beginning."""
    parts = said.lower().replace("'", " ").split()
    if not parts or not all(part.isalpha() for part in parts):
        return []
    ways = islice(_spellings(parts, begun, MOST_SYLLABLES), MOST_SPELLINGS)
    return [BETWEEN.join(f"[{each}]" for each in way) for way in ways]


def _spellings(parts: list[str], begun: bool, room: int) -> Iterator[list[str]]:
    """The characters of each syllable, in each way to part this; of longer syllables first."""
    if not parts:
        yield []
        return
    said, rest = parts[0], parts[1:]
    known = _characters()
    for length in range(min(len(said), LONGEST), 0, -1) if room else ():
        syllable, left = said[:length], said[length:]
        found = known.get(syllable, "") if _VOWELS & {*syllable} else ""  # 嗯 is n, in no name
        if begun and not left and not rest:
            found = "".join(each for name, each in known.items() if name.startswith(syllable))
        if found:
            for more in _spellings([left, *rest] if left else rest, begun, room - 1):
                yield [found, *more]
