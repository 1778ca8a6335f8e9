"""Webhooks: programs elsewhere are told of what they want, signed, in order and at least once; who
fails waits, who fails for long is left; and no name leads into this network."""

import asyncio
import json
import os
import re
import shlex
import signal
import socket
import ssl
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_network
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from jsonschema import Draft7Validator, Draft202012Validator, ValidationError

from api import log
from api.runtime.clock import Clock
from api.webhooks import delivering, message, sending
from api.webhooks.delivering import LONG, REFUSED_TRIES, TRIES, Deliverer, Telling
from docs import generate
from domain.catalogue import CATALOGUE
from domain.kernel.command import Command
from ledger import reading
from ledger import webhooks as kept
from ledger.database import connect, meta
from ledger.embedded import running
from ledger.log.batcher import Ledger
from projections.webhooks import WebhookRow, dead_letters, webhooks
from tests.addresses import Client
from tests.api.receiver import ELSEWHERE, Receiver, certified, receiving, verified
from tests.api.running import REPOSITORY, clubledger, environment, serving, stopped
from tests.domain import usual
from tests.ledger.facts import NOW, command
from tests.patience import PATIENCE_S, SOON_S, eventually
from tests.postgres import KEY

HERE = (ip_network("127.0.0.0/8"),)


def executed(dsn: str, *commands: Command) -> None:
    """Send commands, which are recorded when they come."""

    async def send() -> None:
        async with Ledger(dsn, now=Clock().now) as ledger:
            for each in commands:
                await ledger.execute(each)

    asyncio.run(send())


class Wall:
    """A clock on the wall that a test moves on."""

    def __init__(self) -> None:
        self.now = Clock().now()

    def __call__(self) -> datetime:
        return self.now


@contextmanager
def telling(dsn: str, wall: Callable[[], datetime] | None = None) -> Iterator[Telling]:
    with connect(dsn) as conn:
        yield Telling(conn, HERE, wall or Wall())


def settled(told: Telling) -> None:
    """Until nothing more is to be sent just now."""
    told.look()
    while True:
        more = told.send()
        if told.under_way:
            told.hear(PATIENCE_S)
        elif not more:
            return


def hooked(dsn: str, url: str, **said: Any) -> str:
    """A webhook, whose secret this is."""
    executed(dsn, command("webhook.add", webhook_id="billing", url=url, **said))
    return minted(dsn, 1)


def minted(dsn: str, number: int) -> str:
    with connect(dsn) as conn:
        secret = kept.mint(conn, "billing", number)
        assert kept.mint(conn, "billing", number) is None, "it is shown once"
    assert secret is not None
    return secret


def units(*names: str) -> list[Command]:
    return [command("unit.open", unit_id=name, title=name) for name in names]


def resume(**said: Any) -> Command:
    return command("webhook.resume", webhook_id="billing", **said)


def row(dsn: str) -> WebhookRow:
    with connect(dsn) as conn:
        (found,) = webhooks(conn)
    return found


@pytest.fixture
def dsn(installed: Callable[[int], str]) -> str:
    return installed(1)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


# ------------------------------------------------------------------------------- what is told
def test_each_event_is_told_signed_as_the_log_shows_it(ledger_dsn: str, receiver: Receiver) -> None:
    executed(ledger_dsn, *units("before"))
    secret = hooked(ledger_dsn, receiver.url)
    executed(ledger_dsn, *units(*(f"u{n}" for n in range(9))))
    with telling(ledger_dsn) as told:
        settled(told)
        ledger_id = meta(told._conn)["ledger_id"]
        lanes = {lane.bucket for lane in kept.lanes(told._conn)}
        shown = [
            each
            for lane in lanes
            for each in json.loads(log.log_page(told._conn, lane, 0, 99) or b"")["events"]
            if each["topic"] == "unit.opened" and each["stream"] != "unit:before"
        ]
    came = [(headers, json.loads(body)) for _, headers, body in receiver.came]
    assert len(shown) == len(came) == 9
    assert sorted((each["data"] for _, each in came), key=str) == sorted(shown, key=str)
    for lane in lanes:
        order = [e["data"]["position"] for _, e in came if e["data"]["bucket"] == lane]
        assert order == sorted(order), "each lane in the order of the log"
    for (_, headers, body), (_, event) in zip(receiver.came, came, strict=True):
        assert verified(secret, headers, body)
        assert not verified(secret, headers, body + b" ")
        assert headers["content-type"].startswith("application/cloudevents+json")
        assert (event["specversion"], event["source"]) == ("1.0", f"urn:uuid:{ledger_id}")
        assert event["id"] == headers["webhook-id"]
        assert (event["type"], event["subject"]) == ("unit.opened", event["data"]["stream"])
    with telling(ledger_dsn) as another:
        settled(another)
    assert len(receiver.came) == 9, "how far it was is kept"
    found = row(ledger_dsn)
    assert (found.standing, found.lag, found.taken, found.cause) == ("delivers", 0, 9, "")


def test_only_what_it_wants_is_told_and_again_from_where_it_is_asked(
    dsn: str, receiver: Receiver
) -> None:
    hooked(dsn, receiver.url, topics=("club.opened", "service.priced"), clubs=("lounge",))
    clubs = [
        command("club.open", club_id=club, title=club, opens_on=date(2008, 1, 1), tiers=("gold",))
        for club in ("health", "lounge")
    ]
    executed(dsn, *units("u1"), *clubs)
    with telling(dsn) as told:
        settled(told)
        assert [json.loads(body)["subject"] for *_, body in receiver.came] == ["club:lounge"]
        executed(dsn, resume(after=0), *units("u2"))
        settled(told)
        assert receiver.ids() == [receiver.ids()[0]] * 2
        executed(dsn, command("webhook.remove", webhook_id="billing"))
        settled(told)
    with connect(dsn) as conn:
        assert kept.lanes(conn) == []
        assert kept.secrets_of(conn, "billing", [1]) == []
    assert row(dsn).standing == "removed"


def test_for_a_while_both_secrets_sign(dsn: str, receiver: Receiver) -> None:
    old = hooked(dsn, receiver.url)
    later = (Clock().now() - timedelta(hours=1)).replace(microsecond=0)
    rotate = command("webhook.rotate", webhook_id="billing", overlap_hours=2, at=None)
    executed(dsn, rotate.model_copy(update={"at": later}))
    new = minted(dsn, 2)
    with telling(dsn) as told:
        settled(told)
        _, headers, body = receiver.came[-1]
        assert verified(old, headers, body)
        assert verified(new, headers, body)
        told._clock.offset_s = 2 * 3600
        executed(dsn, *units("u1"))
        settled(told)
        _, headers, body = receiver.came[-1]
        assert not verified(old, headers, body)
        assert verified(new, headers, body)


def test_without_a_secret_nothing_is_sent(dsn: str, receiver: Receiver) -> None:
    """As one has none that came in by a file: nobody was there to be shown it."""
    executed(dsn, command("webhook.add", webhook_id="billing", url=receiver.url), *units("u1"))
    wall = Wall()
    with telling(dsn, wall) as told:
        settled(told)
        assert (receiver.came, row(dsn).standing) == ([], "tries again")
        assert "rotate" in row(dsn).cause
        executed(dsn, command("webhook.rotate", webhook_id="billing"), resume())
        assert verified_by(minted(dsn, 2), told, receiver)


def verified_by(secret: str, told: Telling, receiver: Receiver) -> bool:
    settled(told)
    return bool(receiver.came) and all(verified(secret, *each[1:]) for each in receiver.came)


# ----------------------------------------------------------------------------------- who fails
def test_who_fails_is_tried_again_over_days_and_what_is_given_up_is_a_dead_letter(
    dsn: str, receiver: Receiver
) -> None:
    hooked(dsn, receiver.url, topics=("unit.opened",))
    executed(dsn, *units("u1", "u2"))
    receiver.answers = [500] * TRIES
    wall, pauses = Wall(), list[timedelta]()
    with telling(dsn, wall) as told:
        for tries in range(1, TRIES):
            settled(told)
            settled(told)  # Before it is due nothing is sent, nor what comes behind it.
            assert len(receiver.came) == row(dsn).tries == tries
            due_at = row(dsn).due_at
            assert due_at is not None
            pauses.append(due_at - wall.now)
            wall.now = due_at
        settled(told)
        first, second = dict.fromkeys(receiver.ids())
        assert receiver.ids() == [first] * TRIES + [second], "one id, however often it is sent"
        assert pauses[0] < timedelta(seconds=8)
        assert all(later > sooner for sooner, later in pairwise(pauses[:8]))
        assert sum(pauses, timedelta()) > timedelta(days=1.5)
        (letter,) = dead_letters(told._conn, "billing")
        assert (letter.tries, letter.cause) == (TRIES, "answered 500")
        assert row(dsn).standing == "delivers"
        receiver.answers = [500]
        for left in (1, 0):
            executed(dsn, resume(dead_letters=True))
            settled(told)
            assert len(dead_letters(told._conn, "billing")) == left
        assert receiver.ids()[-2:] == [first, first]


def test_who_says_when_to_come_again_is_left_alone_until_then_within_bounds(
    dsn: str, receiver: Receiver
) -> None:
    hooked(dsn, receiver.url, topics=("unit.opened",))
    executed(dsn, *units("u1"))
    later = format_datetime(Clock().now() + timedelta(hours=2), usegmt=True)
    receiver.answers = [429, 503, 503, 429, 503, 500]
    receiver.retry_after = ["3600", later, "9" * 60, "-5", "soon", "3600"]
    wall, pauses = Wall(), list[timedelta]()
    with telling(dsn, wall) as told:
        for _ in receiver.answers[:]:
            settled(told)
            due_at = row(dsn).due_at
            assert due_at is not None
            pauses.append(due_at - wall.now)
            wall.now = due_at
    assert pauses[0] == timedelta(hours=1)
    assert timedelta(hours=1) < pauses[1] <= timedelta(hours=2)
    assert pauses[2] == timedelta(seconds=delivering.MOST_S)
    usual = [timedelta(seconds=5 * 4**n) for n in (3, 4, 5)]
    assert all(each * 0.7 < told < each * 1.3 for told, each in zip(pauses[3:], usual, strict=True))


def test_who_refuses_one_message_gets_the_next_within_minutes(dsn: str, receiver: Receiver) -> None:
    hooked(dsn, receiver.url)
    executed(dsn, *units("u1", "u2"))
    receiver.answers = [422] * REFUSED_TRIES
    wall = Wall()
    begun = wall.now
    with telling(dsn, wall) as told:
        while row(dsn).taken == 0:
            settled(told)
            wall.now = row(dsn).due_at or wall.now
        assert len(receiver.came) == REFUSED_TRIES + 1
        assert len(dead_letters(told._conn, "billing")) == 1
    assert wall.now - begun < timedelta(minutes=15)


def test_who_takes_nothing_for_days_or_is_gone_is_sent_nothing_until_it_is_resumed(
    dsn: str, receiver: Receiver
) -> None:
    hooked(dsn, receiver.url, topics=("unit.opened",))
    executed(dsn, *units("u1"))
    wall = Wall()
    receiver.answers = [410, 503, 503]
    with telling(dsn, wall) as told:
        settled(told)
        assert (row(dsn).standing, row(dsn).cause) == ("stopped", "answered 410")
        wall.now += LONG
        settled(told)
        assert len(receiver.came) == 1
        executed(dsn, resume())
        settled(told)
        assert row(dsn).standing == "tries again"
        wall.now += LONG
        settled(told)
        assert row(dsn).standing == "stopped"
        executed(dsn, resume())
        settled(told)
        assert (row(dsn).standing, row(dsn).lag) == ("delivers", 0)
    assert len(set(receiver.ids())) == 1


@pytest.mark.parametrize(
    ("answer", "status", "cause"),
    [
        (204, 204, ""),
        ("interim", 204, ""),
        ("huge", 200, ""),
        (302, 302, "answered 302"),
        ("never", None, "no answer within"),
        ("crumbs", None, "no answer within"),
        ("noise", None, "no HTTP"),
    ],
)
def test_of_an_answer_the_status_is_read_and_nothing_else(
    receiver: Receiver, answer: int | str, status: int | None, cause: str
) -> None:
    """No redirect is followed, no body is read, and nobody is waited for for ever."""
    receiver.answers = [answer]
    limit_s = SOON_S if status is None and answer != "noise" else PATIENCE_S
    outcome = sending.post(receiver.url, {}, b"{}", HERE, limit_s)
    assert (outcome.status, outcome.taken) == (status, status in (200, 204))
    assert cause in outcome.cause
    assert ELSEWHERE not in [path for path, _, _ in receiver.came]
    if answer == "huge":
        assert receiver.stops.wait(PATIENCE_S), "it notices that nobody reads it"


def test_who_cannot_show_who_he_is_is_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certified(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file)
    with receiving(tls) as receiver:
        outcome = sending.post(receiver.url, {}, b"{}", HERE)
        assert outcome.cause == "no TLS: CERTIFICATE_VERIFY_FAILED"
        trusts = ssl.create_default_context(cafile=file)
        monkeypatch.setattr(sending, "_tls", lambda: trusts)
        other = receiver.url.replace("localhost", "127.0.0.1")
        assert sending.post(other, {}, b"{}", HERE).cause == "no TLS: CERTIFICATE_VERIFY_FAILED"
        assert receiver.came == []
        assert sending.post(receiver.url, {}, b"{}", HERE).taken


def test_who_is_not_there_is_told_so() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        assert sending.post(address, {}, b"", HERE).cause.startswith("cannot be reached")


# ------------------------------------------------------------------------------- where it may go
PRIVATE = [
    *("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "0.0.0.0"),
    *("10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "224.0.0.1"),
    *("255.255.255.255", "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[fe80::1]"),
    *("[fd00::1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "[ff02::1]"),
]


@pytest.mark.parametrize("host", [*PRIVATE, "inside.example"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_nothing_is_sent_into_this_network(
    monkeypatch: pytest.MonkeyPatch, host: str, scheme: str
) -> None:
    names = resolving(monkeypatch, {"inside.example": ["10.0.0.7", "::1"]})
    monkeypatch.setattr(socket, "create_connection", lambda *_: pytest.fail("it was spoken to"))
    outcome = sending.post(f"{scheme}://{host}:8080/", {}, b"", ())
    assert outcome.status is None
    assert outcome.cause.startswith("the address is private")
    assert len(names) == 1


def test_only_the_address_that_was_looked_at_is_spoken_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """However the name resolves the next time; and outside of networks that are named, only by
    TLS."""
    spoken: list[Any] = []

    def speak(address: Any, *_: Any) -> Any:
        spoken.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", speak)
    names = resolving(monkeypatch, {"rebinds.example": ["10.0.0.1", "93.184.216.34"]})
    assert "refused" in sending.post("https://rebinds.example/", {}, b"", ()).cause.lower()
    assert (spoken, names) == ([("93.184.216.34", 443)], ["rebinds.example"])
    assert "in the open" in sending.post("http://rebinds.example/", {}, b"", ()).cause
    inside = (ip_network("10.0.0.0/24"),)
    assert "refused" in sending.post("http://rebinds.example/", {}, b"", inside).cause.lower()
    assert spoken[1:] == [("10.0.0.1", 80)]
    for other in ("https://li:secret@rebinds.example/", "https://rebinds.example:99999/"):
        assert sending.post(other, {}, b"", inside).status is None
    assert len(spoken) == 2


def resolving(monkeypatch: pytest.MonkeyPatch, known: dict[str, list[str]]) -> list[str]:
    """Names that are known to nobody else; which were asked for."""
    asked: list[str] = []
    resolve = socket.getaddrinfo

    def answer(host: str, port: Any, **more: Any) -> Any:
        asked.append(host)
        each = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
        if host in known:
            return [(*each, (address, port)) for address in known[host]]
        return resolve(host, port, **more)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


# --------------------------------------------------------------------------- several processes
def test_of_several_one_delivers_and_another_goes_on(
    dsn: str, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivering, "OTHERS_S", 0.01)
    hooked(dsn, receiver.url)
    two = [Deliverer(dsn, HERE) for _ in range(2)]
    for each in two:
        each.start()
    executed(dsn, *units(*(f"u{n}" for n in range(20))))
    assert eventually(lambda: len(receiver.came) >= 20)
    for each in two:  # Whichever of them delivers is followed by the other.
        each.stop()
        executed(dsn, *units(f"v{two.index(each)}"))
    three = Deliverer(dsn, HERE)
    three.start()
    assert eventually(lambda: len(receiver.came) >= 22)
    three.stop()
    assert len(receiver.ids()) == len(set(receiver.ids())) == 22


TELLS = """
import sys, threading
from ipaddress import ip_network
from itertools import pairwise
from api.webhooks.delivering import Telling
from ledger.database import connect
from ledger.keyring import KEYRING, Source
KEYRING.take(Source("the tests", lambda: sys.argv[2]))
with connect(sys.argv[1]) as conn:
    Telling(conn, [ip_network("127.0.0.0/8")]).run(threading.Event())
"""


def test_who_is_killed_before_it_is_kept_is_followed_by_who_sends_it_again(
    dsn: str, receiver: Receiver
) -> None:
    hooked(dsn, receiver.url)
    executed(dsn, *units("u1", "u2"))
    receiver.answers = [200, "never"]
    with subprocess.Popen(
        [sys.executable, "-c", TELLS, dsn, KEY], env=environment(), cwd=REPOSITORY
    ) as process:
        assert eventually(lambda: len(receiver.came) == 2)
        os.kill(process.pid, signal.SIGKILL)
    with telling(dsn) as told:
        settled(told)
    first, second, *again = receiver.ids()
    assert again == [second]
    assert first != second


# --------------------------------------------------------------------------------- at the doors
PAGE = REPOSITORY / "docs" / "how-to" / "webhooks.md"
SHELL = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DOCUMENTED = "127.0.0.1:9000"


def test_the_page_is_true(own_ledger: Path) -> None:
    """Its program is told by a server what its commands say, and its secret is nowhere else."""
    text = PAGE.read_text("utf-8")
    (program,) = PYTHON.findall(text)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    lines = "".join(SHELL.findall(text)).replace(DOCUMENTED, f"127.0.0.1:{port}").splitlines()
    (allowed,) = [line for line in lines if line.startswith("export ")]
    name, _, networks = allowed.removeprefix("export ").partition("=")
    add, happens, *others = [line for line in lines if line.startswith("clubledger ")]

    def done(line: str) -> Any:
        ended = clubledger(*shlex.split(line)[1:], "--json", data_dir=own_ledger)
        assert ended.code == 0, (line, ended.err)
        return ended.json

    assert clubledger("import", "-", data_dir=own_ledger).code == 0
    secret = done(add)["receipt"]["signing_secret"]
    server = serving(own_ledger, environ={name: networks})
    with running_hook(program, port, secret) as prints:
        done(happens)
        (told,) = re.findall(r"it prints `(.+)`\.", text)
        assert next(prints).strip() == told
        with Client(base_url=server.address, timeout=PATIENCE_S) as http:
            assert eventually(lambda: http.get("/webhooks").json()["webhooks"][0]["taken"] == 1)
            counted = 'clubledger_webhook_messages_total{outcome="taken"} 1.0\n'
            assert counted in http.get("/metrics").text
            anew = rotated(http)
        for line in others:
            done(line)
    assert stopped(server).code == 0
    assert "removed" in clubledger("webhooks", data_dir=own_ledger).out
    here = running(own_ledger)
    assert here is not None
    with connect(here.dsn) as conn:
        for table in ("stored_events", "command_log", "snapshots", "ledger_meta"):
            found = conn.execute(f"SELECT string_agg(t::text, ' ') FROM {table} t").fetchone()
            for each in (secret, anew):
                raw = b64decode(each.removeprefix("whsec_"))
                assert found is not None
                assert each not in found[0]
                assert raw.hex() not in found[0]


@contextmanager
def running_hook(program: str, port: str, secret: str) -> Iterator[Iterator[str]]:
    """The program of the page; what it prints."""
    words, environ = [sys.executable, "-c", program, port], environment(WEBHOOK_SECRET=secret)
    with subprocess.Popen(words, env=environ, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield iter(process.stdout)
        finally:
            process.kill()


def rotated(http: httpx.Client) -> str:
    """A new secret, which is shown once."""
    asked, key = {"overlap_hours": 1}, {"Idempotency-Key": "r1"}
    path = "/webhooks/billing/rotate"
    first, again = (http.post(path, json=asked, headers=key) for _ in "12")
    assert (first.status_code, again.status_code) == (201, 201), first.text
    assert again.json()["signing_secret"] is None
    return str(first.json()["signing_secret"])


# ------------------------------------------------------------------------------------ AsyncAPI
def test_asyncapi_is_valid_and_every_event_that_is_stored_is_one_of_its_messages() -> None:
    document = json.loads(generate.ASYNCAPI.read_text("utf-8"))
    schema = json.loads(generate.ASYNCAPI.with_name("asyncapi-3.0.0.schema.json").read_text())
    Draft7Validator(schema).validate(document)
    assert document["channels"]["webhook"]["messages"].keys() == CATALOGUE.keys()
    for reference in re.findall(r'"\$ref": "#/(.+?)"', json.dumps(document)):
        found = document
        for part in reference.split("/"):
            found = found[part]
    for topic, state in usual.stored().items():
        stored = reading.Stored(0, 1, f"{CATALOGUE[topic].stream}:x", 1, topic, state, NOW)
        body = message.body_of(log.said(stored), str(uuid4()))
        payload = document["components"]["messages"][topic]["payload"]["schema"]
        validator = Draft202012Validator({**payload, "components": document["components"]})
        validator.validate(json.loads(body))
        with pytest.raises(ValidationError):
            validator.validate({**json.loads(body), "type": "x"})
