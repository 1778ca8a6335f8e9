"""A clerk at the desk, in a browser, in both languages: from the scan to the receipt, and back."""

import re
from collections.abc import Callable
from functools import partial
from hashlib import sha256

import pytest
from playwright.sync_api import Page, Route, expect

from tests.pages.conftest import PASSWORD, Claimed, House, Visitor, customer
from tests.patience import eventually

DESK = "/desk/tea/d1"


def scan(page: Page, *said: str) -> None:
    """Type each and press Enter, as a scanner's burst does: no box is looked for."""
    for each in said:
        page.keyboard.type(each)
        page.keyboard.press("Enter")


def at_once(page: Page, *said: str) -> None:
    """The same in one go: nothing comes back between them, however fast or slow it is."""
    page.evaluate(
        """said => said.forEach((each) => {
            document.querySelector("#box").value = each;
            document.querySelector("#scan").requestSubmit();
        })""",
        [*said],
    )


def wide(text: str) -> str:
    """As a keyboard in full width writes it."""
    return "".join(chr(ord(each) + 0xFEE0) for each in text)


def seated(visitor: Visitor, house: House, *said: tuple[str, int]) -> Page:
    """The desk's page, once these customers have so many points."""
    house.customers(*said)
    visitor.page.goto(DESK)
    return visitor.page


def points(before: int, after: int) -> re.Pattern[str]:
    """A receipt says both."""
    return re.compile(f"{before:,} → {after:,}")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A customer's id that no other test has."""
    kept = sha256(request.node.name.encode()).hexdigest()
    return f"c{kept[:12]}"


def test_two_keystrokes_after_the_scan_there_is_a_receipt_and_the_undo_stays(
    visitor: Visitor, house: House, name: str
) -> None:
    page = seated(visitor, house, (name, 500))
    visitor.fits()
    scan(page, name)
    expect(page.locator(".card .large dd")).to_have_text("500")
    expect(page.locator(".card .tier")).to_have_text(re.compile("^(金卡|Gold)$"))
    visitor.accessible()
    page.keyboard.type("1")
    page.keyboard.press("Enter")
    receipt = page.locator("#receipts .receipt")
    expect(receipt).to_contain_text(points(500, 300))
    expect(receipt.locator(".on-paper")).to_have_text(re.compile("茶室.*d1"))
    expect(receipt.locator(".on-paper")).to_be_hidden()
    expect(page.locator("#card .card")).to_have_count(0)
    expect(page.locator("#today")).to_contain_text(name)
    visitor.accessible()
    scan(page, "-")
    expect(receipt).to_have_class(re.compile("undone"))
    expect(page.locator("#today .undone").first).to_contain_text(name)
    visitor.accessible()
    assert house.spendable(name) == 500
    expect(page.locator("#box")).to_be_focused()


def test_a_visit_twice_is_asked_about_and_a_button_pressed_twice_is_not(
    visitor: Visitor, house: House, name: str
) -> None:
    page = seated(visitor, house, (name, 1000))
    scan(page, name, "+2")
    expect(page.locator(".card output")).to_have_text("2")
    page.locator("[data-key='1']").dblclick()
    expect(page.locator("#receipts .receipt")).to_contain_text(points(1000, 700))
    at_once(page, name, "1")  # before there is a question it cannot be answered
    expect(page.locator(".question").first).to_be_visible()
    visitor.accessible()
    scan(page, "1")
    expect(page.locator("#receipts .receipt").first).to_contain_text(points(700, 500))
    expect(page.locator("#receipts .receipt")).to_have_count(2)
    assert house.spendable(name) == 500


def test_what_is_pressed_faster_than_the_list_of_today_comes_is_in_it(
    visitor: Visitor, house: House, name: str
) -> None:
    those = [f"{name}-{n}" for n in range(4)]
    page = seated(visitor, house, *((each, 300) for each in those))
    held: list[Route] = []

    def hold(asked: Route) -> None:
        held.append(asked)

    page.route("**/today?*", hold)
    for n, each in enumerate(those):
        scan(page, each)
        expect(page.locator(".card")).to_contain_text(each)
        scan(page, "1")
        expect(page.locator("#receipts .receipt")).to_have_count(n + 1)
    page.unroute("**/today?*", hold)  # which lets those go that it holds
    for each in those:
        expect(page.locator("#today")).to_contain_text(each)
    behind = "performance.getEntriesByType('resource').filter((e) => e.name.includes('wait_for'))"
    assert eventually(lambda: page.evaluate(f"{behind}.length") == len(those))


def test_a_list_of_today_that_did_not_come_is_asked_for_again(
    visitor: Visitor, house: House, name: str
) -> None:
    page = seated(visitor, house, (name, 300))
    later = [partial(Route.fulfill, status=status) for status in (502, 503, 504)]
    lost: list[Callable[[Route], None]] = [Route.abort, *later]

    def lose(asked: Route) -> None:
        lost.pop()(asked) if lost else asked.continue_()

    page.route("**/today?*", lose)
    scan(page, name)
    expect(page.locator(".card")).to_contain_text(name)
    scan(page, "1")
    expect(page.locator("#receipts .receipt")).to_have_count(1)
    scan(page, "-")  # which its own list follows
    expect(page.locator("#receipts .undone")).to_have_count(1)
    expect(page.locator("#today .undone").filter(has_text=name)).to_have_count(1)
    assert not lost
    visitor.wrong.clear()  # the browser itself told of the requests that failed


def test_a_free_visit_says_so_and_a_refusal_what_to_do(
    visitor: Visitor, house: House, name: str
) -> None:
    page = seated(visitor, house, (name, 100), (f"{name}-2", 300))
    scan(page, "nobody-has-this")
    expect(page.locator("#problem [data-code=unknown_member]")).to_be_visible()
    visitor.accessible()
    scan(page, name)
    expect(page.locator(".card [data-code=not_enough_points]")).to_contain_text("200")
    expect(page.locator("#problem [data-code]")).to_have_count(0)
    scan(page, "1")  # what is not possible has no number
    expect(page.locator("#receipts .receipt")).to_contain_text(points(100, 100))
    scan(page, name, "+1")
    expect(page.locator(".card output")).to_have_text("1")
    fewer = re.compile("同行|companions")
    expect(page.locator(".card [data-code=not_enough_points]").first).to_contain_text(fewer)
    scan(page, "+0")
    expect(page.locator(".card [data-code=not_enough_points]").first).not_to_contain_text(fewer)
    expect(page.locator("[data-key]")).to_have_count(0)
    scan(page, "1")
    expect(page.locator("#problem [role=alert]")).to_be_visible()
    scan(page, wide(f"{name}-2".upper()))  # and a card of which nothing can come gives way
    expect(page.locator(".card header")).to_contain_text(f"{name}-2")
    expect(page.locator("#waiting")).to_be_hidden()


def test_more_letters_narrow_a_list_of_names_at_once(
    visitor: Visitor, house: House, name: str
) -> None:
    first, read = {"zh": ("上官", "shangguan"), "en": ("司徒", "situ")}[visitor.language]
    for n, called in enumerate((f"{first}婉儿", f"{first}婉容", f"{first[0]}公")):
        house.tell(*customer(f"{name}-{n}", 300, name=called))
    house.settle()
    page = visitor.page
    page.goto(DESK)
    scan(page, read[0])
    expect(page.locator(f"#card [value='{name}-2']")).to_be_attached()
    scan(page, read)
    expect(page.locator(f"#card [value='{name}-2']")).to_have_count(0)
    expect(page.locator(f"#card [value='{name}-1']")).to_be_attached()
    at_once(page, f"{read}w", f"{read}wan")
    expect(page.locator("#waiting")).to_be_hidden()
    scan(page, f"{read}waner")
    expect(page.locator(".card h2")).to_have_text(f"{first}婉儿")


def test_a_burst_of_scans_loses_none(visitor: Visitor, house: House, name: str) -> None:
    those = [f"{name}-{n}" for n in range(3)]
    page = seated(visitor, house, *((each, 300) for each in those))
    scan(page, *those)
    expect(page.locator("#waiting li")).to_have_count(2)
    visitor.accessible()
    for each in those:
        expect(page.locator(".card")).to_contain_text(each)
        scan(page, "1")
    expect(page.locator("#receipts .receipt")).to_have_count(3)
    assert [house.spendable(each) for each in those] == [100, 100, 100]


def test_without_a_network_scans_wait_and_no_points_are_debited(
    visitor: Visitor, house: House, name: str
) -> None:
    page = seated(visitor, house, (name, 300))
    visitor.context.set_offline(True)
    expect(page.locator("#offline")).to_be_visible()
    scan(page, name)
    expect(page.locator("#waiting li")).to_have_text(name)
    visitor.context.set_offline(False)
    expect(page.locator(".card")).to_contain_text(name)
    expect(page.locator("#offline")).to_be_hidden()
    visitor.context.set_offline(True)
    scan(page, "1")
    expect(page.locator("#problem [role=alert]")).to_be_visible()
    visitor.wrong.clear()  # the browser itself told of the request that failed
    visitor.context.set_offline(False)
    scan(page, "1")
    expect(page.locator("#receipts .receipt")).to_contain_text(points(300, 100))


def test_an_emergency_is_declared_seen_and_ended(visitor: Visitor, house: House, name: str) -> None:
    house.tell(*customer(name, 300)[:1])
    house.settle()
    page = visitor.page
    page.goto(DESK)
    scan(page, name)
    not_eligible, above = page.locator(".card [data-code=not_eligible]"), re.compile("上方|above")
    expect(not_eligible).not_to_contain_text(above)
    page.locator(".declare summary").click()
    page.locator(".declare [name=reason]").fill("大雪")
    visitor.accessible()
    page.locator(".declare button").click()
    expect(page.locator(".emergency strong")).to_be_visible()
    visitor.accessible()
    scan(page, name)
    expect(not_eligible).to_contain_text(above)
    people = {"zh": 3, "en": 4}[visitor.language]  # both may meet at one desk
    page.locator("[name=people]").fill(str(people))
    told = re.compile(f"应急接待 {people} 人|{people} admitted in")
    listed = page.locator("#today li").filter(has_text=told)
    for n in (1, 2):
        twice = "each => [1, 2].forEach(() => each.requestSubmit())"
        page.locator(".emergency form[hx-post$=admissions]").evaluate(twice)
        expect(page.locator("#receipts .receipt")).to_have_count(n)
        expect(listed).to_have_count(n)
    listed.first.locator("button").click()
    expect(listed.first).to_have_class(re.compile("undone"))
    expect(listed.first.locator("button")).to_have_count(0)
    expect(listed.nth(1).locator("button")).to_have_count(1)
    visitor.fits()
    page.locator(".emergency form[hx-post$=end] button").click()
    expect(page.locator(".emergency")).to_have_count(0)


def test_a_desk_is_found_and_a_page_keeps_its_language_and_theme(visitor: Visitor) -> None:
    page = visitor.page
    page.goto("/desk")
    visitor.accessible()
    before = page.locator("h1").inner_text()
    page.locator("[name=language]").click()
    expect(page.locator("h1")).not_to_have_text(before)
    page.locator("[name=theme]:visible").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    visitor.accessible()
    expect(page.locator(".opening :focus")).to_have_count(1)
    page.locator("[name=club_id]").select_option("tea")
    page.locator("[name=desk]").fill("d1")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"{DESK}$"))
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    visitor.accessible()


def test_who_is_not_signed_in_is_asked_first_and_comes_back_to_his_desk(
    visitor: Visitor, claimed: Claimed
) -> None:
    page = visitor.page
    page.goto(claimed.address + DESK)
    expect(page).to_have_url(re.compile("/sign-in"))
    visitor.accessible()
    page.locator("[name=user_id]").fill("li")
    page.locator("[name=password]").fill("not the one it is")
    page.keyboard.press("Enter")
    expect(page.locator("#problem [data-code=sign_in_refused]")).to_be_visible()
    page.locator("[name=password]").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(f"{DESK}$"))
    visitor.accessible()
    scan(page, "nobody-has-this")
    expect(page.locator("#problem [data-code=unknown_member]")).to_be_visible()
    page.locator("form[hx-post='/sign-out'] button").click()
    expect(page).to_have_url(re.compile("/sign-in"))


def test_an_undo_is_offered_until_it_would_be_refused(
    visitor: Visitor, house: House, name: str
) -> None:
    page = seated(visitor, house, (name, 500))
    scan(page, name)
    expect(page.locator(".card .large dd")).to_have_text("500")
    scan(page, "1")
    undo = page.locator("#receipts [data-undo]")
    expect(undo).to_have_text(re.compile(r"\d\d:\d\d"))
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 16 * 60_000; }")
    expect(undo).to_have_count(0)
    expect(page.locator("#receipts")).to_contain_text(re.compile("请主管撤销|ask a supervisor"))
    visitor.accessible()
