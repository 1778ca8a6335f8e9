"""A campaigner at his pages, in a browser, in both languages: one customer, then a file of them."""

import re

from playwright.sync_api import FilePayload, expect

from tests.pages.conftest import House, Visitor, customer, launch

BASE = "/campaigns"


def test_a_customer_is_looked_at_enrolled_and_taken_back_and_a_file_is_enrolled_once(
    visitor: Visitor, house: House
) -> None:
    page = visitor.page
    tongue = page.evaluate("navigator.language")[:2]
    campaign, those = f"journey-{tongue}", [f"j-{tongue}-{n}" for n in range(3)]
    opened = [each for one in those for each in customer(one, 1)]
    house.tell(launch(campaign, cap=20, budget_fen=100_000_00), *opened)
    house.settle()
    page.goto(BASE)
    visitor.accessible()
    visitor.fits()
    page.locator(f"a[href='{BASE}/{campaign}']").click()
    visitor.accessible()
    visitor.fits()

    page.locator("[name=said]").fill(those[0])
    page.keyboard.press("Enter")
    expect(page.locator("#answer .answer")).to_be_visible()
    visitor.accessible()
    page.locator("[name=said]").fill("nobody-has-this")
    page.keyboard.press("Enter")
    expect(page.locator("#problem [data-code=unknown_member]")).to_be_visible()
    expect(page.locator("#answer")).to_be_empty()  # nobody is enrolled for somebody else
    visitor.context.set_offline(True)
    page.locator("[name=said]").fill(those[0])
    page.keyboard.press("Enter")
    expect(page.locator("#problem [role=alert]:not([data-code])")).to_be_visible()
    visitor.context.set_offline(False)
    visitor.wrong.clear()  # the browser itself told of the request that failed
    page.locator("[name=said]").press("Enter")
    expect(page.locator("#answer .answer")).to_be_visible()
    expect(page.locator("#problem")).to_be_empty()
    page.locator("#answer button.main").click()
    receipt = page.locator("#receipts .receipt")
    expect(receipt).to_contain_text(those[0])
    expect(page.locator("#answer")).to_be_empty()
    expect(page.locator("#progress")).to_contain_text("1 / 20")
    visitor.accessible()
    receipt.locator("summary").click()
    receipt.locator("[name=reason]").fill("wrong customer")
    receipt.locator(".danger").click()
    expect(page.locator("#receipts .undone")).to_contain_text(those[0])
    expect(page.locator("#progress")).to_contain_text("0 / 20")

    page.locator(f"a[href$='{campaign}/file']").click()
    lines = "会员号,预存\n" + "".join(f"{each},600\n" for each in [*those, "nobody"])
    sent = FilePayload(name="list.csv", mimeType="text/csv", buffer=lines.encode("gb18030"))
    for enrolled, before in ((3, 0), (0, 3)):
        page.locator("[type=file]").set_input_files(sent)
        expect(page.locator("#lines")).to_have_value(re.compile("nobody"))
        page.locator("form.file button.main").click()
        expect(page.locator("#answer .large dd").first).to_have_text(str(enrolled))
        visitor.accessible()
        visitor.fits()
        expect(page.locator("[data-code=unknown_member]")).to_contain_text("nobody")
        if enrolled:
            page.locator("#answer button.main").click()
            expect(page.locator("#answer button.main")).to_have_count(0)
            page.locator("#answer summary").click()
            with page.expect_download() as kept:
                page.locator("[data-save]").click()
            assert kept.value.suggested_filename == "results.csv"
            page.reload()
        else:
            expect(page.locator("#answer .facts")).to_contain_text(str(before))
            expect(page.locator("#answer button.main")).to_have_count(0)
    house.settle()
    assert house.ask(f"/campaigns/{campaign}")["participants"] == 3

    page.goto(f"{BASE}/-/bindings")
    visitor.accessible()
    visitor.fits()
