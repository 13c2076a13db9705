"""``xinqiao connectors record``: a fixture from saved replies or from one fetch, and what is refused."""

import asyncio
import json
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from connectors.kit.conformance import check
from connectors.kit.fixtures import Fixture, cases
from connectors.kit.scaffold import Wanted, scaffold
from connectors.manifest import load
from connectors.sandbox.identity import uscc_of
from connectors.sandbox.population import enterprise
from connectors.sandbox.server import start_sandbox
from gateway.cli.main import main
from tests.callback_world import CITY_FUND

Run = Callable[..., tuple[int, str, str]]
USCC = uscc_of(4)
NAME = "真实企业甲有限公司"


@pytest.fixture
def xinqiao(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xinqiao", *map(str, arguments)])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


@pytest.fixture
def bureau(tmp_path: Path) -> Path:
    """A connector that `connectors new` made, and a reply of its platform."""
    folder = tmp_path / "xx-bureau"
    for path, content in scaffold(Wanted("xx-bureau", "虚构局", "Bureau (invented)", "虚构局", ("honours",))).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    loaded = load(folder)
    found = next(one for name, one in cases(loaded.fixtures) if name.endswith("honours-found.json"))
    assert isinstance(found, Fixture)
    text = (loaded.fixtures / found.exchanges[0].reply.file).read_text("utf-8")
    (tmp_path / "saved.json").write_text(
        text.replace(found.subject.uscc, USCC).replace(found.subject.name, NAME), "utf-8"
    )
    return folder


ASKED = ["--uscc", USCC, "--name", NAME, "--dataset", "honours", "--reply", "saved.json"]


def test_a_saved_reply_becomes_a_fixture_of_the_connector_which_the_kit_plays(xinqiao: Run, bureau: Path) -> None:
    status, out, told = xinqiao("connectors", "record", bureau, *ASKED, "--json")
    assert status == 0, told
    said = json.loads(out)
    assert said["files"] == ["honours-recorded.json", "honours-recorded.reply.json"]
    assert said["outcome"] == "found"
    assert {one["done"] for one in said["done"]} >= {"kept", "replaced"}
    assert all(result.ok for result in check(bureau))
    for file in said["files"]:
        text = (bureau / "fixtures" / file).read_text("utf-8")
        assert USCC not in text
        assert NAME not in text


def test_the_table_says_what_became_of_every_path_and_a_second_one_needs_a_name(xinqiao: Run, bureau: Path) -> None:
    status, out, told = xinqiao("connectors", "record", bureau, *ASKED, "--into", "mine", "--case", "first")
    assert status == 0
    assert "an identifier" in out
    assert "read every line" in told
    status, _, told = xinqiao("connectors", "record", bureau, *ASKED, "--into", "mine", "--case", "first")
    assert (status, "at=case" in told) == (2, True)
    assert sorted(file.name for file in Path("mine").iterdir()) == ["first.json", "first.reply.json"]


@pytest.mark.parametrize(
    ("arguments", "at"),
    [
        (["xx-bureau", *ASKED[:4], "--dataset", "judicial", *ASKED[6:]], "at=dataset"),
        (["xx-bureau", *ASKED, "--case", "../x"], "at=case"),
        (["sh-hrss", *ASKED[:4], "--dataset", "social_insurance", *ASKED[6:]], "at=into"),
        (["no-bureau", *ASKED], "connector=no-bureau"),
    ],
)
def test_a_wrong_use_is_named_and_nothing_is_written(xinqiao: Run, bureau: Path, arguments: list[str], at: str) -> None:
    before = sorted(bureau.rglob("*"))
    status, _, told = xinqiao("connectors", "record", *arguments)
    assert status == 2
    assert at in told
    assert sorted(bureau.rglob("*")) == before


def test_what_cannot_be_read_or_proven_is_not_written(xinqiao: Run, bureau: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved.json"
    good = saved.read_text("utf-8")
    saved.write_text("<html>", "utf-8")
    status, _, told = xinqiao("connectors", "record", bureau, *ASKED)
    assert (status, "nothing was written" in told) == (1, True)
    tree = {**json.loads(good), "note": "s3cr3t-CANARY"}
    saved.write_text(json.dumps(tree), "utf-8")
    (tmp_path / "x.toml").write_text('[platforms.xx-bureau.credentials]\napp_key = "s3cr3t-CANARY"\n')
    status, out, told = xinqiao("--config", "x.toml", "connectors", "record", bureau, *ASKED, "--keep", "note")
    assert (status, "secrets.app_key" in told) == (1, True)
    assert "CANARY" not in out + told
    assert not (bureau / "fixtures" / "honours-recorded.json").exists()


async def test_one_fetch_is_recorded_call_by_call_and_a_failure_as_one(xinqiao: Run, tmp_path: Path) -> None:
    sandbox = await start_sandbox(0)
    try:
        firm = enterprise(1, 4, date.today())  # noqa: DTZ011 - as the sandbox does
        lines = [f'allow_private = ["{sandbox.url.removeprefix("http://")}"]']
        for name in ("sh-court", "sh-hrss"):
            lines += [f"[platforms.{name}]", f'base_url = "{sandbox.url}/{name}"', f"[platforms.{name}.credentials]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in sandbox.secrets[name].items()]
        (tmp_path / "x.toml").write_text("\n".join(lines), "utf-8")
        asked = ["--uscc", firm.uscc, "--name", firm.name, "--months", 2, "--into", "mine", "--json"]
        command = ["--config", "x.toml", "connectors", "record"]
        good = await asyncio.to_thread(xinqiao, *command, "sh-court", *asked, "--dataset", "judicial")
        assert good[0] == 0, good[2]
        assert len(json.loads(good[1])["files"]) == 3
        (tmp_path / "y.toml").write_text(
            "\n".join(lines).replace(sandbox.secrets["sh-hrss"]["app_key"], "wrong"), "utf-8"
        )
        command[1] = "y.toml"
        bad = await asyncio.to_thread(xinqiao, *command, "sh-hrss", *asked, "--dataset", "social_insurance")
        assert (bad[0], json.loads(bad[1])["outcome"]) == (0, "failure upstream_denied")
        assert "recorded as a failure" in bad[2]
    finally:
        await sandbox.close()
    held = [text for values in sandbox.secrets.values() for text in values.values() if len(text) > 7]
    for file in (tmp_path / "mine").iterdir():
        text = file.read_bytes().decode("gb18030", "replace") + file.read_bytes().decode("utf-8", "replace")
        assert not [one for one in [firm.uscc, firm.name, *held] if one in text]


async def test_nothing_is_recorded_from_an_address_that_is_not_this_machine(xinqiao: Run, tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_text('[platforms.sh-hrss.credentials]\napp_id = "a"\napp_key = "b"\n', "utf-8")
    asked = ["--uscc", USCC, "--dataset", "social_insurance", "--into", "mine"]
    status, _, told = await asyncio.to_thread(xinqiao, "--config", "x.toml", "connectors", "record", "sh-hrss", *asked)
    assert (status, "at=base_url" in told) == (2, True)


def test_what_a_platform_sends_by_itself_is_not_recorded(xinqiao: Run) -> None:
    reply = CITY_FUND / "fixtures" / "found.reply.json"
    asked = ("--uscc", USCC, "--dataset", "provident_fund", "--reply", reply, "--into", "recorded")
    status, _, told = xinqiao("connectors", "record", CITY_FUND, *asked)
    assert (status, "sends by itself" in told) == (2, True)
