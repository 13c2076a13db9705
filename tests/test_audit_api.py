"""What an auditor finds over HTTP, what it does not see, and what each look leaves in the log."""

import io
import zipfile
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import orjson
import pytest
import pytest_asyncio

from consent.log.note import Vkey
from consent.profiles import access_refused
from consent.search import Conditions
from gateway.audit.export import check
from gateway.audit.masks import masked
from gateway.services import open_services
from gateway.telemetry import Metrics
from schemas.canonical import canonical
from tests.gateway_world import World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One consent with a profile, one withdrawn with a refusal, and a lender that reached too far."""
    async with gateway_world(tmp_path_factory.mktemp("audit")) as made:
        good = await made.consent()
        await made.lender.profile(made.ask(good["id"]))
        ended = await made.consent(made.other)
        await made.send("POST", f"/v1/consents/{ended['id']}/revoke", {"reason": "张三 13800000000"}, lender=made.other)
        assert (await made.send("POST", "/v1/profiles", made.ask(ended["id"]), lender=made.other)).status == 403
        assert (await made.send("GET", f"/v1/consents/{good['id']}", lender=made.other)).status == 404
        yield made


async def stored(world: World) -> list[dict[str, Any]]:
    evidence = world.demo.services.evidence
    return [orjson.loads(one.entry) for one in await evidence.entries(0, evidence.size)]


async def look(world: World, query: str = "") -> dict[str, Any]:
    reply = await world.send("GET", f"/v1/log/entries{query}", lender=world.auditor)
    assert reply.status == 200, reply.body
    body: dict[str, Any] = reply.json
    return body


async def test_without_conditions_every_entry_is_given_masked_in_order(world: World) -> None:
    size = world.demo.services.evidence.size
    body = await look(world)
    assert [one["index"] for one in body["entries"]] == list(range(size))
    assert (body["next"], body["unreadable"]) == (None, 0)
    text = orjson.dumps(body).decode()
    for entry in (await stored(world))[:size]:
        for name in ("id", "consent", "subject", "permit", "profile", "commitment"):
            if entry.get(name):
                assert entry[name] not in text
                assert entry[name][:8] + "…" in text
    assert world.firm["uscc"] not in text
    assert world.firm["name"] not in text


async def test_each_condition_finds_what_meets_it_and_nothing_else(world: World) -> None:
    all_ = await stored(world)
    consent = next(e["consent"] for e in all_ if e["event"] == "profile.issued")
    middle = all_[len(all_) // 2]["time"]
    platform = next(e["items"][0][0] for e in all_ if e["event"] == "permit.granted")
    wanted: dict[str, Callable[[dict[str, Any]], bool]] = {
        f"?consent={consent}": lambda e: e["consent"] == consent,
        "?actor=other-bank": lambda e: e["actor"] == "other-bank",
        "?event=permit.refused": lambda e: e["event"] == "permit.refused",
        "?event=permit.granted": lambda e: e["event"] == "permit.granted",
        "?outcome=consent_revoked": lambda e: e.get("code") == "consent_revoked",
        f"?platform={platform}": lambda e: platform in str(e.get("items")) + str(e.get("sources")),
        f"?since={quote(middle)}": lambda e: e["time"] >= middle,
        f"?until={quote(middle)}": lambda e: e["time"] < middle,
        "?first=2&last=4": lambda e: e in all_[2:5],
        "?actor=other-bank&event=permit.refused": lambda e: (
            (e["actor"], e["event"]) == ("other-bank", "permit.refused")
        ),
    }
    for query, meets in wanted.items():
        found = [one["index"] for one in (await look(world, query))["entries"]]
        expected = [index for index, entry in enumerate(all_) if meets(entry)]
        assert found[: len(expected)] == expected, query
        # What came after ``all_`` was read are the looks themselves.
        later = (await stored(world))[len(all_) :]
        assert {entry["event"] for entry in later} == {"log.searched"}
        assert expected, query


async def test_an_enterprise_is_found_by_its_credit_code_which_only_a_body_may_hold(world: World) -> None:
    asked = {"enterprise": world.firm["uscc"], "event": "profile.issued"}
    reply = await world.send("POST", "/v1/log/search", asked, lender=world.auditor)
    all_ = await stored(world)
    assert [one["index"] for one in reply.json["entries"]] == [
        index for index, entry in enumerate(all_) if entry["event"] == "profile.issued"
    ]
    told = all_[-1]
    pseudonym = world.demo.services.evidence.pseudonym(world.firm["uscc"])
    digest = sha256(canonical({"subject": pseudonym, "event": "profile.issued"})).hexdigest()
    assert (told["by"], told["filter"], told["count"]) == (["event", "subject"], digest, 1)
    assert world.firm["uscc"] not in orjson.dumps(told).decode()
    refused = await world.send("GET", f"/v1/log/entries?enterprise={world.firm['uscc']}", lender=world.auditor)
    assert (refused.status, refused.json["details"]["at"]) == (400, "query")


async def test_an_officer_is_found_by_the_staff_reference_within_its_lender_which_only_a_body_may_hold(
    world: World,
) -> None:
    consent = await world.consent()
    for officer in ("E-1001", "E-1002"):
        await world.send("POST", "/v1/profiles", {**world.ask(consent["id"]), "officer": officer}, lender=world.lender)
    await world.send("POST", "/v1/profiles", {**world.ask(consent["id"]), "officer": "E-1001"}, lender=world.other)
    asked = {"actor": "demo-bank", "officer": "E-1001"}
    reply = await world.send("POST", "/v1/log/search", asked, lender=world.auditor)
    pseudonym = world.demo.services.evidence.officer("demo-bank", "E-1001")
    assert [(one["entry"]["event"], one["entry"]["officer"]) for one in reply.json["entries"]] == [
        ("permit.granted", pseudonym[:8] + "…")
    ]
    all_ = await stored(world)
    digest = sha256(canonical({"actor": "demo-bank", "officer": pseudonym})).hexdigest()
    assert (all_[-1]["by"], all_[-1]["filter"]) == (["actor", "officer"], digest)
    assert "E-100" not in str(all_)
    nobodys = await world.send("POST", "/v1/log/search", {"officer": "E-1001"}, lender=world.auditor)
    assert (nobodys.status, nobodys.json["details"]["at"]) == (400, "actor")
    refused = await world.send("GET", "/v1/log/entries?actor=demo-bank&officer=E-1001", lender=world.auditor)
    assert (refused.status, refused.json["details"]["at"]) == (400, "query")


@pytest.mark.parametrize("officer", ["", "张三", "a b", "-1", "a" * 33, "zhang@bank.invalid", 7])
async def test_a_staff_reference_has_a_restricted_form(world: World, officer: Any) -> None:
    ask = {**world.ask("c" + "0" * 30), "officer": officer}
    reply = await world.send("POST", "/v1/profiles", ask, lender=world.lender)
    assert (reply.status, reply.json["details"]["at"]) == (400, "officer")
    assert "zhang" not in str(reply.json)


async def test_pages_of_one_search_meet_and_end_where_the_log_ended_when_it_began(world: World) -> None:
    whole = [one["index"] for one in (await look(world))["entries"]]
    size = world.demo.services.evidence.size
    seen: list[int] = []
    query = "?limit=3"
    for _ in range(size):
        body = await look(world, query)
        assert len(body["entries"]) <= 3
        seen += [one["index"] for one in body["entries"]]
        if body["next"] is None:
            break
        query = f"?limit=3&cursor={body['next']}"
    assert seen == list(range(size)) == [*whole, size - 1]
    told = [e for e in await stored(world) if e["event"] == "log.searched"][-1]
    assert (told["actor"], told["by"], told["last"]) == ("the-auditor", [], size - 1)


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("?limit=0", "limit"),
        ("?limit=1001", "limit"),
        ("?limit=x", "limit"),
        ("?first=-1", "first"),
        ("?cursor=5", "cursor"),
        ("?cursor=9-3", "cursor"),
        ("?cursor=0-999999", "cursor"),
        ("?first=3&cursor=1-4", "cursor"),
        ("?since=yesterday", "since"),
        ("?actor=A%20B", "actor"),
        ("?format=pdf", "format"),
        ("?nonsense=1", "query"),
        ("?event=a&event=b", "query"),
    ],
)
async def test_conditions_that_make_no_sense_are_refused(world: World, query: str, at: str) -> None:
    reply = await world.send("GET", f"/v1/log/entries{query}", lender=world.auditor)
    assert (reply.status, reply.json["details"]["at"]) == (400, at)


async def test_an_empty_range_finds_nothing(world: World) -> None:
    assert (await look(world, "?first=4&last=2"))["entries"] == []
    assert (await look(world, "?first=999999"))["entries"] == []


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
async def test_a_file_of_masked_entries_proves_that_they_are_in_the_log(world: World, form: str) -> None:
    reply = await world.send("GET", f"/v1/log/entries?format={form}&actor=demo-bank", lender=world.auditor)
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/zip")
    evidence = world.demo.services.evidence
    checked = check(reply.body, [Vkey.parse(evidence.vkey)])
    all_ = await stored(world)
    told = all_[-1]
    with zipfile.ZipFile(io.BytesIO(reply.body)) as packed:
        assert set(packed.namelist()) == {f"entries.{form}", "proof.json"}
        digest = sha256(packed.read(f"entries.{form}")).hexdigest()
    mine = [e for e in all_ if e["actor"] == "demo-bank"]
    assert (checked.entries, checked.remade, checked.size) == (len(mine), False, len(all_))
    assert (told["event"], told["digest"], told["count"], told["masked"]) == ("log.exported", digest, len(mine), 1)
    assert world.firm["uscc"].encode() not in reply.body


async def test_an_entry_is_seen_whole_only_with_a_reason_that_is_kept(world: World) -> None:
    all_ = await stored(world)
    index = next(i for i, entry in enumerate(all_) if entry["event"] == "profile.issued")
    reason = "案件 2026-17，经办 李四"
    reply = await world.send("POST", "/v1/log/unmask", {"index": index, "reason": reason}, lender=world.auditor)
    assert reply.status == 200
    assert reply.json["entry"] == all_[index]
    assert reply.json["enterprise"] == {"uscc": world.firm["uscc"], "name": world.firm["name"]}
    told = (await stored(world))[-1]
    assert (told["event"], told["actor"], told["index"]) == ("log.unmasked", "the-auditor", index)
    assert told["subject"] == all_[index]["subject"]
    assert "李四" not in orjson.dumps(told).decode()
    assert await world.demo.services.evidence.audit() == []


async def test_what_cannot_be_unmasked_is_not(world: World) -> None:
    all_ = await stored(world)
    nobody = next(i for i, entry in enumerate(all_) if entry["subject"] is None)
    for body, status in (
        ({"index": nobody, "reason": "x"}, 400),
        ({"index": 10**9, "reason": "x"}, 404),
        ({"index": 0}, 400),
        ({"index": 0, "reason": ""}, 400),
    ):
        assert (await world.send("POST", "/v1/log/unmask", body, lender=world.auditor)).status == status
    assert all_ == (await stored(world))[: len(all_)]


async def test_an_auditor_without_the_permission_sees_no_entry_whole(world: World) -> None:
    held = world.demo.services.settings.auditors
    seen = held["the-auditor"]
    held["the-auditor"] = seen.model_copy(update={"unmask": False})
    try:
        reply = await world.send("POST", "/v1/log/unmask", {"index": 0, "reason": "x"}, lender=world.auditor)
    finally:
        held["the-auditor"] = seen
    assert (reply.status, reply.json["code"], reply.json["details"]["at"]) == (403, "forbidden", "unmask")
    told = (await stored(world))[-1]
    assert (told["event"], told["code"], told["operation"]) == ("access.refused", "forbidden", "POST /v1/log/unmask")


async def test_neither_the_consent_that_took_anothers_place_nor_a_person_among_the_items_is_shown_whole() -> None:
    superseded = masked({"event": "consent.superseded", "by": "c" + "0" * 30})
    assert superseded == {"event": "consent.superseded", "by": "c0000000…"}
    item = ["sh-court", "judicial", ["kind"], "f" * 32]
    assert masked({"event": "permit.granted", "items": [item]})["items"] == [[*item[:3], "ffffffff…"]]
    names = [field.name for field in fields(Conditions)]
    assert masked({"event": "log.searched", "by": names}) == {"event": "log.searched", "by": names}


async def test_the_report_over_http_is_for_auditors_and_operators_and_is_itself_in_the_log(world: World) -> None:
    blank = await world.consent(application="-")
    await world.lender.profile(world.ask(blank["id"]))
    for client in (world.auditor, world.operator):
        size = world.demo.services.evidence.size
        reply = await world.send("GET", "/v1/log/anomalies", lender=client)
        told = [one for one in reply.json["findings"] if one["rule"] == "no_application"]
        assert [(one["actor"], one["count"]) for one in told] == [("demo-bank", 1)]
        assert told[0]["message"].keys() == {"zh", "en"}
        assert world.demo.services.evidence.size == size + 1
    newest = await world.send("GET", "/v1/log/anomalies?last=1", lender=world.auditor)
    assert newest.json == {"findings": []}
    for last in ("0", "100001", "x"):
        reply = await world.send("GET", f"/v1/log/anomalies?last={last}", lender=world.auditor)
        assert (reply.status, reply.json["details"]["at"]) == (400, "last")


async def test_what_another_process_appended_a_moment_ago_is_found(world: World) -> None:
    services = world.demo.services
    async with open_services(services.settings, now=world.watch, metrics=Metrics()) as other:
        index = await other.evidence.submit(access_refused("demo-bank", "not_found", "GET /v1/profiles/{id}", None))
        assert index >= services.evidence.size
        assert [one["index"] for one in (await look(world, f"?first={index}"))["entries"]] == [index]
