"""Input that nobody means well with: refused as a problem, never repeated, never a 500."""

import gzip
import json
import socket
import zlib
from typing import Any

import httpx
import pytest

from tests.api.running import Server
from tests.patience import PATIENCE_S

GOOD = {"club_id": "health", "service_id": "x", "desk": "d1", "shown_points": 1}
PATH = "/members/nobody-here/visits"


def post(http: httpx.Client, content: bytes | str, **headers: str) -> httpx.Response:
    known = {"Idempotency-Key": "hostile-1", "Content-Type": "application/json", **headers}
    return http.post(PATH, content=content, headers=known)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"\x00",
        b"[" * 20_000,
        b'{"a":' * 5_000,
        b'{"shown_points": 1' + b"0" * 5_000 + b"}",
        b'{"desk": "\\ud800"}',
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        b'{"__proto__": {}}',
    ],
)
def test_a_body_that_is_no_request_is_refused(http: httpx.Client, content: bytes) -> None:
    answer = post(http, content)
    assert answer.status_code in (400, 422)
    assert answer.json()["code"] in ("malformed", "invalid")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("club_id", "a:b"),
        ("club_id", "x" * 65),
        ("club_id", "nul\x00byte"),
        ("club_id", "line\nbreak"),
        ("club_id", "俱乐部"),
        ("club_id", "health\n"),
        ("club_id", 7),
        ("club_id", None),
        ("club_id", ["health"]),
        ("desk", "'; DROP TABLE stored_events; --"),
        ("shown_points", -1),
        ("shown_points", 1.5),
        ("shown_points", True),
        ("shown_points", "10"),
        ("shown_points", 10**30),
        ("companions", 51),
        ("payment", "later"),
        ("confirm_repeat", "yes"),
    ],
)
def test_a_field_out_of_shape_is_named_and_its_value_is_not_repeated(
    http: httpx.Client, field: str, value: Any
) -> None:
    answer = post(http, json.dumps({**GOOD, field: value}))
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "invalid")
    assert f"body.{field}" in [each["field"] for each in told["errors"]]
    if isinstance(value, str) and len(value) > 5:
        assert value not in answer.text


@pytest.mark.parametrize("sent", ["application/json", "application/json; charset=utf-8"])
@pytest.mark.parametrize(
    "content",
    [
        b'{"club_id": "health", "service_id": "x", "desk": "d1", "shown_points": 1, "desk": "d2"}',
        b'{"club_id": "health", "service_id": "x", "desk" : "d1", "desk": "d1", "shown_points": 1}',
        b'{"club_id": "health", "service_id": "x", "desk": "d1", "\\u0064esk": "d1"}',
        b'{"club_id": "health", "service_id": {"a": 1, "a": 1}, "desk": "d1", "shown_points": 1}',
        json.dumps(GOOD).encode("utf-16"),
        json.dumps(GOOD).encode("utf-32-le"),
        json.dumps({**GOOD, "desk": "é"}, ensure_ascii=False).encode("latin-1"),
    ],
)
def test_what_readers_read_differently_is_refused(
    http: httpx.Client, content: bytes, sent: str
) -> None:
    """A key that stands twice, and an encoding that is not UTF-8; in both lanes."""
    answer = post(http, content, **{"Content-Type": sent})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize("path", ["/what-if", "/members/lookup", "/campaigns/none/enrolments"])
def test_a_key_that_stands_twice_is_refused_everywhere(http: httpx.Client, path: str) -> None:
    headers = {"Idempotency-Key": "hostile-twice", "Content-Type": "application/json"}
    answer = http.post(path, content=b'{"phone": "1", "phone": "1"}', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


@pytest.mark.parametrize("charset", ["gbk", "utf-16", "latin-1"])
def test_another_encoding_is_refused_by_its_name(http: httpx.Client, charset: str) -> None:
    sent = f"application/json; charset={charset}"
    answer = post(http, json.dumps(GOOD), **{"Content-Type": sent})
    assert (answer.status_code, answer.json()["code"]) == (415, "not_json")


@pytest.mark.parametrize("name", ["actor", "tier", "13800001111", "王小明", "desk.138"])
def test_a_field_that_is_none_is_told_by_its_place(http: httpx.Client, name: str) -> None:
    answer = post(http, json.dumps({**GOOD, name: "diamond"}))
    told = answer.json()["errors"]
    assert [(each["field"], each["code"]) for each in told] == [("body.[4]", "extra_forbidden")]
    assert name not in answer.text


@pytest.mark.parametrize("sent", ["application/json", "application/json; charset=utf-8"])
def test_a_whole_number_is_whole_however_it_is_written(http: httpx.Client, sent: str) -> None:
    """JSON knows one kind of number, and by the schema 1.0 is an integer."""
    content = json.dumps({**GOOD, "shown_points": 1.0, "companions": 0.0})
    answer = post(http, content, **{"Content-Type": sent})
    assert answer.json()["code"] == "unknown_member"


@pytest.mark.parametrize("literal", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_refused(http: httpx.Client, literal: str) -> None:
    content = json.dumps(GOOD).replace(": 1}", f": {literal}}}")
    assert post(http, content).status_code in (400, 422)


def test_a_phone_number_that_is_none_is_not_repeated(http: httpx.Client) -> None:
    answer = http.post("/members/lookup", json={"phone": "1380000ABCD"})
    assert answer.status_code == 422
    assert "1380000ABCD" not in answer.text


@pytest.mark.parametrize("path", ["/members/a%00b", "/members/%0a", "/members/a%3Ab", "/members/%"])
def test_an_id_out_of_shape_is_refused(http: httpx.Client, path: str) -> None:
    assert http.get(path).status_code == 422


@pytest.mark.parametrize(
    "query",
    ["after=-1", "after=x", "after=99999999999999999999999", "limit=0", "limit=1001", "bucket=64"],
)
def test_a_page_out_of_range_is_refused(http: httpx.Client, query: str) -> None:
    assert http.get(f"/events?{query}").status_code == 422


@pytest.mark.parametrize(
    ("address", "field", "code"),
    [
        ("/figures?known-at=2008-12-31", "query.[0]", "unknown_parameter"),
        ("/clubs?known_at=2008-12-31", "query.[0]", "unknown_parameter"),
        ("/figures?known_at=2008-12-31&known_at=0:9", "query.known_at", "repeated_parameter"),
        ("/events?limit=1&limit=1", "query.limit", "repeated_parameter"),
        ("/figures?KNOWN_AT=2008-12-31", "query.[0]", "unknown_parameter"),
        ("/members/t1?13800001111=1", "query.[0]", "unknown_parameter"),
        ("/openapi.json?x=1", "query.[0]", "unknown_parameter"),
        ("/livez?deep=1", "query.[0]", "unknown_parameter"),
    ],
)
def test_a_parameter_that_would_be_left_out_is_refused(
    http: httpx.Client, address: str, field: str, code: str
) -> None:
    answer = http.get(address)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert [(each["field"], each["code"]) for each in answer.json()["errors"]] == [(field, code)]
    assert "13800001111" not in answer.text


@pytest.mark.parametrize("path", ["/clubs/health/use", "/measures/visits.count"])
def test_a_parameter_that_holds_several_takes_commas_and_may_be_repeated(
    http: httpx.Client, path: str
) -> None:
    said, again = http.get(f"{path}?by=service_id,tier"), http.get(f"{path}?by=service_id&by=tier")
    assert (said.status_code, said.json()) == (200, again.json())
    assert http.get(f"{path}?by=service_id,").json()["code"] == "invalid"


def test_a_write_takes_no_parameters(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "hostile-query"}
    answer = http.post(f"{PATH}?shown_points=1", json=GOOD, headers=headers)
    assert answer.json()["errors"][0]["field"] == "query.[0]"


def test_a_write_without_a_key_is_refused(http: httpx.Client) -> None:
    answer = http.post(PATH, json=GOOD)
    assert (answer.status_code, answer.json()["code"]) == (400, "key_missing")


SENT = pytest.mark.parametrize("sent", ["application/json", "application/json; charset=utf-8"])
"""By the express lane, and by the routes."""


@SENT
@pytest.mark.parametrize("key", ["-", "", "\u00a0", "\u00a0-"])
def test_no_key_is_no_key_however_it_is_spelled(http: httpx.Client, sent: str, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1")), (b"Content-Type", sent.encode())]
    answer = http.post(PATH, content=json.dumps(GOOD), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "key_missing")


@SENT
@pytest.mark.parametrize("key", ["file:x", "due:expiry:member:m1:1:2008-07-01", "\u00a0file:x"])
def test_a_key_that_is_ours_is_refused(http: httpx.Client, sent: str, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1")), (b"Content-Type", sent.encode())]
    answer = http.post(PATH, content=json.dumps(GOOD), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (422, "key_reserved")
    assert answer.json()["begins"] in ("file:", "due:")


@pytest.mark.parametrize("day", ["9999-12-31", "0001-01-01", "2500-01-01"])
@pytest.mark.parametrize(
    "path", ["/campaigns/golden_autumn?until=", "/clubs/health/use?from=", "/clubs/health/use?to="]
)
def test_a_day_out_of_range_is_refused(http: httpx.Client, path: str, day: str) -> None:
    answer = http.get(f"{path}{day}")
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    name = path.rpartition("?")[2].removesuffix("=")
    assert answer.json()["errors"][0]["field"] == f"query.{name}"


@pytest.mark.parametrize("key", ["two words", "x" * 129, "é"])
def test_a_key_out_of_shape_is_refused(http: httpx.Client, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode("latin-1"))]
    answer = http.post(PATH, json=GOOD, headers=headers)
    assert answer.status_code in (400, 422)


@pytest.mark.parametrize("actor", ["root", "Clerk:li", "clerk:", ":li", "clerk:li li"])
def test_an_actor_out_of_shape_is_refused(http: httpx.Client, actor: str) -> None:
    answer = post(http, json.dumps(GOOD), **{"Clubledger-Actor": actor})
    assert answer.json()["errors"][0]["field"] == "header.Clubledger-Actor"


def test_a_long_body_is_refused_told_or_untold(http: httpx.Client) -> None:
    long = b'{"desk": "' + b"x" * 70_000 + b'"}'
    told = post(http, long)

    def chunks() -> Any:
        for start in range(0, len(long), 8_000):
            yield long[start : start + 8_000]

    headers = {"Idempotency-Key": "hostile-2", "Content-Type": "application/json"}
    untold = http.post(PATH, content=chunks(), headers=headers)
    assert [(each.status_code, each.json()["code"]) for each in (told, untold)] == [
        (413, "too_large")
    ] * 2


@pytest.mark.parametrize("sent", ["text/plain", "application/x-www-form-urlencoded", "text/xml"])
def test_only_json_is_taken(http: httpx.Client, sent: str) -> None:
    answer = post(http, json.dumps(GOOD), **{"Content-Type": sent})
    assert (answer.status_code, answer.json()["code"]) == (415, "not_json")


BOMB = gzip.compress(b"0" * 60_000_000)
assert len(BOMB) < 64_000, "it is no longer than a body may be"


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        (PATH, "application/json"),  # the express lane
        (PATH, "application/json; charset=utf-8"),
        ("/commands", "application/json"),
        ("/files/0123456789abcdef/parts", "application/octet-stream"),
        ("/sign-in", "application/x-www-form-urlencoded"),
    ],
)
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "deflate", "br", "identity, gzip"])
def test_what_is_compressed_is_refused_and_never_opened(
    http: httpx.Client, path: str, sent: str, coding: str
) -> None:
    said = json.dumps(GOOD).encode()
    whole = {"gzip": gzip.compress(said), "deflate": zlib.compress(said), "br": said}
    for content in (whole.get(coding, BOMB), BOMB):
        headers = {"Idempotency-Key": "bomb", "Content-Type": sent, "Content-Encoding": coding}
        answer = http.post(path, content=content, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (415, "coding_not_taken")
    plain = http.post(PATH, json=GOOD, headers={"Idempotency-Key": "b", "Content-Encoding": ""})
    assert plain.json()["code"] == "unknown_member"


@pytest.mark.parametrize("begins", [b"[", b'{"a":', b'{"commands":[', b'{"changes":['])
@pytest.mark.parametrize(
    "path", [PATH, "/commands", "/what-if", "/members/lookup", "/jobs", "/clubs", "/session"]
)
def test_a_body_however_deep_is_refused(http: httpx.Client, path: str, begins: bytes) -> None:
    """What ends in itself and what never ends, in as many bytes as a body may have."""
    ends = {b"[": b"]", b'{"a":': b"}"}.get(begins, b"]}")
    for deep, inside in ((101, b"1"), (60_000 // (len(begins) + len(ends)), b"1"), (10_000, b"")):
        content = begins * deep + inside + (ends * deep if inside else b"")
        headers = {"Idempotency-Key": "deep", "Content-Type": "application/json"}
        answer = http.post(path, content=content[:65_000], headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed"), answer.text


def test_unknown_addresses_and_methods(http: httpx.Client) -> None:
    for path in ("/nowhere", "/members/", "/redoc", "/members/t1/visits/"):
        answer = http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    answer = http.delete("/members/t1")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert "GET" in answer.headers["allow"]
    assert http.get("/problems/none").json()["code"] == "unknown_problem"


def test_answers_are_not_kept_by_caches(http: httpx.Client) -> None:
    answer = http.get("/members/t1")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "server" not in answer.headers


def test_what_is_no_http_does_no_harm(server: Server, http: httpx.Client) -> None:
    address = httpx.URL(server.address)
    place = (address.host, address.port or 80)
    for noise in (b"\x16\x03\x01\x02\x00", b"GET / HTTP/9.9\r\n\r\n", b"GET /" + b"x" * 100_000):
        with socket.create_connection(place, timeout=PATIENCE_S) as line:
            line.sendall(noise)
    assert http.get("/livez").status_code == 200


@pytest.mark.parametrize("wrong", ["known-at", "KNOWN_AT", "knwon_at"])
def test_what_a_mistyped_parameter_may_mean_is_told(http: httpx.Client, wrong: str) -> None:
    (error,) = http.get("/figures", params={wrong: "2008-12-31"}).json()["errors"]
    assert error["detail"] == ("This address takes no such parameter: perhaps `known_at` is meant.")
    (other,) = http.get("/figures", params={"13800001111": "1"}).json()["errors"]
    assert other["detail"] == "This address takes no such parameter."
