"""``xinqiao consent shred``, ``hold``, ``release`` and ``retention``."""

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consent.consents import GrantConsent
from gateway.cli.main import main
from gateway.cli.shared import State
from gateway.services import open_services
from gateway.settings import Settings
from tests.consent_world import LENDER, grant, uscc

Run = Callable[..., tuple[int, str, str]]
BASIS = ("--reason", "requested", "--basis", "个人信息保护法第47条")


@pytest.fixture
def xinqiao(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Run]:
    config = tmp_path / "xinqiao.toml"
    config.write_text("allow_connectors = []\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")

    async def granted() -> None:
        async with open_services(Settings(allow_connectors=[])) as services:
            for n in range(2):
                await services.evidence.submit(GrantConsent(grant(n), LENDER, f"c{n}"))

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xinqiao", *map(str, arguments), "--config", str(config)])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return end.value.code if isinstance(end.value.code, int) else 0, told.out, told.err

    asyncio.run(granted())
    yield run
    State.config = State.data = None


def test_an_enterprise_is_shredded_at_once_or_when_the_epoch_ends(xinqiao: Run) -> None:
    status, _, said = xinqiao("consent", "shred", "--uscc", uscc(0), *BASIS)
    assert (status, "shred_pending" in said) == (0, True)
    status, told, _ = xinqiao("consent", "shred", "--uscc", uscc(1), *BASIS, "--now", "--json")
    assert status == 0
    answer = json.loads(told)
    assert answer.keys() == {"subject", "log_index", "state"}
    assert answer["state"] == "shredded"
    assert uscc(1) not in told
    assert xinqiao("log", "verify")[0] == 0


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--uscc", "91990000XX", *BASIS), "invalid"),
        (("--uscc", uscc(7), *BASIS), "not_found"),
        (("--uscc", uscc(0), "--reason", "requested", "--basis", ""), "invalid"),
        (("--uscc", uscc(0), "--reason", "because", "--basis", "x"), "because"),
    ],
)
def test_what_is_not_known_or_not_said_destroys_nothing(xinqiao: Run, words: tuple[str, ...], code: str) -> None:
    status, _, said = xinqiao("consent", "shred", *words)
    assert status == 2
    assert code in said
    assert len(json.loads(xinqiao("consent", "retention", "--json")[1])) == 4


def test_a_hold_stops_a_shredding_until_it_is_released(xinqiao: Run) -> None:
    order = ("consent", "shred", "--uscc", uscc(0), *BASIS)
    status, _, said = xinqiao("consent", "hold", "c0", "--reason", "虚构案件")
    assert (status, "held: c0" in said) == (0, True)
    status, _, said = xinqiao(*order)
    assert status == 2
    assert "under_hold" in said
    plan = json.loads(xinqiao("consent", "retention", "--json")[1])
    assert {(due["consents"][0], due["held"]) for due in plan} == {("c0", True), ("c1", False)}
    assert "是 yes" in xinqiao("consent", "retention")[1]
    status, _, said = xinqiao("consent", "release", "c0")
    assert (status, "released: c0" in said) == (0, True)
    assert xinqiao("consent", "release", "c0")[0] == 2
    assert xinqiao(*order)[0] == 0
    assert xinqiao("consent", "hold", "none", "--reason", "x")[0] == 1


def test_what_goes_when_is_shown_with_its_rule_soonest_first(xinqiao: Run) -> None:
    status, told, _ = xinqiao("consent", "retention", "--json")
    assert status == 0
    plan = json.loads(told)
    assert [due["at"] for due in plan] == sorted(due["at"] for due in plan)
    assert {due["retention"] for due in plan} == {"payload", "evidence"}
    assert {due["rule"]["reason"] for due in plan} == {"retention_ended"}
    assert "retention_ended" in xinqiao("consent", "retention")[1]
