"""``/authorize/{token}``: what the enterprise sees and does. Plain forms, no script, nothing from any other host.

Whoever holds the link may read, decline and withdraw; only who passes the identity check may agree.
"""

from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Any
from unicodedata import category

from aiohttp import web

from consent.consents import ENTERPRISE, ChangeConsent, GrantConsent
from consent.profiles import RecordEvent
from consent.requests import CountTry, DeclineRequest, GiveConsent, RefuseIdentity, RequestState
from gateway.api.routing import Route, query_int
from gateway.authorize.act import sign_act
from gateway.authorize.asked import CHANNEL, Language, agreed_scopes, grant_of
from gateway.authorize.desk import HERE
from gateway.authorize.identity import IdentityCheck
from gateway.authorize.statement import dataset_title, form_of
from gateway.authorize.visit import STYLE, Visit, for_people
from gateway.authorize.words import WORDS, outcome_words
from schemas.base import Json, utc_text
from schemas.consent import Consent, ConsentState
from schemas.errors import ConsentConflict, Forbidden, InvalidRequest

_WITHDRAWN = "企业在授权页面撤回 withdrawn by the enterprise on its page"
USES = 50
"""Uses on one page, newest first."""


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
    await evidence.submit(form_of(visit.language, ENTERPRISE))
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
    signed = sign_act(visit.services.signer, act)
    grant = grant_of(
        ask,
        visit.stored.lender,
        language=visit.language,
        separate=separate,
        identity_check=identity_check,
        text_version=statement.version,
        text_sha256=statement.sha256,
        revocation_effect=statement.withdraw,
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
    subject = evidence.pseudonym(visit.ask.subject.uscc)
    await evidence.submit(RecordEvent("uses.read", ENTERPRISE, consent.id, subject, {"request": visit.stored.id}))

    outlets = {one.id: one.name for one in visit.ask.intermediaries}

    def item(platform: str, dataset: str, outlet: str | None) -> str:
        held = visit.desk.platforms.get(platform, {}).get(visit.language, platform)
        passed = WORDS[visit.language]["passed_on"].format(name=outlets.get(outlet, outlet)) if outlet else ""
        return f"{held}: {dataset_title(dataset, visit.language)}{passed}"

    lenders = visit.services.settings.lenders
    rows = [
        {
            "at": visit.time(use.at),
            "by": lenders[use.lender].name if use.lender in lenders else use.lender,
            "items": None if use.items is None else [item(*way) for way in use.items],
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
        for_people(handle),
        summary,
        _TAG,
        dict(answers),
        takes=_FORM if method == "POST" else None,
        query={**_LANG, **_PAGE} if step == "/uses" else _LANG,
        lender=False,
        errors=(404, 429, 503, *errors),
    )


ROUTES = [
    Route("GET", STYLE, style, "Style of the pages 样式", _TAG, {200: "text/css"}, lender=False),
    _route("GET", "", _start, "What is asked, or what became of it 授权页面", {200: _HTML}, 410),
    _route("POST", "", _agree, "The ticks; on to the identity check 勾选", {200: _HTML}, 403, 409),
    _route("POST", "/confirm", _confirm, "Give consent 确认授权", {303: _HTML}, 403, 409, 410),
    _route("POST", "/decline", _decline, "Say no 不同意", {303: _HTML}, 403, 409),
    _route("GET", "/receipt", _receipt, "The signed act 下载回执", {200: "application/jose"}, 409),
    _route("GET", "/uses", _uses, "Every use 使用记录", {200: _HTML}, 409),
    _route("GET", "/withdraw", _ask_withdraw, "Withdraw? 撤回", {200: _HTML}, 409),
    _route("POST", "/withdraw", _withdraw, "Yes, withdraw 确认撤回", {303: _HTML}, 403, 409),
]
