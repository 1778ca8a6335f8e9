"""A formula: sums, differences, products and quotients of numbers and of what has a name.

    100 * (base - lost) / base

It is reckoned exactly, in fractions. Its text is what people read, and what is reckoned.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from operator import add, sub
from typing import TypeAlias

from domain.kernel.refusal import Refusal

MAX_CHARACTERS, MAX_DEPTH = 1000, 30
MAX_BITS = 4096
"""Of what stands above or below the stroke of any value on the way."""
_WORD = re.compile(r"\s*(?:([0-9]{1,15}(?:\.[0-9]{1,9})?)|([a-z][a-z0-9_.]{0,99})|([-+*/()]))")
_SUMS: Mapping[str, Callable[[Fraction, Fraction], Fraction]] = {"+": add, "-": sub}

Tree: TypeAlias = "Fraction | str | tuple[str, Tree, Tree]"
"""A number, a name, or a sign between two of them."""


@dataclass
class BadFormula(Refusal):
    """This is no formula: it goes wrong at a character."""

    code = "bad_formula"
    character: int
    why: str


class Undefined(Exception):
    """A formula has no value, and why."""


@dataclass(frozen=True)
class Formula:
    """Written as `text`. Raises BadFormula."""

    text: str
    tree: Tree = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tree", _Reader(self.text).read())

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What it speaks of, each once."""
        return tuple(dict.fromkeys(each for each in _leaves(self.tree) if isinstance(each, str)))

    @cached_property
    def quotients(self) -> tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]:
        """(names above, names below) each stroke, the outermost first."""
        return tuple(_quotients(self.tree))

    def value(self, values: Mapping[str, Fraction | int | None]) -> Fraction:
        """What it comes to. Raises Undefined where a name has no value, or nothing is below a
        stroke."""
        return _value(self.tree, values)


class _Reader:
    def __init__(self, text: str) -> None:
        self.text, self.at, self.depth = text, 0, 0
        self.word = ""  # the next one, empty at the end
        self.value: Fraction | str | None = None  # what it stands for, if it is no sign

    def read(self) -> Tree:
        if len(self.text) > MAX_CHARACTERS:
            raise BadFormula(MAX_CHARACTERS, f"it is longer than {MAX_CHARACTERS} characters")
        self._next()
        found = self._sum()
        if self.word:
            raise self._bad("nothing was to follow here")
        return found

    def _next(self) -> None:
        begin = self.at
        found = _WORD.match(self.text, begin)
        if found is None:
            self.word, self.value = "", None
            if self.text[begin:].strip():
                raise self._bad("this can stand in no formula")
            return
        number, name, _ = found.groups()
        self.at = found.end()
        self.word = found.group(found.lastindex or 0)
        self.value = Fraction(number) if number else name

    def _bad(self, why: str) -> BadFormula:
        return BadFormula(self.at - len(self.word) + 1, why)

    def _sum(self) -> Tree:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._bad(f"it is nested deeper than {MAX_DEPTH}")
        found = self._product()
        while self.word in ("+", "-"):
            sign = self.word
            self._next()
            found = (sign, found, self._product())
        self.depth -= 1
        return found

    def _product(self) -> Tree:
        found = self._factor()
        while self.word in ("*", "/"):
            sign = self.word
            self._next()
            found = (sign, found, self._factor())
        return found

    def _factor(self) -> Tree:
        if self.word == "-":
            self._next()
            if self.word == "-":
                raise self._bad("one sign is enough")
            return ("-", Fraction(0), self._factor())
        if self.word == "(":
            self._next()
            found = self._sum()
            if self.word != ")":
                raise self._bad("a parenthesis is open")
            self._next()
            return found
        if self.value is None:
            raise self._bad("a number or a name was to follow here")
        value = self.value
        self._next()
        return value


def _leaves(tree: Tree) -> Iterator[Fraction | str]:
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, tuple):
            waiting += (each[2], each[1])
        else:
            yield each


def _quotients(tree: Tree) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    waiting = [tree]
    while waiting:
        each = waiting.pop()
        if isinstance(each, tuple):
            if each[0] == "/":
                above, below = (
                    tuple(name for name in _leaves(side) if isinstance(name, str))
                    for side in each[1:]
                )
                yield above, below
            waiting += (each[2], each[1])


def require_formula(text: str) -> None:
    """Refuses what is no formula."""
    try:
        Formula(text)
    except BadFormula as bad:
        raise BadFormula(bad.character, bad.why) from None


def _value(tree: Tree, values: Mapping[str, Fraction | int | None]) -> Fraction:
    if isinstance(tree, Fraction):
        return tree
    if isinstance(tree, str):
        known = values.get(tree)
        if known is None:
            raise Undefined(f"{tree} has no value")
        return Fraction(known)
    sign, one, other = tree
    left, right = _value(one, values), _value(other, values)
    if sign == "/":
        if not right:
            raise Undefined(f"{other if isinstance(other, str) else 'what is divided by'} is 0")
        found = left * Fraction(right.denominator, right.numerator)
    else:
        found = left * right if sign == "*" else _SUMS[sign](left, right)
    if max(found.numerator.bit_length(), found.denominator.bit_length()) > MAX_BITS:
        raise Undefined("it grows too large")
    return found
