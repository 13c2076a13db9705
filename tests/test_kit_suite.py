"""connectors.kit.suite and hardships: what holds passes, and each fault that a connector could have is found."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from connectors.base import Found, Progress, Query, Reply
from connectors.engine.connector import DeclarativeConnector
from connectors.kit import hardships
from connectors.kit.fixtures import connector_of
from connectors.kit.hardships import FAULTS
from connectors.kit.result import Result
from connectors.kit.scaffold import Wanted, scaffold
from connectors.kit.suite import SLOWEST, suite
from connectors.ports import Guard
from connectors.registry import BUILT_IN
from schemas.errors import UpstreamError

Change = Callable[[str], str]
MADE = Wanted("xx-bureau", "虚构局", "Bureau (invented)", "虚构局", ("honours",))


def made(at: Path, *changes: tuple[str, str], wanted: Wanted = MADE) -> Path:
    for path, content in scaffold(wanted).items():
        file = at / "xx-bureau" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    manifest = at / "xx-bureau" / "manifest.toml"
    text = manifest.read_text("utf-8")
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    manifest.write_text(text, "utf-8")
    return at / "xx-bureau"


def failed(results: list[Result]) -> dict[str, str]:
    return {r.name: r.why for r in results if not r.ok}


def test_a_connector_that_holds_passes_everything(tmp_path: Path) -> None:
    results = {r.name: r for r in suite(made(tmp_path), clock=Clock(1, 1))}
    assert failed(list(results.values())) == {}
    assert {f"honours: {fault}" for fault in FAULTS} <= results.keys()
    assert {"honours: cancelled", "honours: speed", "honours: another enterprise's data"} <= results.keys()
    assert results["honours: name renamed"].why == "schema_drift"
    assert results["honours: authority renamed"].why == "counted"
    assert "reference" in results["honours: speed"].why
    assert results["checklist.toml: limits_agreed"].why == "todo"


@pytest.mark.parametrize("name", ["sh-court", "sh-hpf", "bank-internal"])
def test_the_catalogue_passes_with_tokens_encrypted_replies_and_without_a_network(name: str) -> None:
    results = {r.name: r for r in suite(BUILT_IN / name, clock=Clock(1, 1))}
    assert failed(list(results.values())) == {}
    if name == "bank-internal":
        assert results["faults"].why.startswith("exempt")


def test_a_no_record_rule_that_is_too_wide_is_found(tmp_path: Path) -> None:
    wide = (
        'no_record = [{ at = "code", equals = "404" }]',
        'no_record = [{ at = "code", equals = "404" }, { status = 500 }]',
    )
    assert failed(suite(made(tmp_path, wide))) == {"honours: 500": "taken for confirmed_absent"}


def test_a_reply_that_does_not_say_whose_it_is_needs_the_manifests_reason(tmp_path: Path) -> None:
    reason = ('name = "honours"', 'name = "honours"\nunechoed = "the list is asked by a key of the enterprise\'s own"')
    without = ('echo = { uscc = "uscc" }', "")
    results = {r.name: r for r in suite(made(tmp_path, reason, without), clock=Clock(1, 1))}
    assert results["honours: another enterprise's data"].why.startswith("exempt: the list is asked")


def test_an_optional_field_that_vanishes_in_silence_is_found(tmp_path: Path) -> None:
    silent = ('rows = { at = "rows" }', 'rows = { at = "rows", ignore = ["renamed_by_the_suite"] }')
    found = failed(suite(made(tmp_path, silent)))
    assert found["honours: authority renamed"] == "it vanished in silence"
    assert "honours: name renamed" not in found


def test_without_fixtures_or_a_manifest_the_rest_is_left_out(tmp_path: Path) -> None:
    folder = made(tmp_path)
    (folder / "fixtures" / "honours-found.reply.json").unlink()
    found = failed(suite(folder))
    assert found["fixtures/honours-found.json"] == "there is no file honours-found.reply.json"
    (folder / "manifest.toml").write_text("x = 1")
    assert list(failed(suite(folder))) == ["manifest.toml"]


def test_a_case_that_holds_only_without_a_socket_is_said(tmp_path: Path) -> None:
    # What the replay is given is a body already decoded; on the wire the same headers say it is compressed.
    folder = made(tmp_path)
    case = folder / "fixtures" / "honours-found.json"
    text = case.read_text("utf-8").replace(
        '"file": "honours', '"headers": {"content-encoding": "gzip"}, "file": "honours'
    )
    case.write_text(text, "utf-8")
    assert failed(suite(folder)) == {"honours: over a socket": "upstream_protocol without any fault"}


class Clock:
    """``mine`` seconds for every fetch of the connector, ``theirs`` for every one of the reference."""

    def __init__(self, mine: float, theirs: float) -> None:
        self.per = (mine, theirs)
        self.asked = 0
        self.now = 0.0

    def __call__(self) -> float:
        self.asked += 1
        if self.asked % 2 == 0:
            self.now += self.per[(self.asked - 1) // 40 % 2]
        return self.now


@pytest.mark.parametrize(("mine", "ok"), [(SLOWEST, True), (SLOWEST + 1, False)])
def test_the_bound_of_speed_is_relative_to_the_reference(tmp_path: Path, mine: int, ok: bool) -> None:
    results = {r.name: r for r in suite(made(tmp_path), clock=Clock(mine, 1))}
    assert results["honours: speed"].ok is ok


# --- Connectors with code of their own could do worse than a manifest ---------------------------------------------

Fetch = Callable[[DeclarativeConnector, Query, Guard, float, Progress], Awaitable[Reply]]


def with_code(monkeypatch: pytest.MonkeyPatch, fetch: Fetch) -> None:
    class Coded(DeclarativeConnector):
        async def fetch(self, query: Query, guard: Guard, deadline: float, progress: Progress) -> Reply:
            async def usual() -> Reply:
                return await DeclarativeConnector.fetch(self, query, guard, deadline, progress)

            return await fetch(usual, query)  # type: ignore[call-arg, arg-type]

    def coded(*given: Any, **more: Any) -> DeclarativeConnector:
        held = connector_of(*given, **more)
        held.__class__ = Coded
        return held

    monkeypatch.setattr(hardships, "connector_of", coded)


def test_a_connector_that_makes_up_an_answer_or_raises_its_own_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def makes_up(usual: Any, _: Query) -> Reply:
        try:
            held: Reply = await usual()
        except UpstreamError:
            return Reply(Found.FOUND, (), None, datetime.now(UTC), 1, b"", None)
        return held

    with_code(monkeypatch, makes_up)  # type: ignore[arg-type]
    found = failed(suite(made(tmp_path)))
    assert {f"honours: {fault}" for fault in FAULTS} <= found.keys()
    assert found["honours: name renamed"] == "a required field was not missed"
    assert found["honours: another enterprise's data"] == "taken for found"

    async def raises(usual: Any, _: Query) -> Reply:
        try:
            held: Reply = await usual()
        except UpstreamError:
            raise ValueError from None
        return held

    with_code(monkeypatch, raises)  # type: ignore[arg-type]
    found = failed(suite(made(tmp_path / "b")))
    assert found["honours: 500"] == "ValueError instead of a typed failure"
    assert found["honours: name renamed"] == "ValueError instead of a typed failure"


def test_a_connector_that_logs_what_it_asks_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def logs(usual: Any, query: Query) -> Reply:
        logging.getLogger("bureau").debug("asking for %s", query.subject.uscc)
        structlog.get_logger().info("asking", name=query.subject.name)
        held: Reply = await usual()
        return held

    with_code(monkeypatch, logs)  # type: ignore[arg-type]
    found = failed(suite(made(tmp_path)))
    assert list(found) == ["no secret and no personal data in logs and errors"]


def test_a_connector_that_leaves_a_task_behind_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[asyncio.Task[Any]] = []

    async def leaves(usual: Any, _: Query) -> Reply:
        left.append(asyncio.create_task(asyncio.sleep(0.2)))
        held: Reply = await usual()
        return held

    with_code(monkeypatch, leaves)  # type: ignore[arg-type]
    assert failed(suite(made(tmp_path)))["honours: cancelled"] == "1 tasks are left"


def test_a_connector_that_never_calls_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def waits(usual: Any, _: Query) -> Reply:
        if hardships._PATIENCE < 1:
            await asyncio.Event().wait()
        held: Reply = await usual()
        return held

    with_code(monkeypatch, waits)  # type: ignore[arg-type]
    usual = hardships._cancelled

    async def impatient(case: hardships.Case) -> str:
        monkeypatch.setattr(hardships, "_PATIENCE", 0.2)
        return await usual(case)

    monkeypatch.setattr(hardships, "_cancelled", impatient)
    assert failed(suite(made(tmp_path)))["honours: cancelled"] == "the call never came"
