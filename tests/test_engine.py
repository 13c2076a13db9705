"""connectors.engine: what a connector is, and one query over scripted replies."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from connectors.base import Found, Progress, Reply
from connectors.engine.connector import DeclarativeConnector
from schemas.errors import (
    ConfigurationError,
    InvalidRequest,
    Maintenance,
)
from tests.engine_world import BASE, FIRM, NONE, NOW, Scripted, ask, body, bureau, connector, fetch, row


async def test_a_query_becomes_one_signed_request_and_its_reply_canonical_records(tmp_path: Path) -> None:
    script = Scripted([body([row()])])
    made = connector(bureau(tmp_path), script)
    progress = Progress()
    reply = await fetch(made, progress=progress)
    (request,) = script.requests
    assert (request.method, request.url) == ("POST", "https://bureau.invalid/fund")
    assert script.bodies() == [{"uscc": FIRM.uscc}]
    assert request.headers["x-tif-paasid"] == "invented"
    raw = json.dumps(body([row()]), ensure_ascii=False).encode()
    assert reply == Reply(
        found=Found.FOUND,
        records=({"month": "2026-10", "persons": 30, "base": "312000.00"},),
        as_of=None,
        fetched_at=datetime.fromtimestamp(NOW, UTC),
        attempts=1,
        raw_digest=hashlib.sha256(hashlib.sha256(raw).digest()).digest(),
        signature_held=None,
    )
    assert (progress.attempts, progress.calls) == (1, 1)
    assert [one.outcome for one in progress.tries] == ["answered"]


def test_a_connector_says_what_it_is_and_what_it_offers(tmp_path: Path) -> None:
    loaded = bureau(tmp_path)
    made = connector(loaded, Scripted())
    assert (made.id, made.version, made.assurance) == ("xx-bureau", loaded.version, "assumed")
    assert made.datasets == {"provident_fund": frozenset({"month", "persons", "base", "paid_up_to"})}


async def test_only_consented_fields_are_in_a_record(tmp_path: Path) -> None:
    reply = await ask(tmp_path, body([row()]), fields={"month", "persons", "not_offered"})
    assert reply.records == ({"month": "2026-10", "persons": 30},)


async def test_a_data_set_that_is_not_offered_is_a_mistake_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest):
        await fetch(connector(bureau(tmp_path), Scripted()), "judicial")


@pytest.mark.parametrize(
    "nothing", [{"fields": ()}, {"fields": {"not_offered"}}, {"first": (2026, 11), "last": (2026, 10)}]
)
async def test_asking_for_nothing_is_a_mistake_and_not_an_empty_answer(tmp_path: Path, nothing: Any) -> None:
    script = Scripted()
    with pytest.raises(InvalidRequest):
        await fetch(connector(bureau(tmp_path), script), **nothing)
    assert script.requests == []


async def test_any_number_of_field_sets_may_be_asked_for(tmp_path: Path) -> None:
    loaded = bureau(tmp_path)
    plan = loaded.plans["provident_fund"]
    for number in range(200):
        plan.row_map(frozenset({"month", f"not_offered_{number}"}))
    reply = await fetch(connector(loaded, Scripted([body([row()])])), fields={"month"})
    assert reply.records == ({"month": "2026-10"},)


@pytest.mark.parametrize("secrets", [{}, {"paasid": "x"}, {"paasid": "x", "token": ""}])
def test_a_missing_or_empty_secret_is_named_when_the_connector_is_made(tmp_path: Path, secrets: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"secrets\."):
        DeclarativeConnector(bureau(tmp_path), Scripted(), secrets)


async def test_settings_replace_the_base_url(tmp_path: Path) -> None:
    script = Scripted([NONE])
    await fetch(connector(bureau(tmp_path), script, base_url="http://127.0.0.1:9/xx"))
    assert script.requests[0].url == "http://127.0.0.1:9/xx/fund"


async def test_a_sleeping_platform_is_not_called(tmp_path: Path) -> None:
    limits = '\n[limits]\nmaintenance = ["{}"]\n'
    weekday = datetime.fromtimestamp(NOW, UTC).strftime("%a")
    for number, (window, asleep) in enumerate(
        [
            ("daily 00:00-23:59 Asia/Shanghai", True),
            (f"{weekday} 00:00-23:59 Etc/UTC", True),
            ("daily 23:58-23:57 Asia/Shanghai", True),
            ("daily 03:00-03:01 Asia/Shanghai", False),
            ("daily 23:59-00:01 Etc/UTC", False),
        ]
    ):
        script = Scripted([NONE])
        made = connector(bureau(tmp_path / str(number), base=BASE + limits.format(window)), script)
        if asleep:
            with pytest.raises(Maintenance):
                await fetch(made)
            assert script.requests == []
        else:
            assert (await fetch(made)).found is Found.ABSENT
