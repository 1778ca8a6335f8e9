"""Where a command's time goes in our process, without HTTP and with it."""

from contextlib import ExitStack

from api.doors import PREFIX
from bench import http, inprocess
from bench.ground import Ground
from bench.parts import Outcome, Subject, part

GRACE_S = 60
CONNECTIONS = 32
AT_ONCE = 128


@part("profile", arena="profile")
def in_process(ground: Ground, stack: ExitStack) -> list[Subject]:
    """A profile of the process that decides, by cProfile."""
    child = inprocess.driver(ground, stack, ground.members(stack))
    title = f"visits in process, {AT_ONCE} at once"

    def run(seconds: int) -> Outcome:
        asked = {"kind": "visit", "members": ground.options.members, "at_once": AT_ONCE}
        asked |= {"seconds": seconds, "run": ground.token()}
        child.ask(asked, seconds + GRACE_S)  # warm
        again = {**asked, "run": ground.token(), "profile": True}
        found = child.ask(again, seconds + GRACE_S)
        ground.texts[title] = found["profile"]
        return Outcome(found["count"], found["seconds"])

    return [Subject("profile.inprocess", f"{title}, under the profiler", run)]


@part("profile_http", arena="profile")
def over_http(ground: Ground, stack: ExitStack) -> list[Subject]:
    """A profile of a worker under load, by cProfile."""
    http.wrk()
    server = http.serving(ground, stack, "ours", ground.members(stack), profile=True)
    load = http.load(ground, server, "visit", CONNECTIONS, PREFIX)
    title = f"visits over HTTP, {CONNECTIONS} connections"

    def run(seconds: int) -> Outcome:
        outcome = load(seconds)
        server.child.end_input()
        ground.texts[title] = server.child.hear(GRACE_S)["profile"]
        return outcome

    return [Subject("profile.http", f"{title}, under the profiler", run)]
