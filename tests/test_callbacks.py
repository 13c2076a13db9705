"""Platforms that answer by calling back: what is let in, kept, refused and known again, over real sockets."""

import asyncio
import gzip
import hmac
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from io import BytesIO
from itertools import permutations
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Connection, Table, func, select

from connectors.engine.callback import Heard, Receiver
from connectors.engine.pending import Tickets, ticket_key
from connectors.ports import Ticket
from connectors.signing import SCHEMES
from connectors.signing.base import Moment
from connectors.transport import MAX_BODY
from connectors.wire import Draft
from consent.batch import Batch, Command
from consent.consents import ChangeConsent
from consent.shredding import Reason
from gateway import migrations
from gateway.app import create_app
from gateway.demo import serving
from gateway.jobs import late as module
from gateway.jobs.pending import ForgetLate
from gateway.jobs.state import DatabaseState
from gateway.jobs.tables import callback_nonces, callbacks, late_profiles
from gateway.services import check_connectors
from schemas.base import utc_text
from schemas.consent import ConsentState
from schemas.errors import ConfigurationError, NotFound, Shredded
from tests.callback_world import WHERE, Bureau, Gateway, bureau, gateway, settings
from tests.engine_world import folder
from tests.late_world import LENDER, Watch
from tests.signing_world import key, pem, public_pem
from tests.test_engine_callback import SIGNED, TEXT, no_send
from tests.test_migrations import run

PLACE = "city-fund/provident_fund"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr("consent.evidence.LEASE_SECONDS", 0.0)


@pytest.fixture
async def platform() -> AsyncIterator[Bureau]:
    async with bureau() as made:
        yield made


@dataclass(frozen=True, slots=True)
class _Closed(Command[None]):
    """A permit whose request came to nothing."""

    permit_id: str

    def needs(self, batch: Batch) -> None:
        batch.permits.want(self.permit_id)

    def decide(self, batch: Batch) -> None:
        permit = batch.permits.get(self.permit_id)
        assert permit is not None
        permit.close("internal_error", batch.time)


async def revision(gate: Gateway, profile_id: str, number: int = 2) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (found := await gate.profile(profile_id))["revision"] < number:  # noqa: ASYNC110 - another task makes it
            await asyncio.sleep(0.02)
    assert found["revision"] == number
    return found


async def kept(gate: Gateway) -> int:
    """How many callbacks are held."""

    def count(connection: Connection) -> int:
        return connection.scalar(select(func.count()).where(callbacks.c.arrived.is_not(None))) or 0

    return await gate.services.evidence.read(count)


def rows_of(connection: Connection, table: Table) -> int:
    return connection.scalar(select(func.count()).select_from(table)) or 0


async def rests(gate: Gateway, profile_id: str) -> None:
    """Nothing new comes of the profile, and nothing is held."""
    await asyncio.sleep(0.2)
    assert (await gate.profile(profile_id))["revision"] == 1
    assert await kept(gate) == 0


async def change(gate: Gateway, consent_id: str, to: ConsentState) -> None:
    await gate.services.evidence.change_consent(ChangeConsent(consent_id, to, LENDER, "示例"))


async def refusals(gate: Gateway, consent_id: str) -> list[str]:
    return [event["code"] for event in await gate.events(consent_id) if event["event"] == "callback.refused"]


def signed(platform: Bureau, body: bytes, nonce: str = "n") -> dict[str, str]:
    ts = str(int(time.time()))
    text = f"{ts}\n{nonce}\n".encode() + body
    sign = hmac.digest(platform.secrets["callback_key"].encode(), text, "sha256").hex()
    return {"X-Time": ts, "X-Nonce": nonce, "X-Sign": sign, "Content-Type": "application/json"}


async def post(gate: Gateway, body: bytes, headers: dict[str, str], ticket: str) -> tuple[int, dict[str, Any]]:
    async with gate.platform.session.post(
        f"{gate.url}/v1/callbacks/city-fund/{ticket}", data=BytesIO(body), headers=headers
    ) as reply:
        return reply.status, orjson.loads(await reply.read())


async def test_what_a_platform_sends_by_itself_is_acknowledged_and_becomes_a_new_revision(
    tmp_path: Path, platform: Bureau
) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        consent_id = await gate.consent(max_uses=1)
        first = await gate.ask(consent_id)
        (source,) = first["sources"]
        assert (source["state"], source["reason"]) == ("pending", "upstream_pending")
        (asked,) = await platform.asked()
        assert asked["notify"].startswith("https://gateway.invalid/v1/callbacks/city-fund/")
        assert await gate.told(0, "send") == (200, '{"code":"0"}')
        second = await revision(gate, first["id"])
        (source,) = second["sources"]
        assert (source["state"], source["next_attempt_at"]) == ("present", None)
        assert [(step["what"], step["outcome"]) for step in source["timeline"]] == [
            ("submit", "answered"),
            ("callback", "answered"),
        ]
        assert second["sections"]["provident_fund"]["records"]
        held = await gate.services.evidence.consent(consent_id)
        assert held is not None
        assert held.uses == 1
        assert await kept(gate) == 0


async def test_the_same_again_is_acknowledged_again_and_another_answer_is_a_conflict(
    tmp_path: Path, platform: Bureau
) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        consent_id = await gate.consent()
        first = await gate.ask(consent_id)
        assert [await gate.calls(0, how) for how in ("send", "replay", "repeat")] == [200, 200, 200]
        await revision(gate, first["id"])
        # Also when the profile has it, and nothing of it is held any more.
        assert [await gate.calls(0, how) for how in ("replay", "repeat")] == [200, 200]
        assert [await gate.calls(0, how) for how in ("other", "failed", "other")] == [409, 409, 409]
        await asyncio.sleep(0.2)
        assert (await gate.profile(first["id"]))["revision"] == 2
        assert await kept(gate) == 0
        # Three were refused, and the log says so once.
        assert await refusals(gate, consent_id) == ["callback_conflict"]
        counted = gate.services.metrics.callbacks
        assert counted.labels("city-fund", "kept")._value.get() == 1
        assert counted.labels("city-fund", "acknowledged")._value.get() == 4


async def test_what_is_not_signed_by_the_platform_is_not_read(tmp_path: Path, platform: Bureau) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        consent_id = await gate.consent()
        first = await gate.ask(consent_id)
        for how, why in (("forged", "forged"), ("unsigned", "missing"), ("stale", "stale")):
            status, told = await gate.told(0, how)
            assert (status, orjson.loads(told)["details"]) == (401, {"why": why})
        ticket, body = await gate.ticket(0), b'{"code":"0","lsh":"L00000000"}'
        good = signed(platform, body)
        for name in ("X-Time", "X-Nonce", "X-Sign"):
            other = str(int(good[name]) + 1) if name == "X-Time" else good[name][:-1] + "0"
            changed = {**good, name: other if other != good[name] else good[name][:-1] + "1"}
            assert (await post(gate, body, changed, ticket))[0] == 401
            missing = {k: v for k, v in good.items() if k != name}
            assert (await post(gate, body, missing, ticket))[0] == 401
        assert (await post(gate, body.replace(b"0", b"1", 1), good, ticket))[0] == 401
        await rests(gate, first["id"])
        assert await refusals(gate, consent_id) == []
        assert gate.services.metrics.callbacks.labels("city-fund", "callback_refused")._value.get() == 10
        assert await gate.calls(0, "send") == 200


async def test_a_signature_over_the_address_is_held_against_the_one_that_the_platform_was_told(
    tmp_path: Path, platform: Bureau
) -> None:
    scheme = '[dataset.callback.signed]\nscheme = "rfc9421"\nalgorithm = "ed25519"\n\n'
    text = TEXT.replace(SIGNED, scheme).replace('"callback_key"', '"platform_key", "platform_key_id"')
    made = folder(tmp_path / "other" / "city-fund", text)
    theirs = key("ed", 0)
    known = {**platform.secrets, "platform_key": public_pem(theirs), "platform_key_id": "k1"}
    platform = replace(platform, secrets={n: v for n, v in known.items() if n != "callback_key"})
    signer = SCHEMES["rfc9421"].build({"algorithm": "ed25519"}, {"key_id": "k1", "private_key": pem(theirs)})
    async with gateway(settings(tmp_path, platform, folder=made), platform) as gate:
        await gate.ask(await gate.consent())
        ticket = await gate.ticket(0)
        for told, status in (("another", 401), (ticket, 200)):
            draft = Draft(
                "POST", WHERE, f"/v1/callbacks/city-fund/{told}", (), {"code": "1", "lsh": "L00000000"}, "json"
            )
            request = await signer.sign(draft, Moment(time.time(), "abcdefghij"), no_send)
            assert (await post(gate, request.body, dict(request.headers), ticket))[0] == status


async def test_who_has_no_ticket_learns_nothing(tmp_path: Path, platform: Bureau) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        await gate.ask(await gate.consent())
        ticket = await gate.ticket(0)
        answers = [
            await gate.told(0, "send", ticket="x" * 43),
            await gate.told(0, "send", ticket=ticket_key(ticket)),
            await gate.told(0, "send", connector="sh-tax"),
            await gate.told(0, "send", connector="city-fund%00", ticket="%00"),
        ]
        assert {status for status, _ in answers} == {404}
        assert len({told for _, told in answers}) == 1
        assert await kept(gate) == 0


async def test_what_is_too_long_or_cannot_be_read_is_refused_and_may_come_again(
    tmp_path: Path, platform: Bureau
) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        await gate.ask(await gate.consent())
        ticket = await gate.ticket(0)
        status, told = await post(gate, b" " * (MAX_BODY + 1), {}, ticket)
        assert (status, told["details"]) == (413, {"limit": MAX_BODY})
        body = b'{"code":"0","code":"0"}'
        status, told = await post(gate, body, signed(platform, body), ticket)
        assert (status, told["details"]["code"]) == (400, "upstream_malformed")
        assert await gate.calls(0, "send") == 200


async def test_a_body_that_was_encoded_on_its_way_is_not_what_was_signed(tmp_path: Path, platform: Bureau) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        await gate.ask(await gate.consent())
        (asked,) = await platform.asked()
        body = orjson.dumps({"code": "0", "lsh": asked["lsh"]})
        headers = {**signed(platform, body), "Content-Encoding": "gzip"}
        status, told = await post(gate, gzip.compress(body), headers, await gate.ticket(0))
        assert (status, told["details"]["at"]) == (400, "Content-Encoding")
        assert await kept(gate) == 0
        assert await gate.calls(0, "send") == 200


async def test_what_no_profile_will_read_is_not_acknowledged(
    tmp_path: Path, platform: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = DatabaseState.open_callback

    async def slow(*told: Any) -> None:
        await opened(*told)
        await asyncio.sleep(30)

    monkeypatch.setattr(DatabaseState, "open_callback", slow)
    async with gateway(settings(tmp_path, platform, deadline_seconds=1), platform) as gate:
        (source,) = (await gate.ask(await gate.consent()))["sources"]
        assert (source["state"], source["reason"]) == ("unavailable", "deadline_exceeded")
        assert await gate.calls(0, "send") == 410
        assert await kept(gate) == 0


async def test_while_a_platform_is_switched_off_it_is_asked_to_come_again(tmp_path: Path, platform: Bureau) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        first = await gate.ask(await gate.consent())
        switches = gate.services.connectors.switches
        assert switches.folder is not None
        switches.folder.mkdir(exist_ok=True)
        switch = switches.folder / "city-fund"
        switch.touch()
        switches.off = switches.read()
        status, told = await post(gate, b"", {}, await gate.ticket(0))
        assert (status, told["code"], told["details"]) == (503, "callback_early", {"retry_after": 60})
        await rests(gate, first["id"])
        switch.unlink()
        switches.off = switches.read()
        assert await gate.calls(0, "send") == 200
        assert (await revision(gate, first["id"]))["sources"][0]["state"] == "present"


@pytest.mark.parametrize("how", ["none", "failed"])
async def test_a_failure_and_no_record_are_outcomes_as_of_a_poll(tmp_path: Path, platform: Bureau, how: str) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        first = await gate.ask(await gate.consent())
        assert await gate.calls(0, how) == 200
        (source,) = (await revision(gate, first["id"]))["sources"]
        expected = {"none": ("empty_confirmed", None), "failed": ("unavailable", "upstream_rejected")}
        assert (source["state"], source["reason"]) == expected[how]


async def test_not_yet_is_acknowledged_and_its_nonce_never_comes_again_also_after_a_restart(
    tmp_path: Path, platform: Bureau
) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        first = await gate.ask(await gate.consent())
        assert await gate.calls(0, "busy") == 200
        assert await gate.calls(0, "replay") == 401
        await rests(gate, first["id"])
    watch = Watch()
    async with gateway(settings(tmp_path, platform), platform, watch) as gate:
        status, told = await gate.told(0, "replay")
        assert (status, orjson.loads(told)["details"]) == (401, {"why": "replayed"})
        assert await gate.calls(0, "send") == 200
        (source,) = (await revision(gate, first["id"]))["sources"]
        assert source["state"] == "present"
        watch.ahead = timedelta(seconds=700)
        await gate.services.evidence.submit(ForgetLate())
        for table in (callbacks, callback_nonces):
            assert await gate.services.evidence.read(rows_of, table) == 0
        assert await gate.calls(0, "replay") == 404


async def test_an_answer_under_another_of_the_platform_s_ids_is_not_taken(tmp_path: Path, platform: Bureau) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        consent_id = await gate.consent()
        first = await gate.ask(consent_id)
        await gate.ask(consent_id)
        assert await gate.calls(0, "other_id") == 409
        # Signed by the platform, and the answer to another question.
        assert await gate.calls(1, "send", ticket=await gate.ticket(0)) == 409
        await rests(gate, first["id"])
        assert await refusals(gate, consent_id) == ["callback_conflict"]
        assert await gate.calls(0, "send") == 200


async def test_what_comes_too_late_is_not_kept_and_the_profile_says_that_it_did_not_come(
    tmp_path: Path, platform: Bureau
) -> None:
    watch = Watch()
    async with gateway(settings(tmp_path, platform), platform, watch) as gate:
        first = await gate.ask(await gate.consent())
        (source,) = first["sources"]
        # Five seconds before the permit ends, which is long before `give_up`.
        watch.ahead = timedelta(seconds=597)
        status, told = await gate.told(0, "send")
        assert (status, orjson.loads(told)["code"]) == (410, "callback_ended")
        last = await revision(gate, first["id"])
        assert (last["sources"][0]["state"], last["sources"][0]["reason"]) == ("unavailable", "deadline_exceeded")
        assert source["next_attempt_at"] <= last["issued_at"]
        assert await gate.calls(0, "send") == 410
        assert await kept(gate) == 0


async def test_after_a_withdrawal_nothing_is_kept_and_the_platform_is_told_to_stop(
    tmp_path: Path, platform: Bureau
) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        consent_id = await gate.consent()
        first = await gate.ask(consent_id)
        await change(gate, consent_id, ConsentState.REVOKED)
        answers = [await gate.told(0, how) for how in ("send", "replay")]
        assert [status for status, _ in answers] == [410, 410]
        assert not any("consent" in told or "revoked" in told for _, told in answers)
        await rests(gate, first["id"])
        assert await refusals(gate, consent_id) == ["consent_revoked"]
        assert await gate.services.evidence.audit() == []


async def test_while_a_consent_rests_the_platform_is_asked_to_come_again(tmp_path: Path, platform: Bureau) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        consent_id = await gate.consent()
        first = await gate.ask(consent_id)
        await change(gate, consent_id, ConsentState.SUSPENDED)
        assert await gate.calls(0, "send") == 503
        await rests(gate, first["id"])
        await change(gate, consent_id, ConsentState.ACTIVE)
        assert await gate.calls(0, "replay") == 200
        await revision(gate, first["id"])
        assert await refusals(gate, consent_id) == []


async def test_a_callback_that_overtakes_the_reply_to_the_submit_is_to_come_again(
    tmp_path: Path, platform: Bureau
) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        await gate.ask(await gate.consent())
        ticket = await gate.ticket(0)
        (permit_id,) = await gate.services.evidence.read(lambda c: list(c.scalars(select(callbacks.c.permit_id))))
        state = DatabaseState()
        state.open(gate.services.evidence)
        # As it is while the question is on its way.
        await state.expect_callback(permit_id, PLACE, ticket_key(ticket))
        assert await state.callback(permit_id, PLACE) is None
        assert await gate.calls(0, "send") == 503
        await state.drop_callback(permit_id, PLACE)
        assert await gate.calls(0, "send") == 404
        # A question whose row is gone is not opened by its reply.
        await state.open_callback(permit_id, PLACE, Ticket("L00000000", 0, b""), 60)
        assert await state.callback(permit_id, PLACE) is None
        with pytest.raises(NotFound):
            await state.expect_callback("nobody", PLACE, "0" * 64)


async def test_an_answer_that_is_there_before_the_profile_is_becomes_its_next_revision_at_once(
    tmp_path: Path, platform: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        opened = Tickets.open_callback

        async def and_it_calls(tickets: Tickets, *given: Any) -> Any:
            found = await opened(tickets, *given)
            assert await gate.calls(0, "send") == 200
            return found

        monkeypatch.setattr(Tickets, "open_callback", and_it_calls)
        first = await gate.ask(await gate.consent())
        assert first["sources"][0]["state"] == "pending"
        assert (await revision(gate, first["id"]))["sources"][0]["state"] == "present"
        assert await kept(gate) == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> str:
    if request.param == "sqlite":
        return ""
    made = str(request.getfixturevalue("postgres"))
    run(made, migrations.upgrade)
    return made


async def test_another_process_may_hear_it_and_a_third_make_the_revision(
    tmp_path: Path, platform: Bureau, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = settings(tmp_path, platform, database=database)
    async with gateway(made, platform) as one:
        first = await one.ask(await one.consent())
    # It waits for a lock on the keys, which the other may hold: between processes that ends, within one it would not.
    monkeypatch.setattr("gateway.keys.create_keys", lambda _: [])
    async with gateway(made, platform) as two:
        async with gateway(made, platform) as three:
            assert await three.calls(0, "send") == 200
            assert await two.calls(0, "repeat") == 200
        assert (await revision(two, first["id"]))["sources"][0]["state"] == "present"
        assert await two.calls(0, "other") == 409
        assert await kept(two) == 0


async def test_what_is_kept_cannot_be_read_in_the_database_and_goes_with_the_enterprise_s_key(
    tmp_path: Path, platform: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 600.0)
    monkeypatch.setattr("gateway.jobs.late.LateAnswers.wake", lambda _: None)
    async with gateway(settings(tmp_path, platform), platform) as gate:
        first = await gate.ask(await gate.consent())
        assert await gate.calls(0, "send") == 200
        rows = await gate.services.evidence.read(lambda c: c.execute(select(callbacks)).all())
        ticket, uscc = await gate.ticket(0), platform.firm["uscc"]
        assert [row.arrived is not None for row in rows] == [True]
        for raw in (file.read_bytes() for file in (tmp_path / "data").rglob("*") if file.is_file()):
            assert not any(word.encode() in raw for word in (ticket, "L00000000", uscc, "dwmc"))
        state = DatabaseState()
        state.open(gate.services.evidence)
        assert await state.callback(rows[0].permit_id, PLACE) is not None
        await gate.services.evidence.keeper.shred(uscc, Reason.REQUESTED, "an invented law")
        assert await state.callback(rows[0].permit_id, PLACE) is None
        assert await gate.calls(0, "replay") == 410
        with pytest.raises(Shredded):
            await gate.profile(first["id"])
        assert await gate.services.evidence.audit() == []


async def test_a_ticket_that_ends_while_its_callback_is_checked_is_gone(
    tmp_path: Path, platform: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        await gate.ask(await gate.consent())
        hear = Receiver.hear

        async def slowly(receiver: Receiver, *given: Any) -> Heard:
            heard = await hear(receiver, *given)
            state = DatabaseState()
            state.open(gate.services.evidence)
            (permit_id,) = await gate.services.evidence.read(lambda c: list(c.scalars(select(callbacks.c.permit_id))))
            await state.drop_callback(permit_id, PLACE)
            return heard

        monkeypatch.setattr(Receiver, "hear", slowly)
        assert await gate.calls(0, "send") == 404


async def test_what_a_permit_that_failed_was_waiting_for_is_not_kept(tmp_path: Path, platform: Bureau) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        first = await gate.ask(await gate.consent())
        evidence = gate.services.evidence
        (permit_id,) = await evidence.read(lambda c: list(c.scalars(select(callbacks.c.permit_id))))
        await evidence.submit(_Closed(permit_id))
        assert await gate.calls(0, "send") == 410
        await rests(gate, first["id"])


async def test_a_connector_that_is_not_called_back_any_more_has_no_tickets(
    tmp_path: Path, platform: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with gateway(settings(tmp_path, platform), platform) as gate:
        await gate.ask(await gate.consent())
        monkeypatch.setattr(gate.services.connectors["city-fund"], "receivers", {})
        assert await gate.calls(0, "send") == 404


async def test_without_an_address_for_callbacks_nothing_starts(tmp_path: Path, platform: Bureau) -> None:
    made = settings(tmp_path, platform).model_copy(update={"callback_url": None})
    with pytest.raises(ConfigurationError) as caught:
        async with serving(create_app(made)):
            raise AssertionError
    assert caught.value.details["at"] == "callback_url"
    with pytest.raises(ConfigurationError):
        await check_connectors(made)
    await check_connectors(settings(tmp_path, platform))


async def looks(gate: Gateway) -> None:
    """What is late is worked off, once."""

    def busy(connection: Connection) -> bool:
        now = utc_text(gate.services.now())
        working = late_profiles.c.leased_by.is_not(None) | (late_profiles.c.due <= now)
        return bool(connection.scalar(select(func.count()).where(working)))

    async with module.late_answers(gate.services), asyncio.timeout(20):
        while await gate.services.evidence.read(busy):  # noqa: ASYNC110 - another task works
            await asyncio.sleep(0.01)


async def test_in_whatever_order_things_happen_nothing_is_kept_after_the_end_of_its_consent(
    tmp_path: Path, platform: Bureau, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 600.0)
    monkeypatch.setattr("gateway.jobs.late.LateAnswers.wake", lambda _: None)
    watch = Watch()
    async with gateway(settings(tmp_path, platform), platform, watch) as gate:
        for n, order in enumerate(permutations(("sends", "looks", "withdraws", "ends"))):
            # An amendment aside, one consent is withdrawn once.
            consent_id = await gate.consent(valid_to=f"2027-01-{n + 1:02}T00:00:00+00:00")
            first = await gate.ask(consent_id)
            good, sent, expected = True, False, 1
            for step in order:
                if step == "sends":
                    assert (await gate.calls(n, "send") == 200) is good, order
                    sent = good
                elif step == "looks":
                    await looks(gate)
                    expected = 2 if sent and good else expected
                else:
                    good = False
                    if step == "withdraws":
                        await change(gate, consent_id, ConsentState.REVOKED)
                    else:
                        watch.ahead += timedelta(seconds=700)
            await looks(gate)
            assert (await gate.profile(first["id"]))["revision"] == expected, order
            assert await kept(gate) == 0, order
            assert await gate.calls(n, "repeat") in (404, 410), order
