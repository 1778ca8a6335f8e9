"""What people read is so: last days are last days, a day that runs is not over, and things have
their names."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest

from api.http.pages.page import FIGURES, is_over
from api.runtime.clock import Clock
from domain.kernel.values import local_date
from projections.engine.answer import Moment
from tests.addresses import Patient
from tests.pages.conftest import House, customer, launch
from tests.pages.test_campaigns import hidden
from tests.pages.test_guards import DESK, OWN
from tests.pages.test_words import templates
from tests.patience import PATIENCE_S

DAY = timedelta(days=1)
FIRST = local_date(Clock().now()) + DAY
BEHIND = FIRST + 100 * DAY


@pytest.fixture(scope="module")
def branch(house: House) -> House:
    """With a customer who is bound, and a campaign."""
    house.tell(
        *customer("worded-1", 500, phone="13700000077"),
        *customer("worded-2", 500),
        {
            "command": "binding.start",
            "member_id": "worded-1",
            "policy": "handset",
            "starts_on": FIRST.isoformat(),
            "ends_on": BEHIND.isoformat(),
        },
        launch("worded", title="预存有礼"),
    )
    house.settle()
    return house


@pytest.fixture
def pages(branch: House) -> Iterator[httpx.Client]:
    """A client of its server, in Chinese."""
    with Patient(base_url=branch.address, headers=OWN, timeout=PATIENCE_S) as client:
        yield client


def test_a_binding_lasts_until_its_last_day_and_not_the_one_behind_it(
    pages: httpx.Client, branch: House
) -> None:
    shown = pages.post(f"{DESK}/card", data={"said": "worded-1"}).text
    assert (BEHIND - DAY).isoformat() in shown
    assert BEHIND.isoformat() not in shown
    tried = pages.post("/campaigns/worded/customer", data={"said": "worded-2"}).text
    done = pages.post("/campaigns/worded/enrolments", data=hidden(tried)).text
    branch.settle()
    (bound,) = branch.ask("/members/worded-2")["bindings"]
    last = date.fromisoformat(bound["ends_on"]) - DAY
    for each in (tried, done):
        assert last.isoformat() in each
        assert bound["ends_on"] not in each


def test_no_template_shows_the_day_behind_the_last_as_the_last() -> None:
    shown = re.compile(r"\w+\.(?:ends_on|ended_on)\b(?! \| last_of| > today|\W*%})")
    assert shown.search("{{ bound.ends_on }}")
    assert not {name for name, text in templates().items() if shown.search(text)}


def test_a_receipt_says_what_things_are_called(pages: httpx.Client) -> None:
    card = pages.post(f"{DESK}/card", data={"said": "worded-1"}).text
    (form,) = (each for each in card.split("<form") if 'value="cup"' in each)
    receipt = pages.post(f"{DESK}/visits", data=hidden(form)).text
    assert "清茶" in receipt
    assert "cup" not in receipt
    tried = pages.post("/campaigns/worded/customer", data={"said": "worded-1"}).text
    done = pages.post("/campaigns/worded/enrolments", data=hidden(tried)).text
    assert "预存有礼" in done
    said = {"key": "k-worded", "club_id": "tea", "service_id": "cup", "title": "x", "points": "7"}
    shown = pages.post("/administration/commands/service.price/try", data=said).text
    assert "茶室 · tea" in shown
    assert "清茶 · cup" in shown


@pytest.mark.parametrize(
    ("at", "over"),
    [
        ("2031-03-04T15:59:59.999999+00:00", True),
        ("2031-03-04T15:59:00+00:00", False),
        ("2031-03-05T00:00:00+00:00", True),
    ],
)
def test_a_day_is_over_when_it_is_over_in_the_programmes_zone(at: str, over: bool) -> None:
    instant, day = datetime.fromisoformat(at), date(2031, 3, 4)
    assert is_over(instant, day) is over
    late = datetime(2040, 1, 1, tzinfo=UTC)
    assert is_over(late, day, Moment(known_at=late, effective_at=instant, positions=())) is over


def test_figures_of_today_say_that_it_is_not_over(pages: httpx.Client) -> None:
    at = f"{FIGURES}/measures/members.vips"
    assert "当天未结束" in pages.get(at).text
    past = pages.get(f"{at}?on=2020-02-01").text
    assert "2020-02-01 日终" in past
    assert "当天未结束" in pages.get("/campaigns").text
