"""Profiles over HTTP: refused before any call where the consent does not cover them, issued once per key, signed."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import jwt as pyjwt
import pytest
import pytest_asyncio

from consent.consents import ChangeConsent
from consent.evidence import Evidence
from consent.log.merkle import leaf_hash, verify_inclusion
from consent.log.note import Vkey, open_checkpoint
from consent.profiles import IssueProfile
from gateway.api.profiles import ProfileAnswer
from gateway.demo import subject_of
from gateway.profile import request as request_module
from gateway.profile.request import ProfileRequest, read_profile, request_profile
from schemas.base import utc_text
from schemas.consent import ConsentState
from schemas.errors import NotFound, StorageUnavailable
from schemas.records import CATALOGUE
from tests.consent_world import person
from tests.gateway_world import OTHER, SMALL, World, about, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("profiles"), deadline_seconds=6) as made:
        yield made


def scope(dataset: str, platform: str, *fields: str) -> dict[str, Any]:
    return {"platform": platform, "dataset": dataset, "fields": sorted(fields or CATALOGUE[dataset].fields)}


async def ask(world: World, body: Any, **headers: str) -> Any:
    return await world.send("POST", "/v1/profiles", body, lender=world.lender, **headers)


async def test_a_profile_is_issued_with_every_data_set_and_its_place_in_the_log(world: World) -> None:
    consent = await world.consent()
    reply = await ask(world, world.ask(consent["id"], datasets=None))
    assert reply.status == 200
    profile = reply.json
    ProfileAnswer.model_validate_json(reply.body)
    assert reply.headers["Location"] == f"/v1/profiles/{profile['id']}"
    assert profile["sections"].keys() == CATALOGUE.keys()
    expected = world.firm["states"]
    assert {name: profile["sections"][name]["state"] for name in expected} == expected
    assert (profile["consent_id"], profile["consent_assurance"]) == (consent["id"], "lender_asserted")
    assert profile["declared"] == world.firm["declared"]
    assert profile["completeness"]["complete"] is True


async def test_the_same_profile_is_read_again_and_each_reading_is_logged(world: World) -> None:
    profile = await world.lender.profile(world.ask((await world.consent())["id"]))
    evidence = world.demo.services.evidence
    for _ in range(2):
        size = evidence.size
        reply = await world.send("GET", f"/v1/profiles/{profile['id']}", lender=world.lender)
        assert {k: v for k, v in reply.json.items() if k != "log"} == {k: v for k, v in profile.items() if k != "log"}
        assert reply.json["log"]["index"] == profile["log"]["index"]
        (entry,) = await evidence.entries(size, evidence.size)
        told = json.loads(entry.entry)
        assert (told["event"], told["subject"]) == ("profile.read", evidence.pseudonym(world.firm["uscc"]))


async def test_the_place_in_the_log_verifies_under_the_published_key(world: World) -> None:
    profile = await world.lender.profile(world.ask((await world.consent())["id"]))
    vkey = Vkey.parse((await world.send("GET", "/log/vkey")).body.decode().strip())
    again = (await world.send("GET", f"/v1/profiles/{profile['id']}", lender=world.lender)).json
    for place in (profile["log"], again["log"]):
        head, _ = open_checkpoint(place["checkpoint"], [vkey])
        (entry,) = await world.demo.services.evidence.entries(place["index"], place["index"] + 1)
        proof = [base64.b64decode(node) for node in place["proof"]]
        verify_inclusion(place["index"], head.size, leaf_hash(entry.entry), proof, head.root)
        assert json.loads(entry.entry)["event"] == "profile.issued"


async def test_the_jws_verifies_in_an_independent_library_with_the_published_keys(world: World) -> None:
    profile = await world.lender.profile(world.ask((await world.consent())["id"]))
    reply = await world.send("GET", f"/v1/profiles/{profile['id']}", lender=world.lender, Accept="application/jose")
    assert reply.headers["Content-Type"] == "application/jose"
    token = reply.body.decode()
    jwks = (await world.send("GET", "/.well-known/jwks.json")).json
    (jwk,) = jwks["keys"]
    assert "d" not in jwk
    key = pyjwt.PyJWKSet.from_dict(jwks)[pyjwt.get_unverified_header(token)["kid"]]
    opened = pyjwt.api_jws.decode_complete(token, key, algorithms=[jwk["alg"]])
    assert json.loads(opened["payload"]) == {k: v for k, v in profile.items() if k != "log"}
    head, body, signature = token.split(".")
    with pytest.raises(pyjwt.InvalidSignatureError):
        pyjwt.api_jws.decode_complete(f"{head}.{body[:-4]}AAAA.{signature}", key, algorithms=[jwk["alg"]])


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, "json"),
        ("*/*", "json"),
        ("application/*", "json"),
        ("application/json", "json"),
        ("application/jose", "jose"),
        ("APPLICATION/JOSE", "jose"),
        ("text/html, application/jose", "jose"),
        ("application/json;q=0.5, application/jose", "jose"),
        ("application/json, application/jose;q=0.5", "json"),
        ("application/jose;q=0, */*", "json"),
        ("application/json;q=0, */*;q=0.1", "jose"),
        ("text/html", None),
        ("application/jose+json", None),
        ("application/jose;q=0", None),
        ("application/jose;q=nan", None),
        ("application/json;q=-1", None),
        ("", None),
    ],
)
async def test_the_form_is_what_the_caller_accepts(world: World, accept: str | None, form: str | None) -> None:
    profile = await world.lender.profile(world.ask((await world.consent())["id"]))
    size = world.demo.services.evidence.size
    headers = {} if accept is None else {"Accept": accept}
    reply = await world.send("GET", f"/v1/profiles/{profile['id']}", lender=world.lender, **headers)
    if form is None:
        assert (reply.status, reply.json["code"]) == (406, "not_acceptable")
        # What was not given was not read.
        assert world.demo.services.evidence.size == size
    else:
        assert (reply.status, reply.headers["Content-Type"].split(";")[0]) == (200, f"application/{form}")


LATER = {"valid_from": "2999-01-01T00:00:00.000+00:00", "valid_to": "2999-02-01T00:00:00.000+00:00"}
PAST = {"valid_from": "2020-01-01T00:00:00.000+00:00", "valid_to": "2020-02-01T00:00:00.000+00:00"}
ONLY_FUND = {"scopes": [scope("provident_fund", "sh-hpf")]}

# What the consent says, what was done with it before, what is asked, and the refusal with its details.
REFUSALS: dict[str, tuple[dict[str, Any], list[str], dict[str, Any], str, dict[str, Any]]] = {
    "not yet valid": (LATER, [], {}, "consent_not_yet_valid", {}),
    "expired": (PAST, [], {}, "consent_expired", {}),
    "revoked": ({}, ["revoke"], {}, "consent_revoked", {}),
    "suspended": ({}, ["suspend"], {}, "consent_suspended", {}),
    "exhausted": ({"max_uses": 1}, ["use"], {}, "consent_exhausted", {"max_uses": 1}),
    "too often": (
        {"frequency": {"uses": 1, "days": 30}},
        ["use"],
        {},
        "consent_frequency_exceeded",
        {"uses": 1, "days": 30},
    ),
    "another enterprise": (
        {},
        [],
        {"firm": "headcount-conflict"},
        "consent_subject_mismatch",
        {},
    ),
    "another name": ({}, [], {"name": "虚构另一家（沙箱）有限公司"}, "consent_subject_mismatch", {}),
    "another purpose": ({}, [], {"purpose": "marketing"}, "consent_purpose_mismatch", {}),
    "a data set outside": (ONLY_FUND, [], {}, "consent_out_of_scope", {"at": "datasets"}),
    "a longer period": (
        {"lookback_months": 12},
        [],
        {"months": 24},
        "consent_out_of_scope",
        {"at": "period", "lookback_months": 12},
    ),
    "a person without a part": ({}, [], {"person": "示例"}, "consent_out_of_scope", {"at": "subject.persons"}),
    "a person about whom no platform can be asked": (
        {"persons": [person(0)]},
        [],
        {"person": person(0)["ref"]},
        "consent_out_of_scope",
        {"at": "subject.persons"},
    ),
    "sensitive data without a separate consent": (
        {"separate_consents": []},
        [],
        {"datasets": None},
        "consent_separate_required",
        {},
    ),
}


@pytest.mark.parametrize(("grant", "before", "asked", "code", "details"), REFUSALS.values(), ids=REFUSALS.keys())
async def test_a_consent_that_does_not_cover_it_is_refused_before_any_call(
    world: World, grant: dict[str, Any], before: list[str], asked: dict[str, Any], code: str, details: dict[str, Any]
) -> None:
    consent = await world.consent(**grant)
    for act in before:
        if act == "use":
            await world.lender.profile(world.ask(consent["id"]))
        else:
            await world.lender.call("POST", f"/v1/consents/{consent['id']}/{act}", {"reason": "示例"})
    asked = dict(asked)
    if name := asked.pop("name", None):
        asked["subject"] = {"uscc": world.firm["uscc"], "name": name}
    if firm := asked.pop("firm", None):
        asked["subject"] = subject_of(world.scenarios[firm])
    if ref := asked.pop("person", None):
        asked["subject"] = subject_of(world.firm) | {"persons": [{"role": "actual_controller", "ref": ref}]}
    calls, size = await world.calls(), world.demo.services.evidence.size
    reply = await ask(world, world.ask(consent["id"], **asked))
    assert (reply.status, reply.json["code"]) == (403, code), reply.json
    assert details.items() <= reply.json["details"].items()
    assert await world.calls() == calls
    # The refusal itself is an entry of the log.
    (entry,) = await world.demo.services.evidence.entries(size, size + 9)
    parsed = json.loads(entry.entry)
    assert (parsed["event"], parsed["code"]) == ("permit.refused", code)


@pytest.mark.parametrize("whose", ["nobody's", "another lender's"])
async def test_a_consent_that_is_not_ones_own_is_missing(world: World, whose: str) -> None:
    consent_id = "c" + "0" * 30 if whose == "nobody's" else (await world.consent(world.other))["id"]
    calls = await world.calls()
    reply = await ask(world, world.ask(consent_id))
    assert (reply.status, reply.json["code"]) == (404, "consent_missing")
    assert await world.calls() == calls


async def test_refusals_are_counted_by_code(world: World) -> None:
    await ask(world, world.ask("c" + "0" * 30))
    text = (await world.send("GET", "/metrics")).body.decode()
    assert 'xinqiao_refusals_total{code="consent_missing"}' in text


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"subject": {"uscc": "91990000XQ0000005A", "name": "示例"}}, None),
        ({"subject": {"uscc": "not a code", "name": "示例"}}, None),
        ({"datasets": []}, "datasets"),
        ({"datasets": ["no_such_data"]}, "datasets"),
        ({"datasets": ["Not A Name"]}, "datasets.0"),
        ({"require": ["provident_fund"]}, "require"),
        ({"months": 0}, "months"),
        ({"months": 121}, "months"),
        ({"max_age": "0d"}, "max_age"),
        ({"max_age": 30}, "max_age"),
        ({"declared": {"mortgage_amount": 1}}, "declared.mortgage_amount"),
        ({"declared": {"turnover": "1"}}, "declared.turnover"),
    ],
)
async def test_a_request_that_is_wrong_uses_nothing_up(world: World, changes: dict[str, Any], at: str | None) -> None:
    consent = await world.consent()
    calls = await world.calls()
    reply = await ask(world, world.ask(consent["id"], **changes))
    assert (reply.status, reply.json["details"].get("at")) == (400, at), reply.json
    assert await world.calls() == calls
    shown = await world.send("GET", f"/v1/consents/{consent['id']}", lender=world.lender)
    assert shown.json["uses"] == 0


async def test_only_what_is_asked_and_covered_is_fetched(world: World) -> None:
    consent = await world.consent(scopes=[scope(SMALL, "sh-hrss"), scope("provident_fund", "sh-hpf")])
    asked = [SMALL, "tax_returns"]
    profile = (await ask(world, world.ask(consent["id"], datasets=asked))).json
    states = {name: section["state"] for name, section in profile["sections"].items()}
    assert states[SMALL] == "present"
    assert states["tax_returns"] == "out_of_scope"
    assert states["provident_fund"] == "not_requested"
    assert [s["platform"] for s in profile["sources"]] == ["sh-hrss"]
    assert profile["completeness"]["missing"] == {"tax_returns": "consent_out_of_scope"}


async def test_what_is_required_decides_whether_the_profile_is_complete(world: World) -> None:
    consent = await world.consent(scopes=[scope(SMALL, "sh-hrss")])
    asked = [SMALL, "tax_returns"]
    loose = (await ask(world, world.ask(consent["id"], datasets=asked, require=[SMALL]))).json
    strict = (await ask(world, world.ask(consent["id"], datasets=asked, require=asked))).json
    assert (loose["completeness"]["complete"], strict["completeness"]["complete"]) == (True, False)


async def test_values_older_than_asked_are_marked_stale(world: World) -> None:
    consent = await world.consent()
    fresh = (await ask(world, world.ask(consent["id"], max_age="9999d"))).json
    stale = (await ask(world, world.ask(consent["id"], max_age="1d"))).json
    assert (fresh["sections"][SMALL]["state"], stale["sections"][SMALL]["state"]) == ("present", "stale")
    assert stale["sections"][SMALL]["values"] == fresh["sections"][SMALL]["values"]


async def test_the_period_is_the_consents_or_the_shorter_one_that_is_asked(world: World) -> None:
    consent = await world.consent(lookback_months=24)
    whole = (await ask(world, world.ask(consent["id"]))).json["period"]
    short = (await ask(world, world.ask(consent["id"], months=3))).json["period"]
    assert whole["last"] == short["last"]

    def months(text: str) -> int:
        return int(text[:4]) * 12 + int(text[5:])

    assert months(whole["last"]) - months(whole["first"]) == 23
    assert months(short["last"]) - months(short["first"]) == 2


async def test_the_same_key_and_body_give_the_same_profile_and_count_one_use(world: World) -> None:
    consent = await world.consent(max_uses=1)
    body = world.ask(consent["id"])
    first = await ask(world, body, Idempotency_Key="loan-1")
    calls = await world.calls()
    again = await ask(world, body, Idempotency_Key="loan-1")
    assert (first.status, again.status) == (200, 200)
    assert again.json["id"] == first.json["id"]
    assert await world.calls() == calls
    shown = (await world.send("GET", f"/v1/consents/{consent['id']}", lender=world.lender)).json
    assert shown["uses"] == 1


async def test_the_same_key_with_another_body_is_refused(world: World) -> None:
    consent = await world.consent()
    await ask(world, world.ask(consent["id"]), Idempotency_Key="loan-2")
    calls = await world.calls()
    reply = await ask(world, world.ask(consent["id"], months=2), Idempotency_Key="loan-2")
    assert (reply.status, reply.json["code"]) == (422, "idempotency_mismatch")
    assert await world.calls() == calls


async def test_another_lenders_key_is_another_key(world: World) -> None:
    mine, theirs = await world.consent(), await world.consent(world.other)
    first = await ask(world, world.ask(mine["id"]), Idempotency_Key="loan-3")
    body = world.ask(theirs["id"])
    reply = await world.send("POST", "/v1/profiles", body, lender=world.other, Idempotency_Key="loan-3")
    assert reply.status == 200
    assert reply.json["id"] != first.json["id"]


def asking_the_slow_one(world: World) -> tuple[World, list[str]]:
    """An enterprise of which one platform answers too late, and that platform's data sets."""
    slow = about(world, "platform-slow")
    (platform,) = slow.firm["troubles"]
    assert SMALL not in slow.offers[platform]
    return slow, sorted(slow.offers[platform])


async def in_use(world: World, consent_id: str) -> None:
    while not (await world.send("GET", f"/v1/consents/{consent_id}", lender=world.lender)).json["uses"]:
        continue


@pytest.mark.parametrize("key", ["", " ", "a b", "钥匙", "k" * 129])
async def test_a_key_is_visible_ascii_of_limited_length(world: World, key: str) -> None:
    consent = await world.consent()
    reply = await ask(world, world.ask(consent["id"]), Idempotency_Key=key)
    assert (reply.status, reply.json["details"]["at"]) == (400, "Idempotency-Key")


async def test_a_caller_that_cannot_wait_gets_what_has_come(world: World) -> None:
    slow, datasets = asking_the_slow_one(world)
    (platform,) = slow.firm["troubles"]
    consent = await slow.consent()
    reply = await ask(slow, slow.ask(consent["id"], datasets=[*datasets, SMALL]), Prefer="handling=lenient, wait=2")
    assert reply.status == 200
    states = {s["platform"]: (s["state"], s["reason"]) for s in reply.json["sources"]}
    assert states[platform] == ("unavailable", "deadline_exceeded")
    assert reply.json["completeness"]["complete"] is False
    assert any(state == "present" for state, _ in states.values())


@pytest.mark.parametrize("prefer", ["return=minimal", "wait=", "wait=-1", "wait=0", "wait=99999", "wait=600"])
async def test_other_preferences_change_nothing(world: World, prefer: str) -> None:
    consent = await world.consent()
    reply = await ask(world, world.ask(consent["id"]), Prefer=prefer)
    assert (reply.status, reply.json["sections"][SMALL]["state"]) == (200, "present")


async def test_a_platform_that_answers_about_another_enterprise_is_told_of(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = about(world, "wrong-enterprise")
    (platform,) = wrong.firm["troubles"]
    consent = await wrong.consent()
    profile = (await ask(wrong, wrong.ask(consent["id"], datasets=None))).json
    reasons = {s["reason"] for s in profile["sources"] if s["platform"] == platform}
    assert reasons == {"subject_mismatch"}
    assert "subject_mismatch" in capsys.readouterr().out


async def test_while_platforms_answer_the_same_key_is_at_work_and_a_withdrawal_releases_nothing(world: World) -> None:
    slow, datasets = asking_the_slow_one(world)
    consent = await slow.consent()
    body = slow.ask(consent["id"], datasets=datasets)
    first = asyncio.create_task(ask(slow, body, Idempotency_Key="loan-4"))
    await in_use(world, consent["id"])
    second = await ask(slow, body, Idempotency_Key="loan-4")
    assert (second.status, second.json["code"]) == (409, "idempotency_running")
    await world.lender.call("POST", f"/v1/consents/{consent['id']}/revoke", {"reason": "示例"})
    reply = await first
    assert (reply.status, reply.json["code"]) == (403, "consent_revoked")
    events = [json.loads(e.entry) for e in await world.demo.services.evidence.entries_about(consent["id"])]
    assert [e["event"] for e in events][-1] == "permit.closed"
    assert events[-1]["code"] == "consent_revoked"
    assert "profile.issued" not in {e["event"] for e in events}


async def test_a_profile_that_a_withdrawal_overtakes_on_its_way_from_the_log_is_not_handed_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    consent = await world.consent()
    committed = Evidence.submit

    async def overtaken(self: Evidence, command: Any) -> Any:
        result = await committed(self, command)
        if isinstance(command, IssueProfile):
            await self.change_consent(ChangeConsent(consent["id"], ConsentState.REVOKED, "demo-bank", "示例"))
        return result

    monkeypatch.setattr(Evidence, "submit", overtaken)
    reply = await ask(world, world.ask(consent["id"]))
    assert (reply.status, reply.json["code"]) == (403, "consent_revoked")
    events = [json.loads(e.entry)["event"] for e in await world.demo.services.evidence.entries_about(consent["id"])]
    assert events[-2:] == ["profile.issued", "consent.revoked"]


async def test_an_expired_consent_is_expired_by_the_gateways_clock(world: World) -> None:
    consent = await world.consent(valid_to=utc_text(world.watch() + timedelta(hours=1)))
    world.watch.ahead = timedelta(hours=2)
    try:
        reply = await ask(world, world.ask(consent["id"]))
        shown = await world.send("GET", f"/v1/consents/{consent['id']}", lender=world.lender)
    finally:
        world.watch.ahead = timedelta(0)
    assert (reply.status, reply.json["code"], shown.json["state"]) == (403, "consent_expired", "expired")


async def test_a_defect_after_the_permit_closes_it_even_where_that_cannot_be_written(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(request_module, "collect", broken)
    consent = await world.consent()
    reply = await ask(world, world.ask(consent["id"]))
    assert (reply.status, reply.json["code"]) == (500, "internal_error")
    events = [json.loads(e.entry) for e in await world.demo.services.evidence.entries_about(consent["id"])]
    assert (events[-1]["event"], events[-1]["code"]) == ("permit.closed", "internal_error")

    submit = type(world.demo.services.evidence).submit

    async def unwritable(self: Any, command: Any) -> Any:
        if isinstance(command, request_module.CloseFailed):
            raise StorageUnavailable
        return await submit(self, command)

    monkeypatch.setattr(type(world.demo.services.evidence), "submit", unwritable)
    assert (await ask(world, world.ask(consent["id"]))).json["code"] == "internal_error"


async def test_the_operator_reads_any_profile_and_a_lender_only_its_own(world: World) -> None:
    profile = await world.lender.profile(world.ask((await world.consent())["id"]))
    services = world.demo.services
    assert (await read_profile(services, profile["id"], None)).id == profile["id"]
    for stranger in (OTHER, ""):
        with pytest.raises(NotFound):
            await read_profile(services, profile["id"], stranger)
    with pytest.raises(NotFound):
        await read_profile(services, "p" + "0" * 30, None)


async def test_the_inner_door_refuses_another_lenders_consent_as_well(world: World) -> None:
    consent = await world.consent(world.other)
    made = ProfileRequest.model_validate(world.ask(consent["id"], require=["tax_returns"]))
    with pytest.raises(Exception, match="consent_missing"):
        await request_profile(world.demo.services, "demo-bank", made, body=b"{}", idempotency_key=None, wait=None)
