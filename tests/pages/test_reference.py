"""The reference of the API: every operation and model has its page, and every link of it leads
somewhere."""

import re

from api.runtime import problems
from tests.addresses import Patient
from tests.api.contract import promised
from tests.pages.conftest import House
from tests.pages.test_guards import code_of
from tests.patience import PATIENCE_S


def test_the_reference_is_whole_and_its_links_lead_somewhere(house: House) -> None:
    document = promised().document
    operations = [each for path in document["paths"].values() for each in path.values()]
    wanted = {f"/docs/operations/{each['operationId']}" for each in operations}
    wanted |= {f"/docs/models/{name}" for name in document["components"]["schemas"]}
    met, todo, codes = {"/docs"}, ["/docs"], set[str]()
    headers = {"Accept-Language": "en"}
    with Patient(base_url=house.address, timeout=PATIENCE_S, headers=headers) as client:
        while todo:
            answer = client.get(at := todo.pop())
            assert answer.status_code == 200, at
            assert "default-src 'self';" in answer.headers["content-security-policy"]
            codes |= {*re.findall(r'href="/problems/(\w+)"', answer.text)}
            found = {*re.findall(r'href="(/docs/\w+/\w+)"', answer.text)} - met
            met |= found
            todo += found
        visit = client.get("/docs/operations/record_visit").text
        for name in ("operations/none", "models/none", "models/%3Cscript%3E"):
            answer = client.get(f"/docs/{name}")
            assert (answer.status_code, code_of(answer)) in ((404, "not_found"), (422, "invalid"))
    assert wanted <= met, wanted - met
    assert codes <= {*problems.codes()}
    for said in (
        "POST /v1/members/{member_id}/visits",
        "Idempotency-Key",
        "price_changed",
        "tennis",
    ):
        assert said in visit
