"""``xinqiao log show``, ``check`` and ``anomalies``: what the operator sees at the command line, and what it leaves."""

import asyncio
import io
import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from consent.consents import GrantConsent
from consent.permits import OpenPermit
from consent.profiles import RecordEvent
from consent.search import Conditions
from gateway.audit import looking
from gateway.audit.looking import Search, take
from gateway.cli.main import main
from gateway.cli.shared import State
from gateway.demo import sample_grant
from gateway.services import open_services, utc_now
from gateway.settings import Settings
from schemas.consent import ConsentGrant
from schemas.errors import ConsentMissing
from schemas.identifiers import uscc_check


class Result(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Result]


def uscc(n: int) -> str:
    first = f"91990000{n:08}X"
    return first + uscc_check(first)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with the consents of three invented enterprises."""
    made = tmp_path_factory.mktemp("audit-cli")

    async def fill() -> None:
        async with open_services(Settings(data=made / "data", allow_connectors=[])) as services:
            for n in range(3):
                offers = {"sh-hrss": {"social_insurance": frozenset({"month", "persons"})}}
                grant = sample_grant({"uscc": uscc(n), "name": f"虚构企业{n}号"}, offers, utc_now())
                document = ConsentGrant.model_validate_json(json.dumps(grant))
                await services.evidence.submit(GrantConsent(document, actor="demo-bank"))
            month = (2026, 11)
            for officer in ("E-1", "E-2"):
                refused = OpenPermit(
                    f"m-{officer}", "demo-bank", None, b"", "none", uscc(0), "虚构", "loan_review", (), month, month
                )
                with pytest.raises(ConsentMissing):
                    await services.evidence.submit(replace(refused, officer=officer))

    asyncio.run(fill())
    (made / "lean.toml").write_text("allow_connectors = []")
    return made


@pytest.fixture
def xq(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    monkeypatch.setenv("COLUMNS", "300")

    def run(*arguments: object) -> Result:
        where = ["--config", str(folder / "lean.toml"), "--data", str(folder / "data")]
        monkeypatch.setattr(sys, "argv", ["xinqiao", *map(str, arguments), *where])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return Result(end.value.code if isinstance(end.value.code, int) else 0, told.out, told.err)

    yield run
    State.config = State.data = None


def test_entries_are_found_by_every_condition_and_each_look_is_an_entry(xq: Run) -> None:
    about = xq("log", "show", "--uscc", uscc(1), "--json").json
    assert [(one["index"], one["entry"]["event"]) for one in about] == [(1, "consent.granted")]
    (told,) = xq("log", "show", "--event", "log.searched", "--last", "1", "--json").json
    assert (told["entry"]["actor"], told["entry"]["by"], told["entry"]["count"]) == ("operator", ["subject"], 1)
    assert uscc(1) not in json.dumps(told)
    assert {one["index"] for one in xq("log", "show", "--actor", "demo-bank", "--json").json} == {0, 1, 2, 3, 4}
    own = xq("log", "show", "--actor", "demo-bank", "--officer", "E-2", "--json").json
    assert [(one["index"], one["entry"]["event"]) for one in own] == [(4, "permit.refused")]
    assert xq("log", "show", "--outcome", "consent_revoked", "--json").json == []
    assert xq("log", "show", "--platform", "sh-hrss", "--json").json == []
    assert xq("log", "show", "--until", "2020-01-01T00:00:00Z", "--json").json == []
    assert [one["index"] for one in xq("log", "show", "--event", "consent.granted", "--last", "2", "--json").json] == [
        1,
        2,
    ]
    assert "consent.granted" in xq("log", "show", "--since", "2020-01-01T00:00:00Z").out


@pytest.mark.parametrize(
    "options",
    [
        ["--uscc", "12"],
        ["--since", "yesterday"],
        ["--actor", "A B"],
        ["--officer", "E-1"],
        ["--export", "no-such-folder/x.zip"],
    ],
)
def test_wrong_conditions_and_places_are_wrong_use(xq: Run, options: list[str]) -> None:
    assert xq("log", "show", *options).status == 2


@pytest.mark.parametrize("form", ["csv", "jsonl", "xlsx"])
def test_a_file_of_whole_entries_is_checked_without_a_database(xq: Run, tmp_path: Path, form: str) -> None:
    file, vkey = tmp_path / "rows.zip", tmp_path / "vkey"
    assert xq("log", "show", "--actor", "demo-bank", "--export", file, "--format", form).status == 0
    assert xq("log", "export", tmp_path / "log").status == 0
    vkey.write_bytes((tmp_path / "log" / "vkey").read_bytes())
    checked = xq("log", "check", file, "--vkey", vkey)
    assert (checked.status, checked.out[:2]) == (0, "5 ")
    with zipfile.ZipFile(file) as packed:
        held = {name: packed.read(name) for name in packed.namelist()}
    tampered = io.BytesIO()
    with zipfile.ZipFile(tampered, "w") as packed:
        for name, body in held.items():
            packed.writestr(name, body + b" " if name.startswith("entries") else body)
    file.write_bytes(tampered.getvalue())
    broken = xq("log", "check", file, "--vkey", vkey)
    assert (broken.status, "sha256" in broken.err) == (1, True)
    vkey.write_text("no key")
    assert xq("log", "check", file, "--vkey", vkey).status == 2


def test_masked_rows_are_made_again_from_an_exported_log(
    xq: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def masked() -> bytes:
        async with open_services(Settings(data=folder / "data", allow_connectors=[])) as services:
            return await take(services, "the-auditor", Search(Conditions(), 0, 5), "csv", mask=True)

    monkeypatch.setattr(looking, "EXPORTED", 4)
    file, log = tmp_path / "rows.zip", tmp_path / "log"
    file.write_bytes(asyncio.run(masked()))
    assert xq("log", "export", log).status == 0
    plain = xq("log", "check", file, "--vkey", log / "vkey")
    assert (plain.status, "masked" in plain.out, "[0, 4)" in plain.out) == (0, True, True)
    assert "the rest begins at 4" in plain.out
    again = xq("log", "check", file, "--vkey", log / "vkey", "--log", log)
    assert (again.status, "masked" in again.out) == (0, False)
    broken = xq("log", "check", file, "--vkey", log / "vkey", "--log", tmp_path)
    assert (broken.status, "log" in broken.err) == (1, True)


def test_the_report_of_anomalies_is_printed_for_people_and_programs(xq: Run, folder: Path) -> None:
    assert xq("log", "anomalies", "--last", "3", "--json").json == []
    assert "nothing passed a threshold" in xq("log", "anomalies", "--last", "3").err

    async def limited() -> None:
        async with open_services(Settings(data=folder / "data", allow_connectors=[])) as services:
            await services.evidence.submit(RecordEvent("access.limited", "demo-bank", None, None, {"count": 7}))

    asyncio.run(limited())
    (told,) = xq("log", "anomalies", "--json").json
    assert (told["rule"], told["actor"], told["count"]) == ("limited", "demo-bank", 7)
    shown = xq("log", "anomalies").out
    assert "limited" in shown
    assert "限流" in shown
