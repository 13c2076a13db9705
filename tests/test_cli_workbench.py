"""``xinqiao connectors new``: it asks little, and writes what passes; ``off`` and ``on``: a switch that is a file."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from connectors.kit.conformance import check
from gateway.cli.main import main

GIVEN = ["--zh", "虚构局", "--en", "Bureau", "--owner", "虚构局", "--dataset", "honours"]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def xinqiao(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["xinqiao", *arguments])
        capsys.readouterr()
        status = 0
        try:
            main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 0
        told = capsys.readouterr()
        return status, told.out, told.err

    return run


def test_a_new_connector_passes_and_its_maker_is_told_what_comes_next(xinqiao: Run, tmp_path: Path) -> None:
    status, _, told = xinqiao("connectors", "new", "xx-bureau", *GIVEN)
    assert status == 0
    assert "xinqiao connectors test xx-bureau" in told
    assert "#:schema" in told
    assert all(r.ok for r in check(tmp_path / "xx-bureau"))


def test_it_can_be_made_elsewhere_in_xml_and_told_as_json(xinqiao: Run, tmp_path: Path) -> None:
    status, out, _ = xinqiao(
        "connectors", "new", "xx-bureau", *GIVEN, "--into", "mine", "--form", "xml", "--charset", "gb18030", "--json"
    )
    assert status == 0
    assert "fixtures/honours-found.xml" in json.loads(out)["files"]
    assert (tmp_path / "mine" / "xx-bureau" / "fixtures" / "honours-found.xml").read_bytes().decode("gb18030")


@pytest.mark.parametrize(
    ("arguments", "at"),
    [
        (["Xx_Bureau", *GIVEN], "at=connector"),
        (["x" * 65, *GIVEN], "at=connector"),
        (["xx-bureau", *GIVEN[:-1], "honour"], "at=dataset"),
        (["xx-bureau", *GIVEN[:-1], "honours,honours"], "at=dataset"),
        (["xx-bureau", "--zh", 'a"b', *GIVEN[2:]], "at=zh"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_written(
    xinqiao: Run, tmp_path: Path, arguments: list[str], at: str
) -> None:
    status, _, told = xinqiao("connectors", "new", *arguments)
    assert (status, at in told) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(xinqiao: Run, tmp_path: Path) -> None:
    (tmp_path / "xx-bureau").mkdir()
    assert xinqiao("connectors", "new", "xx-bureau", *GIVEN)[0] == 2
    assert list((tmp_path / "xx-bureau").iterdir()) == []


def test_a_platform_is_switched_off_and_on_by_a_file_that_the_gateway_looks_at(xinqiao: Run, tmp_path: Path) -> None:
    xinqiao("connectors", "new", "xx-bureau", *GIVEN)
    (tmp_path / "my.toml").write_text(
        'connectors = ["xx-bureau"]\nallow_connectors = ["xx-bureau"]\n'
        '[platforms.xx-bureau]\ncredentials = { app_id = "invented", app_key = "invented" }\n'
    )

    def call(*words: str) -> tuple[int, str, str]:
        return xinqiao("connectors", *words, "--config", "my.toml", "--data", str(tmp_path / "data"))

    assert json.loads(call("list", "--json")[1])[0]["off"] is False
    assert call("off", "xx-bureau", "--reason", "虚构原因")[0] == 0
    assert (tmp_path / "data" / "off" / "xx-bureau").read_text("utf-8") == "虚构原因\n"
    assert json.loads(call("list", "--json")[1])[0]["off"] is True
    assert "停用 off" in call("list")[1]
    assert call("off", "../keys", "--reason", "x")[0] == 2
    assert call("on", "xx-bureau")[0] == call("on", "xx-bureau")[0] == 0
    assert list((tmp_path / "data" / "off").iterdir()) == []


def test_a_fetch_without_a_consent_leaves_this_machine_for_no_address(xinqiao: Run, tmp_path: Path) -> None:
    xinqiao("connectors", "new", "xx-bureau", *GIVEN)
    asked = [
        "connectors",
        "fetch",
        "xx-bureau",
        "--uscc",
        "91990000MA0000015Q",
        "--json",
        "--data",
        str(tmp_path / "d"),
    ]
    given = 'credentials = { app_id = "invented", app_key = "invented" }\n'
    for address in ("https://bureau.invalid", "http://192.0.2.1", "http://localhost.invalid", "http://0.0.0.0:9"):
        (tmp_path / "my.toml").write_text(f'[platforms.xx-bureau]\n{given}base_url = "{address}"\n')
        status, _, told = xinqiao(*asked, "--config", "my.toml")
        assert (status, "at=base_url" in told) == (2, True), address
    (tmp_path / "my.toml").write_text(f'[platforms.xx-bureau]\n{given}base_url = "http://127.0.0.1:9"\n')
    status, out, _ = xinqiao(*asked, "--config", "my.toml")
    (one,) = json.loads(out)
    # Nothing listens there, and its address is not one of those that the settings allow.
    assert (status, one["outcome"]) == (1, "upstream_address_refused")
    assert [event["what"] for event in one["timeline"]][-1] == "upstream_address_refused"
