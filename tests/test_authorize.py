"""Asking an enterprise for its consent: what the lender sends, what the enterprise sees and does, and what is left."""

import base64
import hashlib
import html
import json
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from jwt import InvalidSignatureError, PyJWK
from jwt.api_jws import PyJWS

from consent.permits import OpenPermit
from consent.policy import PermitItem
from gateway.authorize import pages
from gateway.authorize.act import TYPE
from gateway.authorize.desk import DESK
from gateway.profile.request import months_back
from tests.authorize_world import HRSS, TAX, Browser, Seen, ask, asked, browser, give
from tests.gateway_world import OTHER, SMALL, World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("authorize")) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(world: World) -> AsyncIterator[Browser]:
    # Cookies of an address without a name are kept too.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), trust_env=False) as session:
        yield browser(world, session)


@pytest_asyncio.fixture(loop_scope="module")
async def stranger(world: World) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True), trust_env=False) as session:
        yield browser(world, session)


async def status_of(world: World, made: dict[str, Any]) -> dict[str, Any]:
    reply = await world.send("GET", f"/v1/consent-requests/{made['id']}", lender=world.lender)
    found: dict[str, Any] = reply.json
    return found


async def events(world: World, request_id: str) -> list[dict[str, Any]]:
    evidence = world.demo.services.evidence
    entries = [orjson.loads(e.entry) for e in await evidence.entries(0, evidence.size)]
    return [e for e in entries if e.get("request") == request_id]


# --- the lender's side -----------------------------------------------------------------------------------


async def test_a_lender_gets_a_link_a_qr_code_and_a_place_to_ask(world: World) -> None:
    made = await ask(world)
    assert made["state"] == "open"
    assert made["link"].startswith(world.demo.services.settings.issuer + "/authorize/")
    assert made["qr_svg"].startswith("<svg")
    assert await status_of(world, made) == {
        "id": made["id"],
        "state": "open",
        "expires_at": made["expires_at"],
        "consent_id": None,
    }


async def test_the_token_has_256_bits_and_is_stored_as_its_hash_only(world: World) -> None:
    made = await ask(world)
    token = made["link"].rpartition("/")[2]
    assert len(base64.urlsafe_b64decode(token + "=")) == 32
    folder = world.demo.services.settings.data
    raw = b"".join(p.read_bytes() for p in folder.glob("xinqiao.sqlite*"))
    assert token.encode() not in raw
    assert hashlib.sha256(token.encode()).hexdigest().encode() in raw


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"scopes": []}, "scopes"),
        ({"scopes": [{**HRSS, "platform": "no-such"}]}, "scopes.0"),
        ({"scopes": [HRSS, {**HRSS, "dataset": "tax_returns"}]}, "scopes.1"),
        ({"scopes": [{**HRSS, "fields": ["sales"]}]}, "scopes[0].fields"),
        ({"subject": {"uscc": "91990000XQ0000005A", "name": "示例"}}, "subject.uscc"),
        ({"valid_days": 0}, "valid_days"),
        ({"max_uses": 0}, "max_uses"),
        ({"language": "fr"}, "language"),
        ({"purpose_text": {"zh": "贷款"}}, "purpose_text.en"),
        ({"disposal": {"zh": "销毁\u202e", "en": "x"}}, "disposal.zh"),
        ({"recipients": ["一家", "另\u200b一家"]}, "recipients.1"),
        ({"purpose_text": {"zh": "贷\n款", "en": "loan"}}, "purpose_text.zh"),
        ({"grantee": OTHER}, "grantee"),
    ],
)
async def test_what_could_not_be_honoured_or_read_is_refused_with_its_place(
    world: World, changes: dict[str, Any], at: str
) -> None:
    size = world.demo.services.evidence.size
    reply = await world.send("POST", "/v1/consent-requests", asked(world, **changes), lender=world.lender)
    assert (reply.status, reply.json["details"]["at"]) == (400, at), reply.json
    assert world.demo.services.evidence.size == size


async def test_where_nobodys_identity_can_be_checked_nobody_is_asked_and_nobody_agrees(
    world: World, visitor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await ask(world)
    page = await visitor.get(made["path"])
    identity = await visitor.post(made["path"], {**page.hidden(), "agree": "yes"})
    monkeypatch.setattr(world.app[DESK], "identity", None)
    reply = await world.send("POST", "/v1/consent-requests", asked(world), lender=world.lender)
    assert (reply.status, reply.json["details"]["at"]) == (403, "identity_check")
    for step, form in (("", page.hidden()), ("/confirm", {**identity.hidden(), "code": identity.code})):
        assert (await visitor.post(made["path"] + step, {"agree": "yes", **form})).status == 403
    assert (await status_of(world, made))["state"] == "open"


async def test_another_lenders_request_is_not_found_and_the_attempt_is_logged(world: World) -> None:
    made = await ask(world)
    for path in (f"/v1/consent-requests/{made['id']}", "/v1/consent-requests/r0"):
        size = world.demo.services.evidence.size
        reply = await world.send("GET", path, lender=world.other)
        assert reply.status == 404
        assert world.demo.services.evidence.size == size + 1
    assert (await world.send("GET", f"/v1/consent-requests/{made['id']}")).status == 401


# --- what the enterprise sees ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "zh",
            [
                "演示银行",
                "社会保险",
                "参保人数",
                "纳税申报",
                "最近 24 个月",
                "90 天",
                "最多查询 3 次",
                "1825 天",
                "可以不同意",
            ],
        ),
        (
            "en",
            [
                "Demo Bank",
                "Social insurance",
                "Insured persons",
                "Tax returns",
                "last 24 months",
                "90 days",
                "At most 3",
            ],
        ),
    ],
)
async def test_the_page_says_who_gets_what_from_whom_why_and_how_long(
    world: World, visitor: Browser, language: str, said: list[str]
) -> None:
    made = await ask(
        world,
        recipients=["示例担保公司 (invented)"],
        intermediaries=[{"id": "sh-outlet", "name": "示例数据出口 (invented)"}],
        scopes=[{**HRSS, "via": ["sh-outlet"]}, TAX],
    )
    page = await visitor.get(f"{made['path']}?lang={language}")
    assert page.status == 200
    purpose = asked(world)["purpose_text"][language]
    firm = asked(world)["subject"]
    for text in [*said, purpose, firm["name"], firm["uscc"], "SANDBOX-LOAN-7", "示例担保公司"]:
        assert text in page.plain, text
    assert f'<html lang="{"zh-CN" if language == "zh" else "en"}">' in page.text


async def test_without_a_choice_the_page_is_in_the_language_that_the_lender_named(
    world: World, visitor: Browser
) -> None:
    for language, title in (("zh", "企业数据查询授权书"), ("en", "Authorisation to query enterprise data")):
        made = await ask(world, language=language)
        assert title in (await visitor.get(made["path"])).plain
        assert title in (await visitor.get(made["path"] + "?lang=fr")).plain


async def test_nothing_is_ticked_and_each_sensitive_data_set_has_a_tick_of_its_own(
    world: World, visitor: Browser
) -> None:
    fund = {"platform": "sh-hpf", "dataset": "provident_fund", "fields": ["month", "persons", "base"]}
    made = await ask(world, scopes=[HRSS, fund, TAX])
    page = await visitor.get(made["path"])
    assert "checked" not in page.text
    assert [n for n in (SMALL, "provident_fund", "tax_returns") if f'id="separate-{n}"' in page.text] == [
        SMALL,
        "provident_fund",
    ]


async def test_without_sensitive_fields_there_is_nothing_to_agree_to_separately(world: World, visitor: Browser) -> None:
    made = await ask(world, scopes=[TAX], max_uses=None)
    page = await visitor.get(made["path"])
    assert 'name="separate"' not in page.text
    assert "查询次数不限" in page.plain
    receipt = await give(visitor, made["path"], separate=())
    consent = await world.demo.services.evidence.consent((await status_of(world, made))["consent_id"])
    assert receipt.status == 200
    assert consent is not None
    assert consent.max_uses is None


async def test_every_control_has_a_label_and_the_page_needs_no_script_and_no_other_host(
    world: World, visitor: Browser
) -> None:
    made = await ask(world)
    page = await visitor.get(made["path"])
    for name in re.findall(r'<input type="(?:checkbox|text)" id="([^"]+)"', page.text):
        assert f'for="{name}"' in page.text
    assert "<script" not in page.text
    assert " on" + "click" not in page.text
    assert re.findall(r'(?:href|src|action)="(?!/)', page.text) == []
    policy = page.headers["Content-Security-Policy"]
    for rule in ("default-src 'none'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "same-origin"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    cookie = page.headers["Set-Cookie"]
    for attribute in ("HttpOnly", "SameSite=Strict", "Path=/authorize"):
        assert attribute in cookie
    style = await visitor.get("/authorize/style.css")
    assert (style.status, style.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert "url(" not in style.text


async def test_markup_in_names_is_shown_as_text(world: World, visitor: Browser) -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7777*3333}}{lender}"
    made = await ask(
        world,
        subject={**asked(world)["subject"], "name": evil},
        purpose_text={"zh": evil, "en": evil},
        recipients=[evil],
        disposal={"zh": evil, "en": evil},
        application=evil,
    )
    for page in (await visitor.get(made["path"]), await give(visitor, made["path"])):
        assert "<script" not in page.text
        assert "<img" not in page.text
        assert str(7777 * 3333) not in page.text
    first = await visitor.get((await ask(world, application=evil))["path"])
    assert html.escape(evil, quote=False).replace('"', "&#34;").replace("'", "&#39;") in first.text


# --- agreeing --------------------------------------------------------------------------------------------


async def test_an_agreed_request_is_a_consent_captured_by_the_gateway_and_can_be_used(
    world: World, visitor: Browser
) -> None:
    made = await ask(world)
    receipt = await give(visitor, made["path"])
    assert receipt.status == 200
    state = await status_of(world, made)
    assert state["state"] == "given"
    assert state["consent_id"] in receipt.plain
    reply = await world.send("GET", f"/v1/consents/{state['consent_id']}", lender=world.lender)
    consent = reply.json
    assert (consent["assurance"], consent["state"], consent["grantee"]) == ("gateway_captured", "active", "demo-bank")
    (signer,) = consent["signers"]
    assert (signer["identity_check"], signer["person_ref"]) == ("sandbox_code", "sandbox-person-1")
    assert consent["revocation_effect"].startswith("同意之后，您可以随时在本页面撤回")
    assert (consent["channel"], consent["device"]) == ("web_page", "Test/1.0 (phone)")
    assert consent["separate_consents"] == [SMALL]
    assert {(s["platform"], s["dataset"]): s["fields"] for s in consent["scopes"]} == {
        ("sh-hrss", SMALL): HRSS["fields"],
        ("sh-tax", "tax_returns"): TAX["fields"],
    }
    profile = await world.lender.profile(world.ask(consent["id"]))
    assert profile["consent_assurance"] == "gateway_captured"
    assert profile["sections"][SMALL]["state"] == "present"
    assert [e["event"] for e in await events(world, made["id"])] == ["request.opened", "request.given"]
    assert await world.demo.services.evidence.audit() == []


async def test_the_receipt_holds_the_text_the_ticks_and_the_act_signed_by_the_gateway(
    world: World, visitor: Browser
) -> None:
    fund = {"platform": "sh-hpf", "dataset": "provident_fund", "fields": ["month", "persons", "base"]}
    made = await ask(world, scopes=[HRSS, fund])
    shown = await visitor.get(made["path"])
    receipt = await give(visitor, made["path"])
    file = await visitor.get(made["path"] + "/receipt")
    assert file.headers["Content-Disposition"] == f'attachment; filename="xinqiao-consent-{made["id"]}.jws"'
    (key,) = json.loads(await world.demo.get("/.well-known/jwks.json"))["keys"]
    signed = PyJWS().decode_complete(file.text, PyJWK(key), algorithms=["EdDSA"])
    assert signed["header"] == {"alg": "EdDSA", "kid": key["kid"], "typ": TYPE}
    act = json.loads(signed["payload"])
    consent = await world.demo.services.evidence.consent((await status_of(world, made))["consent_id"])
    assert consent is not None
    digest = hashlib.sha256(file.text.encode()).hexdigest()
    assert consent.evidence.sha256 == digest
    assert digest in receipt.plain
    text = act["text"]
    assert hashlib.sha256(text.encode()).hexdigest() == act["text_sha256"] == consent.text_sha256
    assert (act["text_version"], consent.text_version) == ("page-1-zh", "page-1-zh")
    for line in text.split("\n"):
        assert line in shown.plain, line
    assert act["ticks"] == {"agree": True, "separate": {SMALL: True, "provident_fund": False}}
    assert act["asked"] == {"language": "zh", "link_hours": 72, "recipients": [], **act["asked"]}
    assert (act["channel"], act["device"], act["request"]) == ("web_page", "Test/1.0 (phone)", made["id"])
    assert act["given_at"] == consent.given_at == consent.valid_from
    head, body, signature = file.text.split(".")
    with pytest.raises(InvalidSignatureError):
        PyJWS().decode_complete(f"{head}.{body[:-4]}AAAA.{signature}", PyJWK(key), algorithms=["EdDSA"])


async def test_a_sensitive_class_that_is_not_ticked_is_not_part_of_the_consent(world: World, visitor: Browser) -> None:
    made = await ask(world)
    receipt = await give(visitor, made["path"], separate=())
    consent = await world.demo.services.evidence.consent((await status_of(world, made))["consent_id"])
    assert consent is not None
    assert consent.separate_consents == []
    assert consent.scopes[0].fields == ["month", "kind", "persons"]
    assert "未同意" in receipt.plain


async def test_agreeing_to_nothing_but_sensitive_data_without_a_tick_is_no_consent(
    world: World, visitor: Browser
) -> None:
    made = await ask(world, scopes=[{**HRSS, "fields": ["base"]}])
    page = await visitor.get(made["path"])
    answer = await visitor.post(made["path"], {**page.hidden(), "agree": "yes"})
    assert answer.status == 400
    assert "至少勾选一项" in answer.plain
    assert (await status_of(world, made))["state"] == "open"


@pytest.mark.parametrize("agree", [[], ["no"], ["yes", "yes"]])
async def test_without_the_tick_there_is_no_identity_check_and_the_page_says_why(
    world: World, visitor: Browser, agree: list[str]
) -> None:
    made = await ask(world)
    page = await visitor.get(made["path"])
    answer = await visitor.post(made["path"], {**page.hidden(), "agree": agree})
    assert (answer.status, 'role="alert"' in answer.text, "sandbox-code" in answer.text) == (400, True, False)


async def test_saying_no_is_one_tap_and_final(world: World, visitor: Browser) -> None:
    made = await ask(world)
    page = await visitor.get(made["path"])
    answer = await visitor.post(made["path"] + "/decline", page.hidden())
    assert answer.status == 200
    assert "未同意授权" in answer.plain
    assert await status_of(world, made) == {**await status_of(world, made), "state": "declined", "consent_id": None}
    late = await visitor.post(made["path"], {**page.hidden(), "agree": "yes"})
    assert late.status == 409
    for step in ("/receipt", "/uses", "/withdraw"):
        assert (await visitor.get(made["path"] + step)).status == 409


# --- seeing and withdrawing ------------------------------------------------------------------------------


async def test_the_enterprise_sees_every_use_and_withdraws_in_two_taps(world: World, visitor: Browser) -> None:
    made = await ask(world)
    receipt = await give(visitor, made["path"])
    consent_id = (await status_of(world, made))["consent_id"]
    none_yet = await visitor.get(made["path"] + "/uses")
    assert "尚无查询" in none_yet.plain
    profile = await world.lender.profile(world.ask(consent_id))
    await world.lender.jws(profile["id"])
    refused = await world.send("POST", "/v1/profiles", world.ask(consent_id, purpose="marketing"), lender=world.lender)
    assert refused.status == 403
    uses = await visitor.get(made["path"] + "/uses?lang=en")
    for said in ("Demo Bank", "Social insurance", "Profile issued", "read again 1 times", "Entries: 2"):
        assert said in uses.plain, said
    assert (await events(world, made["id"]))[-1]["event"] == "uses.read"
    first_tap = made["path"] + "/withdraw?lang=zh"
    assert first_tap in receipt.text
    question = await visitor.get(first_tap)
    ended = await visitor.post(first_tap, question.hidden())
    assert ended.status == 200
    assert "已撤回" in ended.plain
    late = await world.send("POST", "/v1/profiles", world.ask(consent_id), lender=world.lender)
    assert (late.status, late.json["code"]) == (403, "consent_revoked")
    history = await world.demo.services.evidence.consent_history(consent_id)
    assert (history[-1].actor, history[-1].state.value) == ("enterprise", "revoked")
    again = await visitor.post(first_tap, question.hidden())
    assert again.status == 200
    kept = await visitor.get(made["path"])
    assert "已撤回此授权" in kept.plain
    assert "/withdraw" not in kept.text
    assert await world.demo.services.evidence.audit() == []


@pytest.mark.parametrize(
    ("language", "said"),
    [("zh", "（经由 示例数据出口 (invented) 转接）"), ("en", "(passed on by 示例数据出口 (invented))")],
)
async def test_the_enterprise_sees_which_outlet_passed_its_data_on(
    world: World, visitor: Browser, language: str, said: str
) -> None:
    outlet = {"id": "sh-outlet", "name": "示例数据出口 (invented)"}
    made = await ask(world, intermediaries=[outlet], scopes=[{**TAX, "via": ["sh-outlet"]}])
    await give(visitor, made["path"], separate=())
    consent_id = (await status_of(world, made))["consent_id"]
    consent = await world.demo.services.evidence.consent(consent_id)
    assert consent is not None
    months = months_back(world.demo.services.now(), 1)
    item = PermitItem("sh-tax", "tax_returns", frozenset({"tax"}))
    for n, items in enumerate([(item,), (item, item._replace(outlet="sh-outlet"))]):
        who = (consent.grantee, None, b"", consent_id, consent.subject.uscc, consent.subject.name, consent.purpose)
        await world.demo.services.evidence.submit(OpenPermit(f"{consent_id}-{n}", *who, items, *months))
    page = await visitor.get(made["path"] + f"/uses?lang={language}")
    assert (page.plain.count(said), page.plain.count("sh-outlet")) == (1, 0)


async def test_many_uses_are_told_page_by_page_the_newest_first(
    world: World, visitor: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "USES", 2)
    made = await ask(world)
    await give(visitor, made["path"])
    consent_id = (await status_of(world, made))["consent_id"]
    for months in (1, 2, 3):
        await world.lender.profile(world.ask(consent_id, months=months))
    newest = await visitor.get(made["path"] + "/uses?lang=en")
    oldest = await visitor.get(made["path"] + "/uses?lang=en&page=2")
    assert [p.plain.count("Profile issued") for p in (newest, oldest)] == [2, 1]
    assert ("Earlier entries" in newest.plain, "Later entries" in newest.plain) == (True, False)
    assert ("Earlier entries" in oldest.plain, "Later entries" in oldest.plain) == (False, True)
    assert "Entries: 3" in oldest.plain
    for wrong in ("0", "3", "x", ""):
        assert (await visitor.get(made["path"] + f"/uses?page={wrong}")).status == 400


async def test_a_consent_past_its_time_is_shown_as_ended(world: World, visitor: Browser) -> None:
    made = await ask(world, valid_days=1)
    await give(visitor, made["path"])
    before = world.watch.ahead
    try:
        world.watch.ahead += type(before)(days=2)
        assert "已到期" in (await visitor.get(made["path"])).plain
        assert "ended" in (await visitor.get(made["path"] + "/uses?lang=en")).plain
    finally:
        world.watch.ahead = before


# --- hostile ---------------------------------------------------------------------------------------------


async def test_the_same_answer_sent_twice_is_one_consent(world: World, visitor: Browser) -> None:
    made = await ask(world)
    page = await visitor.get(made["path"])
    identity = await visitor.post(made["path"], {**page.hidden(), "agree": "yes"})
    form = {**identity.hidden(), "code": identity.code}
    assert (await visitor.post(made["path"] + "/confirm", form, follow=False)).status == 303
    replayed = await visitor.post(made["path"] + "/confirm", form)
    assert replayed.status == 409
    assert [e["event"] for e in await events(world, made["id"])] == ["request.opened", "request.given"]


async def test_five_wrong_codes_close_the_link_and_each_is_in_the_log(world: World, visitor: Browser) -> None:
    made = await ask(world)
    page = await visitor.get(made["path"])
    identity = await visitor.post(made["path"], {**page.hidden(), "agree": "yes"})
    wrong = {**identity.hidden(), "code": "x" + identity.code}
    answers: list[Seen] = [await visitor.post(made["path"] + "/confirm", wrong) for _ in range(5)]
    assert [a.status for a in answers] == [403, 403, 403, 403, 410]
    assert "还可再试 4 次" in answers[0].plain
    right = await visitor.post(made["path"] + "/confirm", {**identity.hidden(), "code": identity.code})
    assert right.status == 409
    assert (await visitor.get(made["path"])).status == 410
    names = [e["event"] for e in await events(world, made["id"])]
    assert names == ["request.opened", *["request.refused"] * 5, "request.expired"]


async def test_a_code_of_another_visit_or_an_old_one_does_not_hold(
    world: World, visitor: Browser, stranger: Browser
) -> None:
    made = await ask(world)
    forms = []
    for someone in (visitor, stranger):
        page = await someone.get(made["path"])
        identity = await someone.post(made["path"], {**page.hidden(), "agree": "yes"})
        forms.append((identity.hidden(), identity.code))
    borrowed = await stranger.post(made["path"] + "/confirm", {**forms[1][0], "code": forms[0][1]})
    before = world.watch.ahead
    try:
        world.watch.ahead += type(before)(minutes=20)
        old = await stranger.post(made["path"] + "/confirm", {**forms[1][0], "code": forms[1][1]})
    finally:
        world.watch.ahead = before
    assert (borrowed.status, old.status) == (403, 403)
    assert (await status_of(world, made))["state"] == "open"


async def test_an_expired_link_takes_no_answer(world: World, visitor: Browser) -> None:
    made = await ask(world, link_hours=1)
    page = await visitor.get(made["path"])
    identity = await visitor.post(made["path"], {**page.hidden(), "agree": "yes"})
    before = world.watch.ahead
    try:
        world.watch.ahead += type(before)(hours=2)
        assert (await visitor.get(made["path"])).status == 410
        for step, form in (("", page.hidden()), ("/confirm", {**identity.hidden(), "code": identity.code})):
            assert (await visitor.post(made["path"] + step, {"agree": "yes", **form})).status == 409
        assert (await visitor.post(made["path"] + "/decline", page.hidden())).status == 409
        assert (await status_of(world, made))["state"] == "expired"
    finally:
        world.watch.ahead = before


@pytest.mark.parametrize("step", ["", "/confirm", "/decline", "/withdraw"])
async def test_a_form_of_another_browser_another_link_or_without_its_cookie_is_refused(
    world: World, visitor: Browser, stranger: Browser, step: str
) -> None:
    made, another = await ask(world), await ask(world)
    page = await visitor.get(made["path"])
    form = {**page.hidden(), "agree": "yes", "code": "000000"}
    size = world.demo.services.evidence.size
    assert (await stranger.post(made["path"] + step, form)).status == 403
    await stranger.get(made["path"])
    assert (await stranger.post(made["path"] + step, form)).status == 403
    assert (await visitor.post(another["path"] + step, form)).status == 403
    assert (await visitor.post(made["path"] + step, {**form, "form": ""})).status == 403
    assert (await visitor.post(made["path"] + step, {"agree": "yes"})).status == 403
    assert world.demo.services.evidence.size == size


async def test_a_cookie_that_was_not_made_here_is_replaced_and_opens_no_form(world: World) -> None:
    made = await ask(world)
    async with aiohttp.ClientSession(trust_env=False) as session:
        planted = browser(world, session)
        page = await planted.get(made["path"], Cookie="xinqiao_visit=planted")
        assert "planted" not in page.headers["Set-Cookie"]
        answer = await planted.post(made["path"] + "/decline", page.hidden(), Cookie="xinqiao_visit=planted")
    assert answer.status == 403


async def test_an_answer_to_another_text_than_the_one_that_would_be_signed_is_refused(
    world: World, visitor: Browser
) -> None:
    made = await ask(world)
    page = await visitor.get(made["path"])
    identity = await visitor.post(made["path"], {**page.hidden(), "agree": "yes"})
    form = {**identity.hidden(), "code": identity.code}
    for changed in ({"text": "0" * 64}, {"text": []}, {"agree": []}):
        assert (await visitor.post(made["path"] + "/confirm", {**form, **changed})).status == 409
    other_language = await visitor.post(made["path"] + "/confirm?lang=en", form)
    assert other_language.status == 409
    assert (await visitor.post(made["path"] + "/confirm", form)).status == 200


async def test_a_tick_for_what_was_not_asked_is_refused(world: World, visitor: Browser) -> None:
    made = await ask(world)
    page = await visitor.get(made["path"])
    answer = await visitor.post(made["path"], {**page.hidden(), "agree": "yes", "separate": ["tax_returns"]})
    assert answer.status == 400


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("application/x-www-form-urlencoded; charset=klingon", b"form=%ff", 400),
        ("application/x-www-form-urlencoded", b"form=%ff%fe", 403),
    ],
)
async def test_what_is_no_form_is_refused(world: World, kind: str, body: bytes, status: int) -> None:
    made = await ask(world)
    reply = await world.send("POST", made["path"], body, Content_Type=kind)
    assert (reply.status, reply.headers["Content-Type"]) == (status, "application/problem+json")


async def test_a_link_that_does_not_exist_is_a_page_for_people_and_a_problem_for_programs(
    world: World, visitor: Browser
) -> None:
    for path in ("/authorize/" + "A" * 43, "/authorize/x"):
        page = await visitor.get(path + "?lang=en")
        assert (page.status, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert "no such link" in page.plain
        reply = await world.send("GET", path)
        assert (reply.status, reply.json["code"]) == (404, "not_found")
    assert (await visitor.get("/authorize/x?lang=en&lang=zh")).status == 400
    assert (await visitor.get("/authorize/x?secret=1")).status == 400


async def test_a_token_of_one_request_opens_no_other(world: World, visitor: Browser) -> None:
    one, two = await ask(world), await ask(world, application="SANDBOX-LOAN-8")
    await give(visitor, one["path"])
    assert "SANDBOX-LOAN-8" in (await visitor.get(two["path"])).plain
    assert (await visitor.get(two["path"] + "/receipt")).status == 409
    assert (await status_of(world, two))["state"] == "open"


async def test_the_device_is_kept_without_characters_that_are_not_seen(world: World, visitor: Browser) -> None:
    visitor.headers["User-Agent"] = "Ph\u202eone\u0085 " + "x" * 400
    made = await ask(world)
    await give(visitor, made["path"])
    consent = await world.demo.services.evidence.consent((await status_of(world, made))["consent_id"])
    assert consent is not None
    assert consent.device is not None
    assert len(consent.device) == 200
    assert consent.device.startswith("Ph")
    assert "\u202e" not in consent.device


async def test_a_lender_cannot_say_that_an_enterprise_agreed_on_its_page(world: World) -> None:
    grant = world.grant(assurance="gateway_captured")
    reply = await world.send("POST", "/v1/consents", grant, lender=world.lender)
    assert (reply.status, reply.json["details"]["at"]) == (400, "assurance")


async def test_a_link_that_is_used_too_often_has_to_wait_and_others_do_not(world: World, visitor: Browser) -> None:
    made, another = await ask(world), await ask(world)
    seen = [await visitor.get(made["path"]) for _ in range(80)]
    refused = [s for s in seen if s.status == 429]
    assert refused
    assert refused[0].headers["Retry-After"] == "1"
    assert "请求过于频繁" in refused[0].plain
    assert (await visitor.get(another["path"])).status == 200


async def test_the_identity_check_of_one_link_is_not_begun_again_and_again(world: World, visitor: Browser) -> None:
    made = await ask(world)
    page = await visitor.get(made["path"])
    begun = [(await visitor.post(made["path"], {**page.hidden(), "agree": "yes"})).status for _ in range(11)]
    assert begun == [200] * 10 + [429]


async def test_who_tries_many_links_that_do_not_exist_has_to_wait(world: World, visitor: Browser) -> None:
    size = world.demo.services.evidence.size
    seen = [(await visitor.get(f"/authorize/{n:043}")).status for n in range(30)]
    assert seen[-1] == 429
    assert world.demo.services.evidence.size == size
