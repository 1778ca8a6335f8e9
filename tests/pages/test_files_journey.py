"""Somebody brings a file in a browser, in both languages: proposed, checked, taken in, mended."""

import re
from pathlib import Path

from playwright.sync_api import FilePayload, expect

from api.http.pages import words
from tests.pages.conftest import House, Visitor

BASE = "/files"


def test_a_file_is_brought_checked_taken_in_and_what_was_rejected_is_mended(
    visitor: Visitor, house: House
) -> None:
    page, language = visitor.page, visitor.language
    lines = "会员号,姓名,网点,入网日期\n" + "".join(
        f"filed-{language}-{n},<b>李</b>,{unit},2021-03-04\n"
        for n, unit in enumerate(["east", "elsewhere"])
    )
    content = lines + "\n" * 70_000  # longer than a part may be
    sent = FilePayload(name="customers.csv", mimeType="text/csv", buffer=content.encode())
    page.goto(BASE)
    visitor.fits()
    page.locator("#chosen").set_input_files(sent)
    page.locator("[data-step=guess]").click()
    expect(page.locator("#job [data-state=succeeded]")).to_be_visible()
    expect(page.locator("#mapping")).to_have_value(re.compile("member.join"))
    page.locator("[data-step=check]").click()
    expect(page.locator("#job [data-facts]")).to_have_text("1")
    expect(page.locator("#job [data-code=unknown_unit]")).to_contain_text(
        words.words()["mends"]["unknown_unit"][words.LANGUAGES.index(visitor.language)]
    )
    visitor.fits()
    assert house.ask(f"/members/filed-{language}-0")["code"] == "unknown_member"
    page.locator("[data-step=import]").click()
    expect(page.locator("#job [data-step=import]")).to_have_count(0)
    expect(page.locator("#job [data-facts]")).to_have_text("1")
    visitor.fits()
    house.settle()
    assert house.ask(f"/members/filed-{language}-0")["unit_id"] == "east"

    with page.expect_download() as kept:
        page.locator("#job a", has_text="customers.csv").click()
    rejects = Path(kept.value.path()).read_text("utf-8-sig")
    assert f"filed-{language}-1" in rejects
    mended = rejects.replace("elsewhere", "east").encode()
    sent = FilePayload(name="customers.csv", mimeType="text/csv", buffer=mended)
    page.locator("#chosen").set_input_files(sent)
    expect(page.locator("#job")).to_be_empty()
    page.locator("[data-step=check]").click()
    expect(page.locator("#job [data-facts]")).to_have_text("1")
    expect(page.locator("#job [data-rejected]")).to_have_text("0")
    page.locator("[data-step=import]").click()
    expect(page.locator("#job [data-step=import]")).to_have_count(0)
    job_id = page.locator("#job [data-job]").get_attribute("data-job")
    listed = page.locator("#jobs tr", has=page.locator(f"a[href$='{job_id}']"))
    done = words.words()["names"]["state:succeeded"][words.LANGUAGES.index(visitor.language)]
    expect(listed).to_contain_text(done)  # without a reload
    visitor.fits()
    listed.locator("a").click()
    expect(page.locator("[data-facts]")).to_have_text("1")
    visitor.fits()
