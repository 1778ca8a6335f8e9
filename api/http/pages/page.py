"""What every page has: its language, its headers, its forms, and refusals as sentences in place."""

from collections.abc import Callable, Coroutine, Mapping
from datetime import date, datetime, timedelta
from functools import cache, partial
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import orjson
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from fastapi.routing import APIRoute
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, ValidationError

from api.http.pages import words
from api.http.server.access import (
    FROM_HERE_HEADER,
    PUBLIC,
    SIGNED_IN,
    Who,
    cookie_of,
    from_here,
    needs,
)
from api.http.server.downloads import JSON, media_types
from api.http.server.handlers import HANDLERS, as_response, last_resort
from api.runtime import problems
from api.runtime.problems import MEDIA_TYPE, DoorProblem
from domain.access import Principal
from domain.kernel.values import PROGRAMME, local_date
from domain.members import UnknownMember
from projections.engine.answer import Moment

POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}
FOR_EVER = "public, max-age=31536000, immutable"
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
MOST_FIELDS = 30
LANGUAGE, THEME = "clubledger_language", "clubledger_theme"
A_YEAR_S = 365 * 86_400
LOOK_AGAIN_S = 1
"""After which a page is asked for again that waits for what was written before it."""
OF_ADMINISTRATION = (
    *("campaigns.write", "clubs.write", "cohorts.write"),
    *("reports.write", "units.write", "webhooks.read"),
)
OF_FILES = ("bills.write", "points.write")
FIRST_PAGE, SIGN_IN = "/start", "/sign-in"
TIMES = ("effective_at", "known_at")
"""As of when a page is: both keep their names in every address that leads on from it."""

FIGURES, AUDIT = "/figures", "/audit"

Form = TypeVar("Form", bound="Fields")


class Console(NamedTuple):
    """Pages for one kind of work: what leads to them, and what whoever uses them must be given."""

    name: str
    path: str
    scope: str
    others: tuple[str, ...] = ()
    """Scopes any of which leads there as well."""

    def open_to(self, who: Principal) -> bool:
        """Whether he has anything to do there."""
        return any(who.granted(scope) for scope in (self.scope, *self.others))


CONSOLES = (
    Console("desks", "/desk", "visits.write"),
    Console("campaigns", "/campaigns", "campaigns.read"),
    Console("figures", FIGURES, "figures.read"),
    Console("files", "/files", "members.write", OF_FILES),
    Console("audit", AUDIT, "log.read"),
    Console("administration", "/administration", "access.read", OF_ADMINISTRATION),
)
"""In the order in which they are led to; the first that somebody may use is where he begins."""


class Fields(BaseModel):
    """What a form sends: texts, read as what they are meant to be."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


# ------------------------------------------------------------------------------------ guards
def require_own_page(request: Request) -> None:
    """Refuses a form that another site's page had sent.

    A browser says where a request comes from, and no page can make it say otherwise; one that says
    nothing of it still names the origin of what a form posts."""
    site = request.headers.get("sec-fetch-site")
    if site is None:
        origin = urlsplit(request.headers.get("origin", ""))
        own = origin.netloc != "" and origin.netloc == request.headers.get("host")
    else:
        own = site == "same-origin"
    if not own:
        raise DoorProblem("not_from_here")


async def sent(request: Request, most: int = MOST_FIELDS) -> list[tuple[str, str]]:
    """The texts of a form that was sent, each with its name, from a page of ours."""
    require_own_page(request)
    try:
        body = (await request.body()).decode("utf-8")
        return parse_qsl(
            body, keep_blank_values=True, strict_parsing=bool(body), max_num_fields=most
        )
    except ValueError:  # no UTF-8, no form, too many fields
        raise DoorProblem("malformed") from None


async def form(request: Request, kind: type[Form]) -> Form:
    """The form that was sent, from a page of ours. Raises `invalid`, with the inputs that are."""
    said = {name: value for name, value in await sent(request) if value != ""}
    try:
        return kind.model_validate(said)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        told = problems.of_errors(found, kind.model_fields)
        bounds = [
            {k: f"{v:,}" for k, v in e.get("ctx", {}).items() if type(v) is int} for e in found
        ]
        raise problems.invalid([{**b, **e} for b, e in zip(bounds, told, strict=False)]) from None


# ----------------------------------------------------------------------------------- answers
@cache
def assets() -> Mapping[str, bytes]:
    """What pages load beside themselves, by name."""
    folder = files(__package__) / "static"
    return {
        each.name: each.read_bytes()
        for each in folder.iterdir()
        if each.name.rpartition(".")[2] in KINDS
    }


@cache
def address(name: str) -> str:
    """The address of an asset: another one as soon as it has changed."""
    return f"/static/{sha256(assets()[name]).hexdigest()[:16]}/{name}"


def tier_colour(tier: str | None) -> str:
    """The colour of a tier, beside its word: by its place, the highest first."""
    return str(PROGRAMME.tiers.index(tier)) if tier in PROGRAMME.tiers else "none"


@cache
def templates() -> Environment:
    """All that pages are made of."""
    made = Environment(
        loader=PackageLoader(__package__, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "tier_colour": tier_colour,
        "yuan": words.yuan,
        "grouped": words.grouped,
        "number": words.number,
        "last_of": words.last_of,
    }
    made.globals |= {
        "asset": address,
        "link": link,
        "moment": words.moment,
        "minute": words.minute,
        "told": words.told,
    }
    return made


def page(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page, or the part of one that is asked for."""
    language = language_of(request)
    clock = request.app.state.house.clock
    who, cookie = _who_looks(request), cookie_of(request)
    said = (
        templates()
        .get_template(template)
        .render(
            t=partial(words.say, language),
            called=partial(words.called, language),
            known=partial(words.known, language),
            named=partial(words.named, language),
            title=partial(words.title, language),
            explained=partial(words.explained, language),
            cell=partial(words.cell, language),
            language=language,
            theme=theme_of(request),
            themes=THEMES,
            here=request.url.path,
            whole_here=whole_address(request),
            times={name: said for name, said in request.query_params.items() if name in TIMES},
            consoles=[each for each in CONSOLES if each.open_to(who)],
            everywhere=partial(everywhere, who),
            signed_in=who.name or None,
            headers={FROM_HERE_HEADER: from_here(cookie)} if cookie else {},
            is_over=partial(is_over, clock.now()),
            demo_clock=clock.shown() if clock.is_demo else None,
            **values,
        )
    )
    return HTMLResponse(said, status, HEADERS)


def _who_looks(request: Request) -> Principal:
    """Who is asking, as far as that is known: what he may not do he is not offered."""
    found: Principal | None = request.scope.get("principal")
    if found is None:
        found = request.app.state.house.access.at_once(None, cookie_of(request))
    return found or NOBODY


NOBODY = Principal("", ())


def everywhere(who: Principal, scope: str) -> bool:
    """Whether he may ask it of everything, and not of some clubs or units alone."""
    return any(each.reach(scope) == "all" for each in who.granted(scope))


def is_over(now: datetime, day: date, moment: Moment | None = None) -> bool:
    """Whether a day is over by what a page is of: by a moment, else by now."""
    by = (moment and moment.at) or now
    return local_date(by + timedelta(seconds=1)) > day  # a day as a moment is its last instant


def link(path: str, *said: Mapping[str, Any]) -> str:
    """The address with these parameters; of one name the last counts, and nothing is left out."""
    pairs = {name: value for each in said for name, value in each.items()}
    asked = urlencode({name: value for name, value in pairs.items() if value not in (None, "")})
    return f"{path}?{asked}" if asked else path


def whole_address(request: Request) -> str:
    """The page that is asked for, with its parameters, but for those that were left blank."""
    pairs = [(name, said) for name, said in request.query_params.multi_items() if said]
    return f"{request.url.path}?{urlencode(pairs)}" if pairs else request.url.path


def language_of(request: Request) -> words.Language:
    """The language that this browser's pages speak."""
    accepted = request.headers.get("accept-language", "")
    return words.language_of(request.cookies.get(LANGUAGE), accepted)


def theme_of(request: Request) -> str | None:
    """How this browser's pages look; None: as its system does."""
    chosen = request.cookies.get(THEME)
    return chosen if chosen in THEMES else None


def refusal_told(request: Request, problem: Mapping[str, Any]) -> tuple[str, str]:
    """(what is wrong, what to do now) of a problem. Who sees the members of some units alone is
    told of those, whether there is such a member elsewhere or not."""
    language, code = language_of(request), problem["code"]
    if code == UnknownMember.code and not everywhere(_who_looks(request), "members.read"):
        return words.say(language, "none_of_yours"), words.say(language, "none_of_yours_then")
    return words.refusal(language, problem)


def in_place(request: Request, problem: Mapping[str, Any]) -> HTMLResponse:
    """A problem as a sentence and what to do now: in the page that asked, or as one."""
    wrong, then = refusal_told(request, problem)
    whole = "hx-request" not in request.headers
    code, status = problem["code"], problem["status"]
    if whole:
        told = page(request, "problem.html", status, wrong=wrong, then=then, code=code)
        if code == "not_caught_up" and "position" in problem:
            told.headers["Refresh"] = str(LOOK_AGAIN_S)
        return told
    detail = words.detail(language_of(request), problem) if code != "internal" else None
    # A refusal is what a page is ready for: no error of its own, and in its place there.
    told = page(
        request, "_problem.html", status if status >= 500 else 200,
        wrong=wrong, then=then, code=code, detail=detail,
    )  # fmt: skip
    told.headers["HX-Retarget"], told.headers["HX-Reswap"] = "#problem", "innerHTML"
    return told


def own_path(said: str) -> str:
    """A page of ours that somebody wants to see next, if it is one."""
    own = said.startswith("/") and not said.startswith(("//", "/\\"))
    return said if own and said.isprintable() else FIRST_PAGE


def next_page(path: str) -> Response:
    """What a form leads to."""
    return Response(headers={"HX-Redirect": path})


def wants_page(request: Request) -> bool:
    """Whether a person has asked this in a browser, rather than a program."""
    wanted = media_types(request.headers.get("accept", ""))
    html = wanted.get("text/html", 0.0)
    rather = (wanted.get(each, 0.0) for each in (JSON, MEDIA_TYPE, "*/*"))
    return request.method == "GET" and html > 0 and html >= max(rather)


def tell_people(app: FastAPI) -> None:
    """Have problems of addresses that are no pages told in a page, too, where one is wanted."""
    for kind in HANDLERS:
        app.add_exception_handler(kind, _told_as_wanted)


async def _told_as_wanted(request: Request, error: Exception) -> Response:
    answer = await _answer_to(request, error)
    assert answer is not None, "what is handled has its handler"
    return _told(request, orjson.loads(answer.body)) if wants_page(request) else answer


def _told(request: Request, problem: Mapping[str, Any]) -> Response:
    """What is wrong in a page; or the page that asks who it is, where that is what is wrong."""
    asked_for_a_page = request.method == "GET" and "hx-request" not in request.headers
    if problem["code"] == "not_signed_in" and asked_for_a_page:
        return RedirectResponse(link(SIGN_IN, {"to": whole_address(request)}), 303)
    return in_place(request, problem)


class PageRoute(APIRoute):
    """A route whose problems are told to people."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answered = super().get_route_handler()

        async def told(request: Request) -> Response:
            if request.method == "GET" and "" in request.query_params.values():
                return RedirectResponse(whole_address(request), 303)  # a form's empty fields
            try:
                return await answered(request)
            except Exception as error:  # noqa: BLE001 - the last resort of pages
                answer = await _answer_to(request, error)
                if answer is None:
                    shown = request.app.state.house.settings.traceback
                    answer = last_resort(request.scope, error, shown)
                return _told(request, orjson.loads(answer.body))

        return told


async def _answer_to(request: Request, error: Exception) -> Response | None:
    """What a program would be answered, unless it is a defect."""
    handler = next((HANDLERS[kind] for kind in type(error).__mro__ if kind in HANDLERS), None)
    answer: Response | None = None if handler is None else await handler(request, error)
    return answer


# ------------------------------------------------------------------------------------- routes
def router_of_pages() -> APIRouter:
    """A router whose answers are pages: no part of the API, so of no document of it."""
    return APIRouter(route_class=PageRoute, include_in_schema=False)


THEMES = ("dark", "light")
"""Beside the one that shows, the other is offered."""
router = router_of_pages()


class Preferences(Fields):
    """How somebody wants pages to be, and the page that he was on."""

    language: words.Language | None = None
    theme: str | None = None
    here: str = FIRST_PAGE


@router.get(FIRST_PAGE)
@needs(SIGNED_IN)
async def start(who: Who) -> Response:
    """Where somebody's work begins."""
    may = (each.path for each in CONSOLES if each.open_to(who))
    return RedirectResponse(next(may, CONSOLES[0].path), 303)


@router.get("/static/{digest}/{name}")
@needs(PUBLIC)
async def static(digest: str, name: str) -> Response:
    """A style, a script: what never changes at its address."""
    if name not in assets() or address(name) != f"/static/{digest}/{name}":
        return as_response(problems.document("not_found"))
    kind = KINDS[name.rpartition(".")[2]]
    return Response(assets()[name], media_type=kind, headers={"Cache-Control": FOR_EVER})


@router.post("/preferences")
@needs(PUBLIC)
async def prefer(request: Request) -> Response:
    """Keep a language or a theme, and show the same page again."""
    asked = await form(request, Preferences)
    answer = RedirectResponse(own_path(asked.here), 303)
    for name, value in ((LANGUAGE, asked.language), (THEME, asked.theme)):
        if value is not None and (name == LANGUAGE or value in THEMES):
            answer.set_cookie(name, value, A_YEAR_S, samesite="lax", httponly=True)
    return answer
