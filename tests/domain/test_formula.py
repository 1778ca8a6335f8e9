"""A formula is reckoned as Python would reckon it in fractions, and nothing else is let in."""

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.formula import MAX_CHARACTERS, MAX_DEPTH, BadFormula, Formula, Undefined

NAMES = {"base": 104628, "lost": 17, "a.b_1": 3}
_leaves = st.one_of(
    st.sampled_from(sorted(NAMES)),
    st.integers(0, 999).map(str),
    st.decimals(0, 99, places=2).map(str),
)
_formulas = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join),
        inner.map(lambda text: f"({text})"),
        inner.map(lambda text: f"-({text})"),
    ),
    max_leaves=12,
)


class _Exact(dict[str, Fraction]):
    def __init__(self) -> None:
        super().__init__({name.replace(".", "__"): Fraction(n) for name, n in NAMES.items()})


def _as_python(text: str) -> str:
    words = Formula(text)  # it is one, so that nothing else is evaluated here
    said = words.text
    for name in NAMES:
        said = said.replace(name, name.replace(".", "__"))
    return re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)(?![\w.])", r"F('\1')", said)


@given(_formulas)
def test_it_is_reckoned_as_python_reckons_fractions(text: str) -> None:
    try:
        expected = eval(_as_python(text), {"F": Fraction}, _Exact())
    except ZeroDivisionError:
        with pytest.raises(Undefined, match="is 0"):
            Formula(text).value(NAMES)
    else:
        assert Formula(text).value(NAMES) == expected


@given(st.text(max_size=40) | st.text("ab1.+-*/() ", max_size=40))
def test_whatever_it_is_given_it_is_a_formula_or_says_where_it_goes_wrong(text: str) -> None:
    bad: BadFormula | None = None
    try:
        Formula(text).value(dict.fromkeys(NAMES, 1))
    except BadFormula as raised:
        bad = raised
    except Undefined:
        pass
    assert bad is None or 1 <= bad.character <= len(text) + 1


@pytest.mark.parametrize(
    ("text", "character"),
    [
        ("", 1),
        ("1 +", 4),
        ("(a", 3),
        ("a b", 3),
        ("a ** 2", 4),
        ("a[0]", 2),
        ("- - a", 3),
        ("1e9", 2),
    ],
)
def test_what_is_none_is_told_where(text: str, character: int) -> None:
    with pytest.raises(BadFormula) as bad:
        Formula(text)
    assert bad.value.character == character


def test_it_is_no_longer_and_no_deeper_than_it_may_be() -> None:
    Formula("+".join(["a"] * (MAX_CHARACTERS // 2)))
    for text in ("a" + "+a" * MAX_CHARACTERS, "(" * (MAX_DEPTH + 1) + "a" + ")" * (MAX_DEPTH + 1)):
        with pytest.raises(BadFormula):
            Formula(text)


def test_it_tells_its_names_and_what_stands_over_what() -> None:
    found = Formula("100 * (base - lost) / base + lost / (a.b_1 * 2)")
    assert found.names == ("base", "lost", "a.b_1")
    assert found.quotients == ((("base", "lost"), ("base",)), (("lost",), ("a.b_1",)))


def test_without_a_value_it_says_which_name_lacks_it() -> None:
    with pytest.raises(Undefined, match="lost has no value"):
        Formula("base - lost").value({"base": 1, "lost": None})
