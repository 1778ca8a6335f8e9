"""Digests of code hang on what is read: on nothing that is only said, and on all that is named."""

import gc
import importlib
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from domain.catalogue import PARTS
from domain.members import Membership
from ledger import digests
from ledger.log import snapshots
from tests.patience import give_way

NOUN = '''
"""A noun."""
from room import words
from room.deep import LIMIT, Part
from room.words import told as said

class State:
    """A state."""
    parts: list[Part]

class Happened:
    """It happened."""
    def apply(self, state):
        """Fold it."""
        state.parts = words.kept(state.parts[-LIMIT:])  # the latest
        return said()

def unrelated():
    return words.unrelated()
'''
DEEP = '''
FIRST, LIMIT = 1, 32
"""How many are kept."""

class Part:
    size: int
    def large(self):
        return self.size > THRESHOLD

THRESHOLD = 7
'''
WORDS = """
def kept(parts):
    return helped(parts)

def helped(parts):
    return parts

def told():
    return 1

def unrelated():
    return 2
"""
Digest = Callable[..., str]
CACHES = (
    *(digests._tree, digests._names, digests._read),
    *(digests._is_module, digests._is_package),
)


@pytest.fixture
def digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Digest:
    """The digest of a state and its event in a room with these files."""
    made: list[Path] = []

    def of(**changed: str) -> str:
        folder = tmp_path / str(len(made))
        made.append(folder)
        sources = {"noun": NOUN, "deep": DEEP, "words": WORDS, "__init__": ""} | changed
        for name, text in sources.items():
            path = folder / "room" / f"{name.replace('.', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        monkeypatch.syspath_prepend(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] == "room"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        for known in CACHES:
            known.cache_clear()
        noun = importlib.import_module("room.noun")
        return digests.of_code(noun.State, noun.Happened, room="room")

    return of


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"""A state."""', '"""What the rules need to know."""'),
        ('"""Fold it."""', '"""Fold this fact into its state."""'),
        ("  # the latest", "  # those that came last"),
        ("\n\nclass Happened", "\n\n\n\nclass Happened"),
    ],
)
def test_what_is_only_said_changes_no_digest(digest: Digest, old: str, new: str) -> None:
    assert old in NOUN
    assert digest() == digest(noun=NOUN.replace(old, new))


def test_a_constants_docstring_is_only_said_too(digest: Digest) -> None:
    assert digest() == digest(deep=DEEP.replace("How many are kept.", "So many are kept."))


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("noun", "parts: list[Part]", "parts: tuple[Part, ...]"),
        ("noun", "return said()", "return None"),
        ("deep", "LIMIT = 1, 32", "LIMIT = 1, 33"),
        ("deep", "size: int", "size: float"),
        ("deep", "THRESHOLD = 7", "THRESHOLD = 8"),
        ("words", "return helped(parts)", "return parts"),
        ("words", "    return parts", "    return parts[:1]"),
        ("words", "return 1", "return 3"),
    ],
)
def test_whatever_is_named_changes_it_at_any_depth(
    digest: Digest, file: str, old: str, new: str
) -> None:
    before = {"noun": NOUN, "deep": DEEP, "words": WORDS}[file]
    assert old in before
    assert digest() != digest(**{file: before.replace(old, new)})


def test_what_is_not_named_does_not(digest: Digest) -> None:
    other = WORDS.replace("return 2", "return 4")
    assert digest() == digest(words=other)


def test_a_module_that_becomes_a_package_stays_in(digest: Digest) -> None:
    packaged = {"words.__init__": "from room.words.rules import *", "words.rules": WORDS}
    digest()
    noun = NOUN.replace("from room.words import told", "from room.words.rules import told").replace(
        "from room import words", "from room.words import rules as words"
    )
    first = digest(noun=noun, **packaged)
    changed = WORDS.replace("    return parts", "    return parts[:1]")
    second = digest(noun=noun, **(packaged | {"words.rules": changed}))
    assert first != second


def test_readers_in_several_threads_get_their_digests() -> None:
    """A thread that makes a tree may have to give way in the midst: what is collected then runs."""

    def digested(_: int) -> str:
        for known in CACHES:
            known.cache_clear()
        return digests.of_code(Membership, room="domain")

    def collected(*_: object) -> None:
        give_way()

    gc.callbacks.append(collected)
    try:
        with ThreadPoolExecutor(4) as threads:
            assert len(set(threads.map(digested, range(8)))) == 1
    finally:
        gc.callbacks.remove(collected)


def test_each_part_has_a_version_of_its_own() -> None:
    versions = {snapshots.part_version(part) for part in PARTS}
    assert len(versions) == len(PARTS)
