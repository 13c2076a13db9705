"""``/authorize/{token}``: what the enterprise sees and does. Plain forms, no script, nothing from any other host.

Whoever holds the link may read, decline and withdraw; only who passes the identity check may agree. Every form brings
back a secret that belongs to the link and to the browser that was shown the page (the browser's part is a cookie that
other sites cannot make it send).
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import Any
from unicodedata import category

from aiohttp import web

from consent.consents import ENTERPRISE, ChangeConsent, GrantConsent
from consent.profiles import RecordEvent
from consent.requests import (
    CountTry,
    DeclineRequest,
    GiveConsent,
    RefuseIdentity,
    RequestState,
    StoredRequest,
)
from gateway.api.routing import Handler, Route, only_query, query_int
from gateway.authorize.act import sign_act
from gateway.authorize.asked import CHANNEL, ConsentAsk, Language, agreed_scopes, grant_of
from gateway.authorize.desk import DESK, HERE, Desk, token_hash
from gateway.authorize.identity import IdentityCheck, Person
from gateway.authorize.statement import Statement, dataset_title, statement_of
from gateway.authorize.words import WORDS, local_time, outcome_words
from gateway.services import SERVICES, Services
from schemas.base import Json, utc_text
from schemas.consent import Consent, ConsentState
from schemas.errors import (
    ConsentConflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    UnsupportedMediaType,
    XinqiaoError,
)
from schemas.problems import PROBLEMS

_COOKIE = "xinqiao_visit"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; "
    "base-uri 'none'",
    "Cache-Control": "no-store",
    # The token is in the address: no other site may learn it. `no-referrer` would make the browser's Origin null.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}
_WITHDRAWN = "企业在授权页面撤回 withdrawn by the enterprise on its page"
_STYLE = "/authorize/style.css"
USES = 50
"""Uses on one page, newest first."""


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
            style=_STYLE,
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
        if not self.request.cookies.get(_COOKIE) or not compare_digest(given.encode(), self.form_secret.encode()):
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
    cookie = request.cookies.get(_COOKIE) or secrets.token_hex(16)
    statement = statement_of(ask, lender, desk.platforms, language)
    secret = desk.form_secret(hashed, cookie)
    return Visit(request, desk, services, stored, ask, statement, lender, language, token, cookie, secret)


def _language(request: web.Request, default: Language) -> Language:
    asked = request.query.get("lang")
    return "zh" if asked == "zh" else "en" if asked == "en" else default


def _page(handle: Callable[[Visit], Awaitable[web.Response]]) -> Handler:
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
        style=_STYLE,
        texts=texts,
    )
    retry = error.details.get("retry_after")
    headers = {} if retry is None else {"Retry-After": str(retry)}
    return web.Response(text=text, status=problem.status, content_type="text/html", charset="utf-8", headers=headers)


async def _start(visit: Visit) -> web.Response:
    """The text and its ticks while the request is open, else what became of it."""
    if visit.stored.state is RequestState.OPEN:
        return visit.page("ask.html", problem=None)
    if visit.stored.state is RequestState.GIVEN:
        return await _receipt_page(visit)
    expired = visit.stored.state is RequestState.EXPIRED
    return visit.page("closed.html", 410 if expired else 200, state=visit.stored.state.value)


async def _agree(visit: Visit) -> web.Response:
    """The ticks are in: on to the identity check."""
    form = await visit.form()
    visit.open()
    problem, separate = _unfinished(visit, form)
    if problem:
        return visit.page("ask.html", 400, problem=WORDS[visit.language][problem])
    return await _identity_page(visit, separate)


def _unfinished(visit: Visit, form: Mapping[str, list[str]]) -> tuple[str | None, frozenset[str]]:
    """The word for what is missing from the ticks, and the separate consents."""
    separate = visit.separate(form)
    if form.get("agree") != ["yes"]:
        return "not_ticked", separate
    return (None if agreed_scopes(visit.ask, separate) else "nothing_left"), separate


def _identity(visit: Visit) -> IdentityCheck:
    if visit.desk.identity is None:
        raise Forbidden(at="identity_check", mend="this gateway cannot check who agrees")
    return visit.desk.identity


async def _identity_page(visit: Visit, separate: frozenset[str], problem: str | None = None) -> web.Response:
    identity = _identity(visit)
    visit.desk.checks.take(visit.token)
    hint = await identity.begin(visit.person(), visit.services.now())
    status = 403 if problem else 200
    return visit.page("identity.html", status, separate=sorted(separate), hint=hint, problem=problem)


async def _confirm(visit: Visit) -> web.Response:
    """The identity check's answer is in: the consent, where it holds."""
    form = await visit.form()
    visit.open()
    problem, separate = _unfinished(visit, form)
    if problem or form.get("text") != [visit.statement.sha256]:
        # A lender was renamed or a platform went away meanwhile: what would be signed is not what was read.
        raise ConsentConflict(what="text")
    evidence, now = visit.services.evidence, visit.services.now()
    identity = _identity(visit)
    left = await evidence.submit(CountTry(visit.stored.id))
    if not await identity.holds(visit.person(), form.get("code", [""])[0], now):
        await evidence.submit(RefuseIdentity(visit.stored.id))
        if left == 0:
            return visit.page("closed.html", 410, state="no_more_tries")
        words = WORDS[visit.language]["wrong_code"].format(left=left)
        return await _identity_page(visit, separate, words)
    await evidence.submit(_given(visit, identity.name, separate))
    return _see(visit.path())


def _given(visit: Visit, identity_check: str, separate: frozenset[str]) -> GiveConsent:
    ask, statement, now = visit.ask, visit.statement, visit.services.now()
    device = _device(visit.request)
    act: dict[str, Json] = {
        "v": 1,
        "request": visit.stored.id,
        "grantee": visit.stored.lender,
        "asked": ask.model_dump(mode="json"),
        "language": visit.language,
        "text": statement.text,
        "text_version": statement.version,
        "text_sha256": statement.sha256,
        "ticks": {"agree": True, "separate": {name: name in separate for name in ask.sensitive}},
        "scopes": [scope.model_dump(mode="json") for scope in agreed_scopes(ask, separate)],
        "identity_check": identity_check,
        "given_at": utc_text(now),
        "channel": CHANNEL,
        "device": device,
    }
    signed = sign_act(visit.services.keys.profile, visit.services.signer.kid, act)
    grant = grant_of(
        ask,
        visit.stored.lender,
        language=visit.language,
        separate=separate,
        identity_check=identity_check,
        text_version=statement.version,
        text_sha256=statement.sha256,
        device=device,
        act_sha256=sha256(signed).hexdigest(),
        now=now,
    )
    return GiveConsent(visit.stored.id, GrantConsent(grant, actor=ENTERPRISE), signed)


def _device(request: web.Request) -> str:
    """The browser as it names itself, without characters that are not seen."""
    named = request.headers.get("User-Agent", "")
    return "".join(c for c in named if not category(c).startswith("C"))[:200] or "unknown"


async def _decline(visit: Visit) -> web.Response:
    await visit.form()
    await visit.services.evidence.submit(DeclineRequest(visit.stored.id))
    return _see(visit.path())


async def _receipt_page(visit: Visit) -> web.Response:
    consent = await visit.consent()
    return visit.page(
        "receipt.html",
        consent=consent,
        withdrawn=consent.state is ConsentState.REVOKED,
        state=_state_words(consent, visit.language),
        separate=[
            (dataset_title(name, visit.language), name in consent.separate_consents) for name in visit.ask.sensitive
        ],
    )


def _state_words(consent: Consent, language: Language) -> str:
    if consent.state is ConsentState.EXPIRED:
        return "已到期" if language == "zh" else "ended"
    return WORDS[language].get(consent.state.value, consent.state.value)


async def _receipt(visit: Visit) -> web.Response:
    """The signed act as a file, for the enterprise to keep."""
    signed = await visit.services.evidence.act(visit.stored.id)
    if signed is None:
        raise ConsentConflict(what="consent request", state=visit.stored.state.value)
    disposition = f'attachment; filename="xinqiao-consent-{visit.stored.id}.jws"'
    return web.Response(body=signed, content_type="application/jose", headers={"Content-Disposition": disposition})


async def _uses(visit: Visit) -> web.Response:
    consent, evidence = await visit.consent(), visit.services.evidence
    uses = (await evidence.uses_of(consent.id))[::-1]
    page = query_int(visit.request.query, "page", 1)
    if page < 1 or (page > 1 and (page - 1) * USES >= len(uses)):
        raise InvalidRequest(at="page", mend="a page that there is")
    await evidence.submit(
        RecordEvent("uses.read", ENTERPRISE, consent.id, visit.ask.subject.uscc, {"request": visit.stored.id})
    )

    def items(found: tuple[tuple[str, str], ...]) -> list[str]:
        return [
            f"{visit.desk.platforms.get(platform, {}).get(visit.language, platform)}: "
            + dataset_title(dataset, visit.language)
            for platform, dataset in found
        ]

    lenders = visit.services.settings.lenders
    rows = [
        {
            "at": visit.time(use.at),
            "by": lenders[use.lender].name if use.lender in lenders else use.lender,
            "items": None if use.items is None else items(use.items),
            "period": f"{use.first} – {use.last}" if use.first else "",
            "outcome": outcome_words(use.outcome, visit.language),
            "reads": use.reads,
        }
        for use in uses[(page - 1) * USES : page * USES]
    ]
    return visit.page(
        "uses.html",
        rows=rows,
        count=len(uses),
        newer=page - 1 if page > 1 else None,
        older=page + 1 if page * USES < len(uses) else None,
        state=_state_words(consent, visit.language),
        ended=consent.state is ConsentState.REVOKED,
    )


async def _ask_withdraw(visit: Visit) -> web.Response:
    await visit.consent()
    return visit.page("withdraw.html")


async def _withdraw(visit: Visit) -> web.Response:
    """Answered when no call under the consent can start any more."""
    await visit.form()
    consent = await visit.consent()
    change = ChangeConsent(consent.id, ConsentState.REVOKED, ENTERPRISE, _WITHDRAWN)
    await visit.services.evidence.change_consent(change)
    return _see(visit.path("uses"))


def _see(path: str) -> web.Response:
    """Another address to look at: reloading it posts nothing again (RFC 9110 section 15.4.4)."""
    return web.Response(status=303, headers={"Location": path})


async def style(_request: web.Request) -> web.Response:
    body = (HERE / "style.css").read_bytes()
    return web.Response(body=body, content_type="text/css", charset="utf-8", headers={"Cache-Control": "max-age=3600"})


_TAG = "enterprise"
_HTML = "text/html"
_FORM = "application/x-www-form-urlencoded"
_LANG = {"lang": "zh or en; the language that the lender asked in when not given"}
_PAGE = {"page": "from 1, the newest uses"}
_LINK = "/authorize/{token:[A-Za-z0-9_-]+}"


def _route(
    method: str,
    step: str,
    handle: Callable[[Visit], Awaitable[web.Response]],
    summary: str,
    answers: dict[int, type[Any] | str],
    *errors: int,
) -> Route:
    return Route(
        method,
        _LINK + step,
        _page(handle),
        summary,
        _TAG,
        dict(answers),
        takes=_FORM if method == "POST" else None,
        query={**_LANG, **_PAGE} if step == "/uses" else _LANG,
        lender=False,
        errors=(404, 429, 503, *errors),
    )


ROUTES = [
    Route("GET", _STYLE, style, "Style of the pages 样式", _TAG, {200: "text/css"}, lender=False),
    _route("GET", "", _start, "What is asked, or what became of it 授权页面", {200: _HTML}, 410),
    _route("POST", "", _agree, "The ticks; on to the identity check 勾选", {200: _HTML}, 403, 409),
    _route("POST", "/confirm", _confirm, "Give consent 确认授权", {303: _HTML}, 403, 409, 410),
    _route("POST", "/decline", _decline, "Say no 不同意", {303: _HTML}, 403, 409),
    _route("GET", "/receipt", _receipt, "The signed act 下载回执", {200: "application/jose"}, 409),
    _route("GET", "/uses", _uses, "Every use 使用记录", {200: _HTML}, 409),
    _route("GET", "/withdraw", _ask_withdraw, "Withdraw? 撤回", {200: _HTML}, 409),
    _route("POST", "/withdraw", _withdraw, "Yes, withdraw 确认撤回", {303: _HTML}, 403, 409),
]
