"""One number has one spelling; what is none is refused and not repeated."""

import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from domain.kernel.personal import Phone, Sealed
from domain.kernel.phones import BRACKETED_TRUNK, CHINA, NoPhoneNumber, NumberingPlan

PATTERN, canonical = CHINA.pattern, CHINA.canonical
GERMANY = "+49 0 7-11"
GAPS = st.text(" -\u3000\u00a0.()\uff08\uff09\u2013\u202a", max_size=3)
OWN = st.from_regex(r"[1-9][0-9]{9,10}", fullmatch=True)
FOREIGN = st.from_regex(r"[1-79][0-9]{6,14}", fullmatch=True)


@st.composite
def spelt(draw: st.DrawFn, beginnings: tuple[str, ...], number: str) -> str:
    """The number with one of these before it, gaps between, and digits of both widths."""
    plain = draw(st.sampled_from(beginnings)) + number
    wide = draw(st.booleans())
    digits = "".join(chr(ord(c) + 0xFEE0) if wide and c != " " else c for c in plain)
    return draw(GAPS) + "".join(digit + draw(GAPS) for digit in digits)


@given(st.data(), OWN)
def test_every_spelling_of_a_number_is_one(data: st.DataObject, number: str) -> None:
    beginnings = ("", "0", "86", "+86", "0086", "+860", "00860")
    written = data.draw(spelt(beginnings, number))
    assert canonical(written) == f"+86{number}"
    assert re.fullmatch(PATTERN[1:-1], written)


@given(st.data(), FOREIGN)
def test_so_it_is_with_one_of_another_country(data: st.DataObject, number: str) -> None:
    written = data.draw(spelt(("+", "00"), number))
    assume(not re.search(BRACKETED_TRUNK, written))
    assert canonical(written) == f"+{number}"


@given(st.from_regex(PATTERN))
def test_whatever_the_description_allows_is_taken_and_stays_what_it_is(written: str) -> None:
    once = canonical(written.removesuffix("\n"))
    assert canonical(once) == once
    assert re.fullmatch(r"\+[1-9][0-9]{6,14}", once)


@given(st.text("0123456789+- ()\uff11x", max_size=20))
def test_what_the_description_does_not_allow_is_refused(written: str) -> None:
    if re.fullmatch(PATTERN[1:-1], written):
        assert canonical(written).startswith("+")
    else:
        with pytest.raises(NoPhoneNumber):
            canonical(written)


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("+86 (0)10 1234 5678", "+861012345678"),
        ("(010) 1234-5678", "+861012345678"),
        ("0571-87654321", "+8657187654321"),
        ("+44 20 7946 0958", "+442079460958"),
        ("+39 06 698 12345", "+390669812345"),
    ],
)
def test_the_zero_before_an_area_code_is_none_of_the_number(written: str, number: str) -> None:
    assert canonical(written) == number


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("10086", "its area code among them"),
        ("87654321", "its area code among them"),
        ("+86 10086", "its area code among them"),
        ("447911123456", "begins with +"),
        ("1380000ABCD", "holds digits"),
        ("+44 (0)20 7946 0958", "leave it out"),
        ("0044\uff08\u00a0\uff10 \uff0920 7946 0958", "leave it out"),
        ("(0)044 20 7946 0958", "its area code among them"),
        ("138    0000 0001", "no more than 3 spaces"),
        ("+44 20 -- - 7946 0958", "no more than 3 spaces"),
        ("10    086", "its area code among them"),
        ("+44 (0)20", "has 7 to 15"),
        ("+1 212", "has 7 to 15"),
        ("13800000001\n", "holds digits"),
        ("\u0661\u0663\u0668\u0660\u0660\u0660\u0660\u0660\u0660\u0660\u0661", "holds digits"),
        ("", "holds digits"),
    ],
)
def test_what_is_none_is_refused_with_the_reason(written: str, why: str) -> None:
    with pytest.raises(NoPhoneNumber, match=re.escape(why)):
        canonical(written)
    with pytest.raises(ValidationError):
        TypeAdapter[Sealed](Phone).validate_python(written)
    assert not re.fullmatch(PATTERN[1:-1], written), "the description says so"


@pytest.mark.parametrize(
    ("plan", "written", "number"),
    [
        (GERMANY, "0151 2345 6001", "+4915123456001"),
        (GERMANY, "0049 (0)30-1234567", "+49301234567"),
        (GERMANY, "4915123456001", "+4915123456001"),
        (GERMANY, "+86 138 0000 0001", "+8613800000001"),
        (GERMANY, "+41 44 668 18 00", "+41446681800"),
        ("+39 7-11", "06 698 12345", "+390669812345"),
        ("+1 1 10-10", "1 (212) 555-1234", "+12125551234"),
        ("+852 8-8", "2123 4567", "+85221234567"),
        ("+852 8-8", "+853 2812 3456", "+85328123456"),
    ],
)
def test_another_country_has_a_plan_of_its_own(plan: str, written: str, number: str) -> None:
    own = NumberingPlan.said(plan)
    assert str(own) == plan
    assert own.canonical(written) == own.canonical(number) == number
    assert re.fullmatch(own.pattern[1:-1], written)


@pytest.mark.parametrize(
    "said", ["", "49", "+49", "+49 0 11-7", "+49 0 5-11", "+49 0 7-14", "+0 7-9"]
)
def test_what_is_no_plan_is_refused(said: str) -> None:
    with pytest.raises(ValueError, match=r"is written as|its numbers have"):
        NumberingPlan.said(said)
