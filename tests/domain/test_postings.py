"""Points are conserved by the form of postings, whatever they are."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from domain.kernel.postings import ACCOUNTS, Posting, balances
from domain.points.lots import Lot, Points
from domain.points.movements import move
from tests.domain.scenario import local
from tests.domain.words import NOON

AT = local(NOON)
POSTINGS = st.lists(
    st.builds(
        Posting,
        st.integers(1, 4),
        st.sampled_from(ACCOUNTS),
        st.sampled_from(ACCOUNTS),
        st.integers(1, 1_000),
    ),
    max_size=30,
)


@given(POSTINGS)
def test_whatever_is_posted_the_accounts_of_each_lot_add_up_to_zero(
    postings: list[Posting],
) -> None:
    lots = balances(postings)
    assert all(sum(accounts.values()) == 0 for accounts in lots.values())
    assert lots.keys() == {posting.lot for posting in postings}


@given(POSTINGS)
def test_no_lot_goes_below_zero_and_what_is_carried_out_is_what_was_posted(
    postings: list[Posting],
) -> None:
    account = Points()
    for number in range(1, 5):
        account.lots[number] = Lot(number, 0, 0, AT, None)
    done: list[Posting] = []
    for posting in postings:
        try:
            move(account, (posting,), AT)
        except ValueError:
            lot = account.lots[posting.lot]
            held = {"spendable": lot.points, "expired": lot.expired}
            assert held[posting.source] < posting.points
        else:
            done.append(posting)
    lots = balances(done)
    for number, lot in account.lots.items():
        accounts = lots.get(number, Counter())
        assert lot.points == accounts["spendable"] >= 0
        assert lot.expired == accounts["expired"] >= 0
