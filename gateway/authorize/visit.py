"""One browser at one link: who is asked what, in which language, and what a posted form must bring back.

Every form brings back a secret that belongs to the link and to the browser that was shown the page; the browser's part
is a cookie that other sites cannot make it send. What goes wrong is a page to people and a problem to programs.
"""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any

from aiohttp import web

from consent.requests import RequestState, StoredRequest
from gateway.api.routing import Handler, only_query
from gateway.authorize.asked import ConsentAsk, Language
from gateway.authorize.desk import DESK, Desk, token_hash
from gateway.authorize.identity import Person
from gateway.authorize.statement import Statement, statement_of
from gateway.authorize.words import WORDS, local_time
from gateway.services import SERVICES, Services
from schemas.consent import Consent
from schemas.errors import (
    ConsentConflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    UnsupportedMediaType,
    XinqiaoError,
)
from schemas.problems import PROBLEMS

STYLE = "/authorize/style.css"
_COOKIE = "xinqiao_visit"
_MADE_HERE = re.compile(r"[0-9a-f]{32}")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "Cache-Control": "no-store",
    # The token is in the address: no other site may learn it. `no-referrer` would make the browser's Origin null.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True, slots=True)
class Visit:
    """One request of one browser to one link."""

    request: web.Request
    desk: Desk
    services: Services
    stored: StoredRequest
    ask: ConsentAsk
    statement: Statement
    lender: str
    language: Language
    token: str
    cookie: str
    form_secret: str

    def path(self, step: str = "") -> str:
        return f"/authorize/{self.token}{step and '/' + step}?lang={self.language}"

    def page(self, template: str, status: int = 200, **values: Any) -> web.Response:
        words = {k: v.replace("{lender}", self.lender) for k, v in WORDS[self.language].items()}
        other: Language = "en" if self.language == "zh" else "zh"
        text = self.desk.render(
            template,
            w=words,
            v=self,
            lang=self.language,
            other=other,
            other_path=f"/authorize/{self.token}?lang={other}",
            style=STYLE,
            **values,
        )
        return web.Response(text=text, status=status, content_type="text/html", charset="utf-8")

    def time(self, text: str) -> str:
        return local_time(text, self.language)

    async def form(self) -> Mapping[str, list[str]]:
        """The posted form. Raises Forbidden unless it comes from a page that this browser was shown."""
        if self.request.content_type != "application/x-www-form-urlencoded":
            raise UnsupportedMediaType(mend="application/x-www-form-urlencoded")
        try:
            posted = await self.request.post()
        except (ValueError, LookupError):
            raise InvalidRequest(at="body", mend="a form in UTF-8") from None
        form = {key: [str(v) for v in posted.getall(key)] for key in posted}
        given = form.get("form", [""])[0]
        known = self.request.cookies.get(_COOKIE) == self.cookie
        if not known or not compare_digest(given.encode(), self.form_secret.encode()):
            raise Forbidden(at="form", mend="open the link again")
        return form

    def separate(self, form: Mapping[str, list[str]]) -> frozenset[str]:
        """The sensitive data sets that were ticked."""
        ticked = frozenset(form.get("separate", ()))
        if not ticked <= self.ask.sensitive.keys():
            raise InvalidRequest(at="separate", mend="only what the page offers")
        return ticked

    def open(self) -> None:
        """Raises ConsentConflict unless the request still waits for an answer."""
        if self.stored.state is not RequestState.OPEN:
            raise ConsentConflict(what="consent request", state=self.stored.state.value)

    async def consent(self) -> Consent:
        """The consent that was given here. Raises ConsentConflict where none was."""
        found = self.stored.consent_id and await self.services.evidence.consent(self.stored.consent_id)
        if not found:
            raise ConsentConflict(what="consent request", state=self.stored.state.value)
        return found

    def person(self) -> Person:
        signer = self.ask.signer
        return Person(self.stored.id, self.cookie, self.ask.subject.uscc, signer.role, signer.person_ref)


async def _visit(request: web.Request) -> Visit:
    only_query(request, ("lang", "page"))
    desk, services, token = request.app[DESK], request.app[SERVICES], request.match_info["token"]
    desk.links.take(token)
    hashed = token_hash(token)
    stored = await services.evidence.request_by_token(hashed)
    if stored is None:
        desk.strangers.take(request.remote or "")
        raise NotFound(what="link")
    ask = ConsentAsk.model_validate_json(stored.asked)
    known = services.settings.lenders.get(stored.lender)
    lender = known.name if known else stored.lender
    language = _language(request, ask.language)
    cookie = request.cookies.get(_COOKIE, "")
    if not _MADE_HERE.fullmatch(cookie):
        cookie = secrets.token_hex(16)
    statement = statement_of(ask, lender, desk.platforms, language)
    secret = desk.form_secret(hashed, cookie)
    return Visit(request, desk, services, stored, ask, statement, lender, language, token, cookie, secret)


def _language(request: web.Request, default: Language) -> Language:
    asked = request.query.get("lang")
    return "zh" if asked == "zh" else "en" if asked == "en" else default


def for_people(handle: Callable[[Visit], Awaitable[web.Response]]) -> Handler:
    """The handler of a route: finds the request behind the link, keeps the cookie, guards what is sent."""

    async def serve(request: web.Request) -> web.Response:
        try:
            visit = await _visit(request)
            response = await handle(visit)
            response.set_cookie(
                _COOKIE,
                visit.cookie,
                path="/authorize",
                httponly=True,
                samesite="Strict",
                secure=visit.services.settings.production,
            )
        except XinqiaoError as err:
            if "text/html" not in request.headers.get("Accept", ""):
                raise
            response = _error_page(request, err)
        response.headers.update(_HEADERS)
        return response

    return serve


def _error_page(request: web.Request, error: XinqiaoError) -> web.Response:
    language = _language(request, "zh")
    problem = PROBLEMS[error.code]
    texts = (problem.title_zh, problem.detail_zh) if language == "zh" else (problem.title, problem.detail)
    if isinstance(error, NotFound):
        texts = (WORDS[language]["lost"], "")
    other = "en" if language == "zh" else "zh"
    text = request.app[DESK].render(
        "error.html",
        w=WORDS[language],
        lang=language,
        other=other,
        other_path=f"{request.path}?lang={other}" if request.method == "GET" else None,
        style=STYLE,
        texts=texts,
    )
    retry = error.details.get("retry_after")
    headers = {} if retry is None else {"Retry-After": str(retry)}
    return web.Response(text=text, status=problem.status, content_type="text/html", charset="utf-8", headers=headers)
