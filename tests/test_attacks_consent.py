"""What a lender with bad intent tries over HTTP, and what it leaves behind."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tests.gateway_world import OTHER, World, gateway_world

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with gateway_world(tmp_path_factory.mktemp("attacks")) as made:
        yield made


async def last_entry(world: World) -> dict[str, Any]:
    evidence = world.demo.services.evidence
    (found,) = await evidence.entries(evidence.size - 1, evidence.size)
    entry: dict[str, Any] = orjson.loads(found.entry)
    return entry


async def test_marks_that_the_comparison_of_names_overlooks_do_not_get_into_a_signed_profile(world: World) -> None:
    consent = await world.consent()
    subject = world.ask(consent["id"])["subject"]
    dressed = subject["name"][:2] + "\u200b\n" + subject["name"][2:] + "\u3000"
    code = "".join(chr(ord(character) + 0xFEE0) for character in subject["uscc"])
    body = world.ask(consent["id"], subject={"uscc": code, "name": dressed})
    reply = await world.send("POST", "/v1/profiles", body, lender=world.lender)
    assert (reply.status, reply.json["subject"]) == (200, subject)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/v1/consents/{consent}", None),
        ("GET", "/v1/consents/{consent}/history", None),
        ("GET", "/v1/consents/{consent}/receipt", None),
        ("POST", "/v1/consents/{consent}/revoke", {"reason": "not mine"}),
        ("POST", "/v1/consents/{consent}/amend", None),
    ],
)
async def test_who_reaches_for_the_consent_of_another_lender_is_in_the_log(
    world: World, method: str, path: str, body: object
) -> None:
    consent = await world.consent()
    if path.endswith("/amend"):
        body = world.grant()
    for consent_id, named in ((consent["id"], consent["id"]), ("c" + "0" * 30, None)):
        reply = await world.send(method, path.format(consent=consent_id), body, lender=world.other)
        assert (reply.status, reply.json["code"]) == (404, "consent_missing")
        entry = await last_entry(world)
        assert (entry["event"], entry["actor"], entry["consent"]) == ("access.refused", OTHER, named)
        label = path.replace("{consent}", "{id}")
        assert (entry["code"], entry["operation"]) == ("consent_missing", f"{method} {label}")


async def test_who_reaches_for_the_profile_of_another_lender_is_in_the_log(world: World) -> None:
    consent = await world.consent()
    made = await world.send("POST", "/v1/profiles", world.ask(consent["id"]), lender=world.lender)
    for profile_id, named in ((made.json["id"], consent["id"]), ("p" + "0" * 30, None)):
        reply = await world.send("GET", f"/v1/profiles/{profile_id}", lender=world.other)
        assert (reply.status, reply.json["code"]) == (404, "not_found")
        entry = await last_entry(world)
        assert (entry["event"], entry["actor"], entry["consent"]) == ("access.refused", OTHER, named)


async def test_who_registers_a_consent_that_was_given_to_another_lender_is_in_the_log(world: World) -> None:
    reply = await world.send("POST", "/v1/consents", world.grant(), lender=world.other)
    assert reply.status == 403
    entry = await last_entry(world)
    assert (entry["event"], entry["actor"], entry["code"]) == ("access.refused", OTHER, "forbidden")


async def test_the_same_grant_again_over_http_is_the_same_consent_with_the_same_uses(world: World) -> None:
    grant = world.grant(max_uses=1)
    first = await world.send("POST", "/v1/consents", grant, lender=world.lender)
    used = await world.send("POST", "/v1/profiles", world.ask(first.json["id"]), lender=world.lender)
    assert used.status == 200
    again = await world.send("POST", "/v1/consents", grant, lender=world.lender)
    assert (again.json["id"], again.json["uses"]) == (first.json["id"], 1)


async def test_a_look_back_of_twelve_months_is_not_thirteen(world: World) -> None:
    consent = await world.consent(lookback_months=12)
    wide = await world.send("POST", "/v1/profiles", world.ask(consent["id"], months=13), lender=world.lender)
    assert (wide.status, wide.json["code"]) == (403, "consent_out_of_scope")
    full = await world.send("POST", "/v1/profiles", world.ask(consent["id"], months=12), lender=world.lender)
    assert full.status == 200


async def test_after_all_of_this_the_rows_are_what_the_log_says_and_no_name_is_in_it(world: World) -> None:
    evidence = world.demo.services.evidence
    assert await evidence.audit() == []
    subject = world.ask("c")["subject"]
    entries = b"".join(one.entry for one in await evidence.entries(0, evidence.size))
    assert subject["uscc"].encode() not in entries
    assert subject["name"].encode() not in entries
